"""What moves in rendered clips is known by the pixel, and how much of it masks show is measured."""

from itertools import islice

import numpy as np
import pytest
import torch

from wsvad_lightning.demo.drawing import draw_scene, moving_pixels
from wsvad_lightning.demo.masks import GRID, SPEC, KnownClip, known_clip, masks, shares_of
from wsvad_lightning.demo.render import list_clips


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
    objects[:2, :4, :4] = True  # a ninth of the first tube
    objects[:2, 12:15, :4] = True  # a twelfth of one in the second row
    assert known_clip(pictures, objects).on_object.nonzero().tolist() == [[0]]


def test_masks_by_motion_show_more_of_what_moves_than_tubes() -> None:
    torch.manual_seed(0)
    pixels = torch.zeros(3, *(GRID.frames, *GRID.size))
    pixels[:, 1::2, 36:60, 36:60] = 1.0  # four places that flicker
    on_object = torch.zeros(GRID.shape, dtype=torch.bool)
    on_object[:, 3:5, 3:5] = True
    found = dict(zip(["none", *masks()], shares_of([KnownClip(pixels, on_object.flatten())]), strict=True))
    assert found["none"] == pytest.approx(4 / 96)
    assert found["tube"] == pytest.approx(4 / 96, rel=0.5)
    assert found["scene, a = 0.2"] > 2 * found["tube"]
