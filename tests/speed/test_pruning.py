import pytest
import torch

from wsvad_lightning.speed.pruning import agreement


def test_maps_agree_by_what_is_left_and_by_their_highest_patches() -> None:
    full = torch.arange(1.0, 21.0).reshape(1, 4, 5) / 20
    pruned = full.clone()
    pruned.view(-1)[[0, 1, 19]] = 0  # the highest patch was dropped
    kept, correlation, common = agreement(full, pruned)
    assert kept == pytest.approx(17 / 20)
    assert correlation == pytest.approx(1)
    assert common == 0.5
    _, correlation, common = agreement(full, 1 - full * 0.5)
    assert correlation == pytest.approx(-1)
    assert common == 0
