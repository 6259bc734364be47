"""Shipped recipes of methods that are trained on pixels, run as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.processes import run_ranks
from tests.recipes import composed
from tests.runs.test_run import PIXEL_RECIPES, newest, rows_of, run
from tests.videos import VideoMaker
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter
from wsvad_lightning.methods import SVMAEPretraining

CLIPS = ["--data.size", "[16,24]", "--data.batch_size", "2", "--data.num_workers", "0"]
NETWORK = ["--model.size", "[16,24]", "--model.patch", "8", "--model.dim", "12", "--model.depth", "2"]
DECODER = ["--model.decoder_dim", "8", "--model.decoder_depth", "1", "--model.decoder_heads", "2"]
SHORT = ["--trainer.devices", "1", "--trainer.max_steps", "4", "--trainer.log_every_n_steps", "1"]
SMALL = [*CLIPS, *NETWORK, "--model.heads", "2", *DECODER, *SHORT, "--trainer.accumulate_grad_batches", "1"]


@pytest.fixture
def videos(make_video: VideoMaker) -> Path:
    for name in ("a", "b"):
        make_video(f"videos/{name}.mp4", 64, height=16, width=24)
    return make_video("videos/c.mp4", 64, height=16, width=24).parent


def fit(config: str, videos: Path, output: Path, *more: str) -> list[str]:
    where = ["--data.videos", str(videos), "--output", str(output), "--name", "run"]
    return ["fit", "--config", config, *SMALL, *where, *more]


@pytest.mark.parametrize("config", PIXEL_RECIPES)
def test_every_recipe_trains_and_its_encoder_extracts(
    config: str,
    videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert run(*fit(config, videos, tmp_path)) == 0
    trained = newest(tmp_path / "run")
    checkpoint = trained / "checkpoints" / "last.ckpt"
    command = "wsvad extract VIDEOS STORE.h5 --config extract/svmae.yaml --weights"
    assert f"Next: {command} {checkpoint}" in caplog.messages
    assert len([row for row in rows_of(trained / "metrics.csv") if row["train/loss/total"]]) == 4
    store = tmp_path / "store.h5"
    extract: list[str | Path] = [
        "extract",
        videos,
        store,
        "--config",
        "extract/svmae.yaml",
        "--weights",
        checkpoint,
    ]
    assert run(*extract, "--tail", "drop") == 0
    assert FeatureStore(store).read("a", "features").shape == (4, 1, 12)
    assert run("test", "--ckpt_path", checkpoint) == 2
    assert (
        f"{checkpoint}': is of SVMAEPretraining, which scores no videos. Use it by" in capsys.readouterr().err
    )


def test_a_resumed_run_equals_an_uninterrupted_one(videos: Path, tmp_path: Path) -> None:
    whole = fit("demo_svmae.yaml", videos, tmp_path)
    assert run(*whole) == 0
    expected = newest(tmp_path / "run")
    assert run(*whole, "--trainer.max_steps", "2") == 0
    half = newest(tmp_path / "run") / "checkpoints" / "last.ckpt"
    assert run(*whole, "--ckpt_path", half) == 0
    states = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (expected, newest(tmp_path / "run"))
    ]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_held_out_videos_are_measured_with_the_same_masks(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c"], "test": []}))
    split = ["--data.split", str(tmp_path / "split.json"), "--model.optimizer.lr", "0"]
    still = ["--model.lr_scheduler.max_lr", "0", "--trainer.val_check_interval", "2"]
    validated = [*split, *still, "--trainer.check_val_every_n_epoch", "null"]
    assert run(*fit("demo_svmae.yaml", videos, tmp_path, *validated)) == 0
    rows = rows_of(newest(tmp_path / "run") / "metrics.csv")
    losses = [float(row["val/loss/total"]) for row in rows if row["val/loss/total"]]
    assert len(losses) == 2
    assert losses[0] == losses[1] > 0


def test_the_checkpoint_carries_its_settings(videos: Path, tmp_path: Path) -> None:
    assert run(*fit("demo_svmae.yaml", videos, tmp_path, "--trainer.max_steps", "1")) == 0
    checkpoint = torch.load(newest(tmp_path / "run") / "checkpoints" / "last.ckpt", weights_only=True)
    config = yaml.safe_load(checkpoint["wsvad_config"])
    assert config["model"]["init_args"]["size"] == [16, 24]
    assert config["data"]["videos"] == str(videos)
    assert "optimizer" not in config["model"]["init_args"]


def test_two_processes_hold_half_of_the_network_each_and_one_goes_on(videos: Path, tmp_path: Path) -> None:
    sharded = ["--config", "with/fsdp.yaml", "--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    short = ["--trainer.max_steps", "2", "--trainer.callbacks+=tests.runs.shards.Shards"]
    here = []
    for rank in run_ranks(2, *fit("demo_svmae.yaml", videos, tmp_path, *sharded, *short)):
        assert rank.returncode == 0, rank.stderr[-3000:]
        (line,) = [line for line in rank.stdout.splitlines() if line.startswith("shards")]
        here.append(json.loads(line.removeprefix("shards")))
    for (first, whole), (second, _) in zip(*here, strict=True):  # parameters, then moments
        assert first + second == whole
        assert 0.49 < first / whole < 0.51
    half = tmp_path / "run" / "version_0" / "checkpoints" / "last.ckpt"
    module = SVMAEPretraining.load_from_checkpoint(half)  # every weight
    assert module.hparams["checkpointing"]
    assert here[0][0][1] == sum(value.numel() for value in module.parameters())
    assert run(*fit("demo_svmae.yaml", videos, tmp_path, "--ckpt_path", str(half))) == 0
    last = newest(tmp_path / "run") / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 4
    extract: list[str | Path] = [
        "extract",
        videos,
        tmp_path / "store.h5",
        "--config",
        "extract/svmae.yaml",
        "--weights",
        half,
    ]
    assert run(*extract, "--tail", "drop") == 0
    assert FeatureStore(tmp_path / "store.h5").read("a", "features").shape == (4, 1, 12)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["--data.size", "[20,24]"], "data.size='20': must be a multiple of 8"),
        (["--data.length", "8"], "differ from data.length and data.size: clips of 8 frames of 16 x 24"),
        (["--model.patch", "10"], "model.size='16': must be a multiple of model.patch=10"),
        (["--data.length", "40", "--model.frames", "40"], "spans 79 frames"),
        (["--model.depth_from", "stream"], "model.depth_from='stream': the clips come without depth"),
    ],
)
def test_what_does_not_fit_is_one_line(
    settings: list[str], line: str, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*fit("demo_svmae.yaml", videos, tmp_path / "runs", *settings)) == 2
    (error,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error")]
    assert line in error
    assert not list(tmp_path.glob("runs/*"))


def depth_store(path: Path, rows: int, columns: int) -> Path:
    views = {"depth": tuple(f"r{r}c{c}" for r in range(rows) for c in range(columns))}
    with StoreWriter(path, Provenance("depth", "noise", 16, 16, views=views)) as writer:
        for name in ("a", "b", "c"):
            values = np.random.default_rng(0).random((4, rows * columns, 1), np.float32)
            writer.add(VideoAnnotation(name, 0), {"depth": values}, num_frames=64, fps=10)
    return path


def test_depth_comes_from_a_stream_on_the_grid_of_the_tokens(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = fit("demo_svmae.yaml", videos, tmp_path / "runs", "--model.depth_from", "stream")
    other = depth_store(tmp_path / "other.h5", 3, 3)
    assert run(*asked, "--data.depth_store", other) == 2
    assert "has 16 frames of 3 x 3 values a clip, the tokens are 2 x 3" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*"))
    assert run(*asked, "--data.depth_store", depth_store(tmp_path / "depth.h5", 2, 3)) == 0


def test_the_schedule_is_as_long_as_the_training() -> None:
    for config in PIXEL_RECIPES:
        recipe = composed(config)
        assert recipe.model.init_args.lr_scheduler.init_args.total_steps == recipe.trainer.max_steps
