import math

import pytest
import torch

from wsvad_lightning.losses import probability_bce, ranking_hinge, topk_bce


def test_topk_bce_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [0.2, 0.2, 0.4]])
    expected = -(math.log(0.7) + math.log(1 - 0.3)) / 2
    torch.testing.assert_close(topk_bce(scores, torch.tensor([1.0, 0.0]), k=2).item(), expected)


def test_k_is_clamped_to_the_bag() -> None:
    scores = torch.tensor([[0.25]])
    torch.testing.assert_close(topk_bce(scores, 1.0, k=13).item(), -math.log(0.25))


def test_certain_and_wrong_is_finite() -> None:
    assert probability_bce(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])).item() == 100.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_refuse_it(dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=dtype):
        loss = probability_bce(torch.tensor([0.999], dtype=dtype), 1.0)
    assert loss.dtype is torch.float32


def test_ranking_hinge_by_hand() -> None:
    normal = torch.tensor([[0.1, 0.5], [0.0, 0.2], [0.9, 0.3]])
    abnormal = torch.tensor([[0.8, 0.8], [0.7, 0.1], [0.0, 0.6]])
    matched = (0.2 + 0.0 + 0.8) / 3
    assert ranking_hinge(normal, abnormal, "matched", margin=0.5).item() == pytest.approx(matched)
    every = (0.2 + 0.0 + 0.6) + (0.3 + 0.0 + 0.7) + (0.4 + 0.1 + 0.8)
    assert ranking_hinge(normal, abnormal, "all", margin=0.5).item() == pytest.approx(every / 3)
