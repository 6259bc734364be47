"""Which snippets represent a video."""

import torch

from wsvad_lightning.layers import MagnitudeSelection, magnitudes


def test_magnitude_is_the_mean_norm_over_crops() -> None:
    features = torch.tensor([[[[3.0, 4.0]], [[0.0, 1.0]]]])
    assert magnitudes(features).tolist() == [[3.0]]


def test_the_longest_snippets_are_selected_in_order() -> None:
    features = torch.tensor([1.0, 4.0, 2.0, 3.0])[None, None, :, None]
    assert MagnitudeSelection(3, exclude=0.0)(features).tolist() == [[1, 3, 2]]


def test_k_is_clamped_to_the_number_of_snippets() -> None:
    assert MagnitudeSelection(3).eval()(torch.ones(2, 1, 1, 4)).tolist() == [[0], [0]]


def test_training_excludes_snippets_at_random_and_scoring_does_not() -> None:
    features = torch.arange(1.0, 21.0)[None, None, :, None]
    selection = MagnitudeSelection(1, exclude=0.7)
    torch.manual_seed(0)
    drawn = {selection(features).item() for _ in range(50)}
    assert len(drawn) > 5
    assert {selection.eval()(features).item() for _ in range(5)} == {19}
