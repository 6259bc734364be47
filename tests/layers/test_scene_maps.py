import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TubeGrid
from wsvad_lightning.layers.scene_maps import (
    FLOOR,
    cube_difference,
    depth_of_tubes,
    levels_of,
    perspective_prior,
    scene_weights,
)

GRID = TubeGrid(frames=6, size=(8, 8), tube=2, patch=4)  # 3 x 4 tokens


def test_motion_is_in_the_tubes_that_change_and_in_the_one_before() -> None:
    clips = torch.zeros(1, 3, 6, 8, 8)
    clips[:, :, 2:, :4, 4:] = 1.0  # from frame 2 on: the border between the first two tubes
    motion = cube_difference(clips, GRID).view(3, 4)
    expected = torch.zeros(3, 4)
    expected[0, 1] = 0.5  # one of its two differences, over the whole patch
    torch.testing.assert_close(motion, expected)
    clips[:, :, 5:, 4:, :4] = 0.5  # within the last tube
    expected[2, 2] = 0.25
    torch.testing.assert_close(cube_difference(clips, GRID).view(3, 4), expected)


def test_the_last_tube_is_compared_with_the_one_before_it() -> None:
    clips = torch.zeros(1, 3, 6, 8, 8)
    clips[:, :, 4:] = 1.0
    motion = cube_difference(clips, GRID).view(3, 4)
    torch.testing.assert_close(motion, torch.tensor([[0.0], [0.5], [0.5]]).expand(3, 4))


@pytest.mark.parametrize(("frames", "tube"), [(1, 1), (2, 2), (3, 1)])
def test_few_frames_have_finite_motion(frames: int, tube: int) -> None:
    grid = TubeGrid(frames, (8, 8), tube, 4)
    assert cube_difference(torch.rand(2, 3, frames, 8, 8), grid).shape == (2, grid.tokens)


def test_the_prior_grows_upwards() -> None:
    assert perspective_prior(GRID).tolist() == [[1.0, 1.0, 0.0, 0.0] * 3]
    assert perspective_prior(TubeGrid(2, (4, 4), 2, 4)).tolist() == [[0.0]]


def test_depth_streams_are_averaged_over_tubes() -> None:
    depth = torch.zeros(2, 6, 4, 2)
    depth[0, :2, :2, :1] = torch.tensor([1.0, 3.0]).view(2, 1, 1)  # the first tube of the clip
    expected = torch.zeros(2, 12)
    expected[0, 0] = 1.0
    torch.testing.assert_close(depth_of_tubes(depth, GRID), expected)


@pytest.mark.parametrize("shape", [(6, 3, 2), (6, 2, 3), (5, 2, 2), (6, 1, 1)])
def test_depth_of_another_grid_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(WSVADError, match=r"data.depth.*the tokens are 2 x 2 in 6 frames"):
        depth_of_tubes(torch.rand(1, *shape), GRID)


def test_maps_are_fused_by_share_and_no_token_is_never_seen() -> None:
    motion, depth = torch.tensor([[0.0, 0.1, 0.2]]), torch.tensor([[1.0, 0.0, 0.5]])
    torch.testing.assert_close(scene_weights(motion, depth, 0.5), torch.tensor([[0.5, 0.25, 0.75]]))
    torch.testing.assert_close(scene_weights(motion, depth, 0.0), torch.tensor([[FLOOR, 0.5, 1.0]]))
    still = scene_weights(torch.zeros(1, 3), torch.zeros(1, 3), 0.5)
    assert still.tolist() == [[pytest.approx(FLOOR)] * 3]


def test_depth_has_four_levels() -> None:
    depth = torch.tensor([[0.0, 0.24, 0.25, 0.6, 0.99, 1.0]])
    levels = levels_of(depth, torch.tensor([0.6, 0.8, 1.0, 1.2]))
    torch.testing.assert_close(levels, torch.tensor([[0.6, 0.6, 0.8, 1.0, 1.2, 1.2]]))
