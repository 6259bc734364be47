import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.extraction.backbones.flow import (
    BANDS,
    DIRECTIONS,
    STATISTICS,
    flow_histogram,
    flow_statistics,
    measure_motion,
)
from wsvad_lightning.video.views import parse_views

FULL = parse_views("full")[0]
SIZE = 120


@pytest.fixture(scope="module")
def scene(texture: NDArray[np.uint8]) -> Tensor:
    """``[3, 120, 180]`` uint8."""
    return torch.from_numpy(texture[:SIZE, :180]).permute(2, 0, 1).contiguous()


def statistic(motion: Tensor, name: str) -> Tensor:
    return flow_statistics(motion, FULL)[:, STATISTICS.index(name)]


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, -1), (2, 2), (-3, 1), (0, 4)])
def test_flow_is_the_displacement(scene: Tensor, dx: int, dy: int) -> None:
    moved = scene.roll((dy, dx), dims=(1, 2))
    u, v, _ = measure_motion(torch.stack([scene, moved]), SIZE)[0]
    inside = (slice(15, -15), slice(15, -15))
    assert u[inside].median() == pytest.approx(dx, abs=0.25)
    assert v[inside].median() == pytest.approx(dy, abs=0.25)


def test_each_pair_of_frames_is_measured_for_itself(scene: Tensor) -> None:
    frames = torch.stack([scene.roll(shift, dims=2) for shift in (0, 1, 3, 3)])
    motion = measure_motion(frames, SIZE)
    assert motion.shape == (3, 3, 120, 180)
    for k in range(3):
        alone = measure_motion(frames[k : k + 2], SIZE)[0]
        torch.testing.assert_close(motion[k], alone, atol=1e-4, rtol=1e-4)


def test_speeds_do_not_depend_on_the_resolution(scene: Tensor) -> None:
    frames = torch.stack([scene, scene.roll(2, dims=2)])
    twice = frames.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert twice.shape[-2:] == (240, 360)
    difference = measure_motion(twice, SIZE) - measure_motion(frames, SIZE)
    assert difference[:, :2].abs().mean() < 0.1


@pytest.mark.parametrize("shape", [(97, 131), (131, 97), (33, 64)])
def test_frames_of_any_shape_are_compared_at_the_working_size(scene: Tensor, shape: tuple[int, int]) -> None:
    motion = measure_motion(scene[None, :, : shape[0], : shape[1]].repeat(2, 1, 1, 1), 64)
    assert min(motion.shape[-2:]) == 64
    assert motion.abs().max() < 1e-3


def test_light_is_no_motion(scene: Tensor) -> None:
    brighter = (scene.float() * 1.15 + 10).clamp(max=255).byte()
    motion = measure_motion(torch.stack([scene, brighter]), SIZE)
    assert statistic(motion, "energy") > 20
    assert statistic(motion, "q99") < 0.2
    assert statistic(motion, "moving") == 0


def test_noise_on_a_plain_wall_is_no_motion() -> None:
    noise = torch.randn(4, 3, SIZE, 160, generator=torch.Generator().manual_seed(0))
    motion = measure_motion((120 + 3 * noise).byte(), SIZE)
    assert (statistic(motion, "moving") < 0.01).all()


def walker(scene: Tensor, step: int) -> Tensor:
    """A patch of 40 x 30 pixels that moves to the right by ``step`` over a resting scene."""
    frames = scene.repeat(2, 1, 1, 1)
    for t, left in enumerate((60, 60 + step)):
        frames[t, :, 40:80, left : left + 30] = scene[:, 70:110, 120:150]
    return frames


def test_statistics_tell_how_much_moves_and_how_fast(scene: Tensor) -> None:
    slow, fast = (measure_motion(walker(scene, step), SIZE) for step in (1, 3))
    assert statistic(slow, "moving") == pytest.approx(40 * 30 / (120 * 180), rel=0.5)
    assert statistic(slow, "q50") < 0.1
    for name in ("energy", "mean", "std", "q95", "q99", "max"):
        assert statistic(fast, name) > 1.5 * statistic(slow, name)


def test_the_energy_is_the_mean_absolute_change_and_comes_first(scene: Tensor) -> None:
    frames = walker(scene, 2)
    weights = torch.tensor([0.299, 0.587, 0.114])
    grey = torch.einsum("kchw,c->khw", frames.float(), weights)
    motion = measure_motion(frames, SIZE)
    assert STATISTICS[0] == "energy"
    torch.testing.assert_close(flow_statistics(motion, FULL)[:, 0], (grey[1:] - grey[:-1]).abs().mean((1, 2)))


def test_statistics_of_a_known_field() -> None:
    motion = torch.zeros(1, 3, 8, 8)
    motion[0, 0, :, 4:], motion[0, 1, :, 4:], motion[0, 2] = 3.0, 4.0, 2.0  # half moves at speed 5
    values = dict(zip(STATISTICS, flow_statistics(motion, FULL)[0].tolist(), strict=True))
    assert values == pytest.approx(
        {"energy": 2, "moving": 0.5, "mean": 2.5, "std": 2.5, "q50": 2.5}
        | {"q75": 5, "q90": 5, "q95": 5, "q99": 5, "max": 5}
    )
    left, right = (flow_statistics(motion, view)[0].tolist() for view in parse_views("1x2"))
    assert left == pytest.approx([2.0] + [0.0] * 9)
    assert right == pytest.approx([2.0, 1.0, 5.0, 0.0] + [5.0] * 6)


@pytest.mark.parametrize(
    ("u", "v", "band", "direction"),
    [
        (1, 0, 0, 0),
        (0, 1, 0, 2),
        (-2, 0, 1, 4),
        (0, -2, 1, 6),
        (4, 4, 2, 1),
        (-4, -4.1, 2, 5),
        (0.2, 0, None, 0),
    ],
)
def test_the_histogram_sorts_by_speed_and_direction(
    u: float, v: float, band: int | None, direction: int
) -> None:
    motion = torch.tensor([u, v, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 6, 6)
    histogram = flow_histogram(motion, FULL)
    torch.testing.assert_close(histogram[:, : len(STATISTICS)], flow_statistics(motion, FULL))
    cells = histogram[0, len(STATISTICS) :].view(len(BANDS), DIRECTIONS)
    expected = torch.zeros_like(cells)
    if band is not None:
        expected[band, direction] = 1
    torch.testing.assert_close(cells, expected)


def test_a_mirrored_view_mirrors_the_directions(scene: Tensor) -> None:
    frames = walker(scene, 2)
    views = parse_views("ten_crop")
    plain = flow_histogram(measure_motion(frames, SIZE), views[2])
    mirrored = flow_histogram(measure_motion(frames, SIZE), views[7])
    right, left = (10 + DIRECTIONS + direction for direction in (0, 4))  # in the middle band
    assert plain[0, right] > 0.01
    assert mirrored[0, left] == pytest.approx(float(plain[0, right]), rel=0.2)
    assert plain[0, left] < 0.2 * plain[0, right]
    assert mirrored[0, right] < 0.2 * mirrored[0, left]
