import pytest
import torch
from torch.nn import functional

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.views import grid_of, parse_views, resize, view_images


def test_patches_cover_the_frame_row_by_row() -> None:
    pixels = torch.arange(6 * 9).view(6, 9)
    patches = parse_views("2x3")
    assert [patch.name for patch in patches] == ["r0c0", "r0c1", "r0c2", "r1c0", "r1c1", "r1c2"]
    torch.testing.assert_close(patches[1].cut(pixels), pixels[0:3, 3:6])
    rows = [torch.cat([patch.cut(pixels) for patch in patches[i : i + 3]], dim=1) for i in (0, 3)]
    torch.testing.assert_close(torch.cat(rows), pixels)


@pytest.mark.parametrize("shape", [(7, 11), (100, 101), (2, 3), (1, 1)])
def test_patches_of_uneven_frames_have_one_size_and_reach_every_edge(shape: tuple[int, int]) -> None:
    seen = torch.zeros(shape)
    cuts = [patch.cut(seen) for patch in parse_views("2x3")]
    assert len({cut.shape for cut in cuts}) == 1
    for cut in cuts:
        cut += 1  # views of the same memory
    assert seen[0, 0] > 0
    assert seen[-1, -1] > 0
    assert (seen > 0).float().mean() >= 0.8  # an odd rest may leave single lines


def test_crops_are_squares_at_the_corners_and_the_centre() -> None:
    pixels = torch.arange(16 * 24).view(16, 24)
    names = [view.name for view in parse_views("five_crop")]
    assert names == ["top_left", "top_right", "center", "bottom_left", "bottom_right"]
    corner, _, center, *_ = (view.cut(pixels) for view in parse_views("five_crop"))
    torch.testing.assert_close(corner, pixels[:14, :14])
    torch.testing.assert_close(center, pixels[1:15, 5:19])
    torch.testing.assert_close(parse_views("center")[0].cut(pixels), center)


def test_ten_crops_are_five_and_the_same_places_of_the_mirrored_frame() -> None:
    pixels = torch.rand(3, 16, 24)
    ten = parse_views("ten_crop")
    assert ten[:5] == parse_views("five_crop")
    for place, mirrored in zip(ten[:5], ten[5:], strict=True):
        torch.testing.assert_close(mirrored.cut(pixels), place.cut(pixels.flip(-1)))
    assert [view.name for view in ten[5:7]] == ["top_right_mirrored", "top_left_mirrored"]


@pytest.mark.parametrize("name", ["", "whole", "0x3", "2x", "2x3x4", "100x1", " 2x3"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(WSVADError, match=r"five_crop, ten_crop or a grid"):
        parse_views(name)


def test_resizing_is_antialiased_and_within_one_of_the_exact_result() -> None:
    frames = torch.randint(0, 256, (2, 97, 131, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    exact = functional.interpolate(frames.float(), (32, 48), mode="bilinear", antialias=True)
    assert (resize(frames, 32, 48) - exact).abs().max() <= 1
    stripes = torch.tensor([0, 200], dtype=torch.uint8).repeat(32).expand(1, 3, 64, 64)
    assert (resize(stripes, 16, 16)[..., 1:-1] == 100).all()


def test_images_come_frame_by_frame() -> None:
    frames = torch.zeros(2, 3, 10, 12, dtype=torch.uint8)
    frames[1, :, :, 8:] = 90
    images = view_images(frames, parse_views("1x3"), 4)
    assert images.sum(dim=(2, 3, 4)).tolist() == [[0, 0, 0], [0, 0, 90 * 48]]


def test_the_grid_of_views_is_read_from_their_names() -> None:
    assert grid_of([view.name for view in parse_views("3x5")]) == (3, 5)
    assert grid_of(["r0c0"]) == (1, 1)
    for views in (["full"], ["r0c0", "r1c1"], ["crop0", "r0c1"], [v.name for v in parse_views("ten_crop")]):
        assert grid_of(views) is None
