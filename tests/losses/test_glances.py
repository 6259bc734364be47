"""What is mined around marks and splatted on them, against plain loops."""

import math

import torch
from torch import Tensor

from wsvad_lightning.losses import mine_glances, splat_marks


def loops(points: list[int], scores: list[float], alpha: float) -> list[int]:
    """The rule as a person would write it."""
    last, found = len(scores) - 1, set(points)
    for number, centre in enumerate(points):
        before = points[number - 1] if number else -1
        behind = points[number + 1] if number + 1 < len(points) else last
        for places in (range(centre - 1, before, -1), range(centre + 1, behind)):
            for place in places:
                if scores[place] < alpha * scores[centre]:
                    break
                found.add(place)
    return sorted(found)


def marked(points: list[list[int]], length: int) -> Tensor:
    marks = torch.zeros(len(points), length, dtype=torch.bool)
    for row, places in enumerate(points):
        marks[row, places] = True
    return marks


def test_mining_is_that_of_plain_loops() -> None:
    torch.manual_seed(0)
    for length in (1, 2, 3, 7, 30):
        for _ in range(20):
            scores = 0.8 + 0.2 * torch.rand(1, length)
            marks = torch.rand(1, length) < 0.2
            points = marks[0].nonzero().flatten().tolist()
            expected = loops(points, scores[0].tolist(), 0.9)
            assert mine_glances(marks, scores, 0.9)[0].nonzero().flatten().tolist() == expected


def test_the_last_segment_is_not_mined() -> None:
    flat = torch.ones(2, 5)
    assert mine_glances(marked([[2], [4]], 5), flat, 0.9).int().tolist() == [[1, 1, 1, 1, 0], [1] * 5]


def test_curves_are_stretched_twice_and_stay_finite() -> None:
    curves = splat_marks(marked([[0], [], [0, 1, 2, 3, 4], [2]], 5), sigma=0.5)
    assert curves[0, [0, 4]].tolist() == [1, 0]
    assert curves[1].tolist() == [0] * 5
    assert curves[2].tolist() == [1] * 5
    one, two = (math.exp(-((apart / 2) ** 2) / (2 * 0.5**2)) for apart in (1, 2))
    torch.testing.assert_close(
        curves[3],
        torch.tensor([0, (one - two) / (1 - two), 1.0]).index_select(0, torch.tensor([0, 1, 2, 1, 0])),
    )
    assert splat_marks(marked([[0]], 1), 0.1).tolist() == [[1]]
