"""Peaks as scipy finds them, and what is splatted on peaks whose shape is known."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import find_peaks, peak_prominences

from wsvad_lightning.losses import splat, splatting_bce
from wsvad_lightning.losses.gaussian_splatting import Sigma, local_maxima, prominences


@pytest.mark.filterwarnings("ignore:some peaks have a prominence of 0")  # on a plateau, among few neighbours
@pytest.mark.parametrize("neighbours", [None, 1, 2, 5])
def test_peaks_and_prominences_are_those_of_scipy(neighbours: int | None) -> None:
    rng = np.random.default_rng(0)
    found = 0
    for length in range(1, 60):
        curves = rng.integers(0, 6, (8, length)) / 4  # with plateaus
        mine = local_maxima(torch.from_numpy(curves))
        for curve, own in zip(curves, mine, strict=True):
            places = find_peaks(curve)[0]
            assert own.nonzero()[:, 0].tolist() == places.tolist()
            wlen = None if neighbours is None else 2 * neighbours + 1
            expected = peak_prominences(curve, places, wlen)[0]
            rows = torch.from_numpy(curve).expand(len(places), -1)
            assert prominences(rows, torch.from_numpy(places), neighbours).tolist() == expected.tolist()
            found += len(places)
    assert found > 1000


def gauss(offset: float, sigma: float) -> float:
    return math.exp(-(offset**2) / (2 * sigma**2))


def test_a_broad_peak_reaches_down_to_a_deviation_below() -> None:
    # Two steps up, three down: w = 2. The mean of 0.7, 0.9, 1, 0.9, 0.5 is 0.8, their variance 0.032.
    curve = torch.tensor([[0.7, 0.9, 1.0, 0.9, 0.5, 0.4, 0.4]])
    labels = splat(curve, prominence=0.2, neighbours=None, sigma="snippets")
    torch.testing.assert_close(labels, torch.tensor([[0, gauss(1, 1), 1, gauss(1, 1), 0, 0, 0]]))
    labels = splat(curve, prominence=0.2, neighbours=None, sigma="score")
    spread = gauss(1, math.sqrt(0.032))
    assert spread < 1e-6  # no snippet is as near as the deviation of scores: the peak alone is labelled
    torch.testing.assert_close(labels, torch.tensor([[0, spread, 1, spread, 0, 0, 0]]))


@pytest.mark.parametrize(("rise", "fall", "width"), [(1, 4, 1), (3, 5, 3), (4, 2, 2)])
def test_the_shorter_slope_is_the_width(rise: int, fall: int, width: int) -> None:
    # Nothing but the width limits: high slopes before a fall to zero would, so both sides end high.
    up, down = torch.linspace(0.6, 0.96, rise + 1)[:-1], torch.linspace(1, 0.6, fall + 1)[1:]
    curve = torch.cat([torch.ones(1) * 0.7, up, torch.ones(1), down, torch.ones(1) * 0.7])
    labels = splat(curve[None].double() * torch.ones(1, 1), 0.0, None, "snippets")[0]
    peak = rise + 1
    assert labels[peak] == 1
    near = [t for t in range(len(curve)) if abs(t - peak) <= width]
    deviation = curve[near].std(correction=0).item()
    for t in range(len(curve)):
        inside = t in near and curve[t] >= 1 - deviation
        assert labels[t].item() == pytest.approx(gauss(t - peak, width / 2) if inside else 0.0, abs=1e-6), t


def test_peaks_add_up_and_the_largest_sum_is_one() -> None:
    # Peaks at 2 and 4 share the snippet between them; each has w = 1 and a deviation of more than 0.04.
    curve = torch.tensor([[0.0, 0.1, 1.0, 0.95, 1.0, 0.1, 0.0]])
    labels = splat(curve, prominence=0.01, neighbours=None, sigma="snippets")
    between, top = 2 * gauss(1, 0.5), 1.0
    torch.testing.assert_close(labels, torch.tensor([[0, 0, top, between, top, 0, 0]]))


def test_faint_peaks_and_ends_are_none() -> None:
    faint = torch.tensor([[0.5, 0.6, 0.5, 0.5], [0.1, 0.3, 0.6, 0.9], [0.5, 0.5, 0.5, 0.5]])
    assert not splat(faint, prominence=0.2, neighbours=None, sigma="snippets").any()
    assert splat(faint, prominence=0.05, neighbours=None, sigma="snippets").any(dim=-1).tolist() == [
        True,
        False,
        False,
    ]


def test_neighbours_keep_slow_peaks_out() -> None:
    slow = torch.cat([torch.linspace(0, 0.9, 10), torch.linspace(0.8, 0, 9)])[None]
    assert splat(slow, prominence=0.25, neighbours=None, sigma="snippets").any()
    assert not splat(slow, prominence=0.25, neighbours=2, sigma="snippets").any()


@pytest.mark.parametrize("sigma", ["snippets", "score"])
def test_each_curve_is_labelled_for_itself(sigma: Sigma) -> None:
    curves = torch.rand(7, 40)
    together = splat(curves, 0.2, None, sigma)
    alone = torch.cat([splat(curve[None], 0.2, None, sigma) for curve in curves])
    torch.testing.assert_close(together, alone)
    assert together.amax(dim=-1).tolist() == [1.0] * 7


def test_only_curves_with_a_peak_cost() -> None:
    scores = torch.tensor([[0.5, 0.8], [0.9, 0.1]], requires_grad=True)
    loss = splatting_bce(scores, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    assert loss.item() == pytest.approx(-(math.log(0.5) + math.log(0.8)) / 2)
    nothing = splatting_bce(scores, torch.zeros(2, 2))
    assert nothing.item() == 0
    torch.autograd.backward(nothing)
