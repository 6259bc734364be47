"""Cases on manifests other than the recorded ones: they read names, sizes and rules, and assume none."""

import numpy as np
import torch

from tests.parity.cases import (
    adplg,
    c2fpl,
    frd_uvad,
    i3d_inception,
    i3d_resnet50,
    vadclip_detection_map,
    videomae,
)
from wsvad_lightning.extraction.backbones.i3d_inception import I3DInception
from wsvad_lightning.layers import TubeGrid


def test_the_last_frame_of_overlapping_segments_is_their_largest_end() -> None:
    segments = [(0, 480, "B1"), (100, 200, "B2")]
    assert len(vadclip_detection_map.predict("xd", 0, segments, ["A", "B1", "B2"])) == 30 + 8
    assert len(vadclip_detection_map.predict("xd", 0, [(0, 320, "A"), (0, 160, "A")], ["A", "B1"])) == 20


def test_chunks_are_counted_for_the_frames_of_the_reference() -> None:
    reference = torch.tensor([[17.0, 1.0], [90.0, 5.0], [16.0 * 7, 7.0]])
    assert torch.equal(i3d_resnet50.chunks(reference), reference.long())


def test_clips_of_other_sizes_keep_time_and_space_apart() -> None:
    network = I3DInception(num_classes=16)
    last = torch.rand(1, 1024, 3, 7, 8)
    pooled = i3d_inception.pool(network, last, [2, 7, 7])
    assert pooled["features"].shape == (1, 1024, 2, 1, 2)
    assert pooled["logits"].shape == (1, 2, 2, 1, 2)
    torch.testing.assert_close(pooled["features"][0, :, 1, 0, 1], last[0, :, 1:, :, 1:].mean(dim=(1, 2, 3)))
    (single,) = i3d_inception.pool(network, last[:, :, :2, :, :7], [2, 7, 7])["features"].squeeze()[None]
    torch.testing.assert_close(single, last[0, :, :2, :, :7].mean(dim=(1, 2, 3)))
    square = i3d_inception.pool(network, last[..., :7], [2, 7, 7])
    assert square["logits"].shape == (1, 2, 2)
    assert list(i3d_inception.pool(network, last[..., :6], [2, 7, 7])) == ["map"]


def test_a_memory_that_holds_nothing_has_the_mean_of_the_reference() -> None:
    assert frd_uvad.mean_of(torch.empty(0)) == 0.0
    assert frd_uvad.mean_of(torch.tensor([1.0, 2.0])) == 1.5


def test_margins_and_gains_of_the_memory_are_read() -> None:
    losses = {"meaning": "three steps (batches features_1, _2; delta 0.25 for wlab, -2 for slab so that ...)"}
    outputs = {f"train_bank/{kind}/losses": losses for kind in ("wlab", "slab")}
    manifest = {"outputs": outputs, "config": {"delta": 9.0}}
    assert [frd_uvad.margin_of(kind, manifest) for kind in ("wlab", "slab")] == [0.25, -2.0]
    outputs["train_bank/wlab/losses"] = {"meaning": "three steps"}
    assert frd_uvad.margin_of("wlab", manifest) == 9.0
    described = {"meaning": "the bank is preset to 0.25 times the first windows"}
    assert frd_uvad.preset_scale({"outputs": {"train_bank/preset_losses": described}}) == 0.25


def test_windows_of_the_memory_follow_the_manifest() -> None:
    layout = "(block of 2 consecutive snippets): snippet i is multiplied by 1 + gain[i // 2]"
    entries = [{"name": "features_1", "layout": "snippets"}, {"name": "features_1_gain", "layout": layout}]
    inputs = {"features_1": torch.ones(5, 1, 1), "features_1_gain": torch.tensor([1.0, 2.0, 3.0])}
    (batch,) = frd_uvad.training_batches({"inputs": entries, "config": {"cross_clip": 3}}, inputs)
    assert batch.features.shape == (5, 1, 3, 1)
    assert batch.features[1].flatten().tolist() == [2.0, 3.0, 3.0]


def test_planted_events_follow_the_rule() -> None:
    rule = "gain is 1 except, for videos with index divisible by 2, where it is 2.0 + 0.5 * pl_amp_draw"
    gains = c2fpl.planted_gains(np.array([3, 3, 6]), np.array([0.0, 1.0, 1.0], np.float32), rule)
    assert gains.tolist() == [1, 2, 2, 1, 1, 1, 1, 1, 2.5, 2.5, 1, 1]


def test_batches_of_a_run_are_those_of_the_manifest() -> None:
    halves = {f"{half}_{name}": torch.ones(1, 4, 2) for name in ("b", "a") for half in ("normal", "abnormal")}
    assert [batch.video_ids[0] for batch in adplg.named_batches(halves)] == ["b/video0", "a/video0"]


def test_a_mask_of_the_frame_covers_every_tubelet_and_one_of_all_tokens_does_not() -> None:
    grid, config = TubeGrid(4, (4, 4), 2, 2), {"mask_ratio": 0.5}
    of_frame = videomae.read_mask(config, grid, torch.tensor([[3.0, 1.0, 2.0, 4.0]]))
    assert of_frame.int().tolist() == [[0, 1, 1, 0, 0, 1, 1, 0]]
    of_all = videomae.read_mask(config, grid, torch.arange(8.0)[None])
    assert of_all.int().tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]
    split = videomae.split_by(of_frame)
    assert (split.visible.tolist(), split.masked.tolist()) == ([[0, 3, 4, 7]], [[1, 2, 5, 6]])
