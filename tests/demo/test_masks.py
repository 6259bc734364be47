"""What moves in rendered clips is known by the pixel, and how much of it masks show is measured."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from wsvad_lightning.demo.drawing import draw_scene, moving_pixels
from wsvad_lightning.demo.masks import (
    GRID,
    SPEC,
    KnownClip,
    errors_of,
    known_clip,
    masks,
    shares_of,
    table_of_errors,
    train,
)
from wsvad_lightning.demo.render import list_clips
from wsvad_lightning.methods import SVMAEPretraining
from wsvad_lightning.speed.extraction import moving_texture


def test_pixels_that_move_are_those_that_differ_from_the_frame_before() -> None:
    """Away from shadows and noise, what changes much is an actor that moves, and such an actor changes."""
    clip = next(clip for clip in list_clips(SPEC, 0) if clip.label == "vehicle")
    scene, rng = clip.scene()
    size = clip.spec.width, clip.spec.height
    frame = int(np.flatnonzero(scene.anomalous)[5])
    before, after = (
        picture.astype(float)
        for picture in islice(draw_scene(scene, clip.camera, size, rng), frame - 1, frame + 1)
    )
    changed = np.abs(after - before).mean(axis=2) > 40
    earlier, moving = islice(moving_pixels(scene, clip.camera, size), frame - 1, frame + 1)
    assert 0 < moving.mean() < 0.5
    assert (earlier | moving)[changed].mean() > 0.8
    assert changed[moving].mean() > 3 * changed.mean()


def test_objects_are_counted_in_tokens_that_they_fill_by_a_tenth() -> None:
    pictures = np.zeros((16, 96, 144, 3), np.uint8)
    objects = np.zeros((16, 96, 144), bool)
    objects[:2, :6, :5] = True  # 30 of the 256 places of the first tube
    objects[:2, 16:21, :5] = True  # 25 of one in the second row
    assert known_clip(pictures, objects).on_object.nonzero().tolist() == [[0]]


def test_masks_by_motion_show_more_of_what_moves_than_tubes() -> None:
    torch.manual_seed(0)
    pixels = torch.zeros(3, *(GRID.frames, *GRID.size))
    pixels[:, 1::2, 48:80, 48:80] = 1.0  # four places that flicker
    on_object = torch.zeros(GRID.shape, dtype=torch.bool)
    on_object[:, 3:5, 3:5] = True
    found = dict(zip(["none", *masks()], shares_of([KnownClip(pixels, on_object.flatten())]), strict=True))
    assert found["none"] == pytest.approx(4 / 54)
    assert found["tube"] == pytest.approx(4 / 54, rel=0.5)
    assert found["scene, a = 0.2"] > 2 * found["tube"]


def test_errors_are_those_of_the_masked_tokens_of_a_region() -> None:
    """Without a prediction the error is the target's mean square: 511/512 of texture, 0 of plain tubes."""
    torch.manual_seed(0)
    model = SVMAEPretraining(
        size=GRID.size, dim=12, depth=1, heads=2, decoder_dim=8, decoder_depth=1, decoder_heads=2
    )
    torch.nn.init.zeros_(model.net.head.weight)
    pixels, on_object = torch.full((3, 16, 96, 144), 0.5), torch.zeros(GRID.shape, dtype=torch.bool)
    pixels[:, :, 80:, :72] = torch.rand(3, 16, 16, 72)  # the lower left: half of the nearest row
    on_object[:, 5, :4] = True
    found = errors_of(model.eval(), [KnownClip(pixels, on_object.flatten())])
    assert found["moving"] == pytest.approx(511 / 512, abs=1e-4)
    assert found["far"] == 0
    assert 0 < found["all"] < found["moving"]


def test_a_training_by_a_kind_of_mask_is_tabulated(tmp_path: Path) -> None:
    moving_texture(tmp_path / "0.mp4", 300)
    model = train("scene, plain loss", 3, str(tmp_path), 1, str(tmp_path / "runs"))
    assert model.mask == "scene"
    assert model.levels.tolist() == [1.0]
    assert (tmp_path / "runs" / "scene_plain_loss").is_dir()
    table = table_of_errors({"tube": [[1.0, 2.0, 3.0], [2.0, 2.0, 3.0]]}, ["rendered"], "errors")
    assert [next(iter(column.cells)) for column in table.columns][:2] == ["tube", "1.500 ± 0.500"]
