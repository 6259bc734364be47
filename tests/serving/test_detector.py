"""Scores from Python are those of the command line, whatever is done to the features."""

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wsvad_lightning
from tests.methods.small import smaller
from tests.serving.clockwork import Clockwork
from wsvad_lightning import Detector
from wsvad_lightning.checkpoint import CHECKSUMS_KEY
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError

README = Path(__file__).parents[2] / "README.md"
DIM, CROPS = 6, 2
DATA = {  # a recipe, and what it makes of the features
    "zscore": ("ucf_urdmu.yaml", "URDMU", ["--data.normalize", "zscore", "--data.clip", "2"]),
    "merged": ("ucf_rtfm.yaml", "RTFM", ["--data.normalize", "zscore", "--data.crops", "concat"]),
    "principal axes of two streams": (
        "xd_bnwvad.yaml",
        "BNWVAD",
        ["--data.features", "[features, other]", "--data.normalize", "l2", "--data.pca_dim", "5"],
    ),
    "a text next to the features": (
        "ucf_svmae.yaml",
        "SVMAE",
        [
            *("--data.features", "[features, other]", "--data.normalize", "zscore"),
            *("--model.inputs", "both", "--model.text_dim", str(DIM)),
        ],
    ),
    "classes": (
        "ucf_gsmoe.yaml",
        "GSMoE",
        ["--data.normalize", "zscore", "--model.experts_by", "classes", "--model.num_experts", "1"],
    ),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One to train with, and another of other videos."""
    folder = tmp_path_factory.mktemp("stores")
    return [
        make_store(
            folder / f"{seed}.h5",
            dim=DIM,
            crops=CROPS,
            streams=("features", "other", "text"),
            views={"text": 1},
            classes=("fall",),
            seed=seed,
        )
        for seed in (0, 1)
    ]


def predicted(folder: Path) -> dict[str, torch.Tensor]:
    """Read the scores, and the probabilities of classes if there are any, that ``wsvad predict`` wrote."""
    rows: dict[str, list[list[float]]] = {}
    for row in csv.DictReader((folder / "scores.csv").read_text("utf-8").splitlines()):
        rows.setdefault(row["video"], []).append([float(value) for value in list(row.values())[5:]])
    return {video_id: torch.tensor(values) for video_id, values in rows.items()}


def fit(folder: Path, config: str, store: Path, *more: str) -> Path:
    """Train for a few steps and give the checkpoint."""
    where = ["--output", str(folder), "--name", "run", "--data.store", str(store)]
    assert main(["fit", "--config", config, "--config", "with/smoke.yaml", *more, *where]) == 0
    return folder / "run" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("case", DATA)
def test_scores_are_those_of_the_command_line(case: str, stores: list[Path], tmp_path: Path) -> None:
    config, method, data = DATA[case]
    checkpoint = fit(tmp_path, config, stores[0], *smaller(method, tmp_path, DIM), *data)
    where = ["--output", str(tmp_path), "--name", "run", "--data.store", str(stores[1])]
    assert main(["predict", "--ckpt_path", str(checkpoint), *where]) == 0
    expected = predicted(tmp_path / "run" / "version_1")
    detector = Detector.from_checkpoint(checkpoint)
    found = detector.score_store(stores[1])
    assert found.keys() == expected.keys()
    for video_id, prediction in found.items():
        classes = [] if prediction.class_scores is None else [prediction.class_scores]
        columns = [prediction.scores[:, None], *classes]
        torch.testing.assert_close(torch.cat(columns, dim=1), expected[video_id], rtol=0, atol=1e-6)
    again = detector.score_store(str(stores[1]))
    assert all(torch.equal(again[video_id].scores, found[video_id].scores) for video_id in found)
    shared = str(tmp_path / "shared")
    assert main(["share", "--ckpt_path", str(checkpoint), "--output", shared, "--license", "mit"]) == 0
    as_shared = Detector.from_checkpoint(shared).score_store(stores[1])
    assert all(torch.equal(as_shared[video_id].scores, found[video_id].scores) for video_id in found)
    video_id, whole = next(iter(found.items()))
    store, length = FeatureStore(stores[1]), len(whole.scores)
    streams = {name: store.read(video_id, name) for name in store.streams}
    alone = detector.score_features(streams, whole.num_frames)
    torch.testing.assert_close(alone.scores, whole.scores, rtol=0, atol=1e-6)
    torch.testing.assert_close(alone.class_scores, whole.class_scores, rtol=0, atol=1e-6)
    assert (alone.num_frames, alone.novelty) == (whole.num_frames, whole.novelty)
    stream = detector.stream(window=length, look_ahead=length - 1)
    given = stream.update(streams) + stream.close()
    scores = torch.tensor([one.score for one in given])
    torch.testing.assert_close(scores, whole.scores, rtol=0, atol=1e-6)
    if whole.class_scores is not None:
        rows = torch.stack([one.class_scores for one in given if one.class_scores is not None])
        torch.testing.assert_close(rows, whole.class_scores, rtol=0, atol=1e-6)


def test_a_method_of_ones_own_is_given_by_its_class(stores: list[Path], tmp_path: Path) -> None:
    model = ["--model", "tests.serving.clockwork.Clockwork", "--model.classes", '["a", "b"]']
    checkpoint = fit(tmp_path, "with/smoke.yaml", stores[0], *model)
    with pytest.raises(WSVADError, match="of the method 'Clockwork'.*Name its class by --model"):
        Detector.from_checkpoint(checkpoint)
    detector = Detector.from_checkpoint(checkpoint, method=Clockwork)
    assert detector.classes == ("a", "b")
    (first, *_) = detector.score_store(stores[1]).values()
    assert first.class_scores is not None
    assert first.class_scores.shape == (len(first.scores), 3)


@pytest.fixture(scope="module")
def checkpoint(stores: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(tmp_path_factory.mktemp("run"), "ucf_rtfm.yaml", stores[0], "--data.normalize", "zscore")


def test_features_of_another_size_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other.h5", dim=DIM + 1, crops=CROPS)
    with pytest.raises(WSVADError, match=f"have {DIM + 1} channels"):
        Detector.from_checkpoint(checkpoint).score_store(other)


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (np.zeros((3, CROPS)), "features must be [T, N, D]"),
        (np.zeros((1, 3, CROPS, DIM)), "features must be [T, N, D]"),
        (np.zeros((0, CROPS, DIM)), "have no snippets"),
        (np.zeros((3, CROPS + 1, DIM)), "in the training 2"),
        (np.zeros((3, CROPS, DIM + 1)), f"have {DIM + 1} channels"),
        (np.full((3, CROPS, DIM), np.nan), "NaN or infinite"),
        (np.full((3, CROPS, DIM), "a"), "not numbers"),
        ({"flow": np.zeros((3, CROPS, DIM))}, "is missing. Give the streams features by name"),
    ],
)
def test_features_of_another_shape_are_refused(checkpoint: Path, features: Any, problem: str) -> None:
    detector = Detector.from_checkpoint(checkpoint)
    with pytest.raises(WSVADError, match=re.escape(problem)):
        detector.score_features(features)
    assert len(detector.score_features(np.zeros((3, CROPS, DIM))).scores) == 3
    with pytest.raises(WSVADError, match="has 1 to 1 snippets, the features have 3"):
        detector.score_features(np.zeros((3, CROPS, DIM)), num_frames=1)


def test_a_device_that_is_absent_is_refused(checkpoint: Path, stores: list[Path]) -> None:
    with pytest.raises(WSVADError, match="device='abacus': cannot be used"):
        Detector.from_checkpoint(checkpoint).score_store(stores[0], device="abacus")


def test_a_checkpoint_whose_progress_is_damaged_is_refused(
    checkpoint: Path, stores: list[Path], tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    del content["loops"]["predict_loop"], content[CHECKSUMS_KEY]
    torch.save(content, tmp_path / "damaged.ckpt")
    with pytest.raises(WSVADError, match="cannot go on with its weights and states"):
        Detector.from_checkpoint(tmp_path / "damaged.ckpt").score_store(stores[0])


def test_a_video_needs_a_recipe(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WSVADError, match=r"trained on other features.*Train on features that `wsvad ext"
    ) as e:
        Detector.from_checkpoint(checkpoint).score_video(tmp_path / "a.mp4")
    assert e.value.argument == "path"


def test_a_transform_that_is_not_ours_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["transform"]["normalize"] = "os.system"
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(WSVADError, match="has no normalize that"):
        Detector.from_checkpoint(tmp_path / "odd.ckpt")


def test_the_lines_of_the_readme_run(
    checkpoint: Path,
    stores: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines, _ = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (tmp_path / "runs" / "mine" / "version_0" / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "version_0" / "checkpoints" / "last.ckpt").symlink_to(checkpoint)
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "mine.h5").symlink_to(stores[1])
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(lines, {})
    shown = capsys.readouterr().out.splitlines()
    expected = Detector.from_checkpoint(checkpoint).score_store(stores[1])
    assert [line.split()[0] for line in shown] == list(expected)
    assert float(shown[0].split()[1]) == pytest.approx(
        float(next(iter(expected.values())).scores.max()), abs=1e-3
    )


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_text("text")
    for name, problem in {"absent.ckpt": "no such file", "a.ckpt": "not a readable checkpoint"}.items():
        with pytest.raises(WSVADError, match=problem) as raised:
            Detector.from_checkpoint(tmp_path / name)
        assert raised.value.argument == "path"


def test_importing_the_package_alone_loads_nothing_heavy() -> None:
    code = "import sys, wsvad_lightning; assert not {'torch', 'numpy', 'lightning'} & {*sys.modules}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not hasattr(wsvad_lightning, "Detektor")
