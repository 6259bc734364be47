"""The picture of a self-training: what it shows is read back from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imread

from tests.reporting.test_figures import shows
from wsvad_lightning.cli import main
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.reporting.figures import MODEL
from wsvad_lightning.reporting.labels import (
    LEFT_OUT,
    TRUE,
    choose_videos,
    draw_labels,
    segment_truth,
)

NAN = float("nan")


def test_labels_truth_and_what_is_left_out_are_seen(tmp_path: Path) -> None:
    seen = {10: torch.tensor([0.0, 1.0, NAN]), 20: torch.tensor([0.0, 1.0, 1.0])}
    truth = np.array([0, 1, 1], np.float32)
    draw_labels({"fall": (seen, truth), "$ door": (seen, None)}, tmp_path / "all.png")
    draw_labels({"door": ({10: torch.zeros(3)}, None)}, tmp_path / "none.png")
    assert [shows(tmp_path / "all.png", color) for color in (MODEL, LEFT_OUT, TRUE)] == [True] * 3
    assert [shows(tmp_path / "none.png", color) for color in (MODEL, LEFT_OUT, TRUE)] == [False] * 3


def test_truth_is_sampled_as_the_bags_are(tmp_path: Path) -> None:
    store = str(make_store(tmp_path / "s.h5", lengths=(12, 12)))
    data = WSVADDataModule(store, segments=6)
    name = choose_videos(data)[0]
    video = data.annotations[name]
    frames = video.frame_labels(data.store[name].num_frames)
    snippets = np.array([frames[16 * t : 16 * (t + 1)].mean() for t in range(12)])
    truth = segment_truth(data, name)
    assert truth is not None
    np.testing.assert_allclose(truth, snippets.reshape(6, 2).mean(axis=1), rtol=1e-6)
    assert segment_truth(WSVADDataModule(store, segments=6, sampling="window"), name) is None


def test_videos_with_annotated_frames_are_preferred(tmp_path: Path) -> None:
    store = str(make_store(tmp_path / "s.h5", train=9))
    data = WSVADDataModule(store)
    assert choose_videos(data) == [f"train_abnormal_00{i}" for i in (0, 3, 5, 8)]
    known = {name: replace(video, intervals=None) for name, video in data.annotations.items()}
    known["train_abnormal_004"] = data.annotations["train_abnormal_004"]
    data.catalogue.annotations = known
    assert choose_videos(data) == ["train_abnormal_004"]


def test_a_training_draws_and_goes_on_drawing(store: Path, tmp_path: Path) -> None:
    small = ["--model.hidden_dim", "16", "--model.positions", "32", "--model.history_length", "2"]
    where = ["--data.store", str(store), "--data.batch_size", "6", "--output", str(tmp_path)]
    args = ["fit", "--config", "ucf_adplg.yaml", "--config", "with/smoke.yaml", *small, *where]
    assert main([*args, "--name", "half", "--trainer.max_steps", "5"]) == 0
    half = tmp_path / "half" / "version_0"
    assert imread(half / "pseudo_labels.png").ndim == 3
    checkpoint = half / "checkpoints" / "last.ckpt"
    more = ["--trainer.max_steps", "8", "--ckpt_path", str(checkpoint)]
    assert main([*args, "--name", "whole", *more]) == 0
    last = torch.load(tmp_path / "whole/version_0/checkpoints/last.ckpt", weights_only=True)
    steps = {step for seen in last["callbacks"]["LabelPicture"]["seen"].values() for step in seen}
    assert {5, 8} <= steps <= set(range(3, 9))
