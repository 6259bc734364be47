"""BN-WVAD: what its parity case does not show."""

import pytest
import torch
from torch import Tensor, nn

from tests.methods.small import small
from tests.parity.batches import training_batch
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import BNWVAD
from wsvad_lightning.methods.bnwvad import divergence, select_pairs


def test_divergence_by_hand() -> None:
    norm = nn.BatchNorm1d(2)
    norm.running_mean = torch.tensor([1.0, -1.0])
    norm.running_var = torch.tensor([4.0, 0.25])
    features = torch.tensor([[[7.0, 1.0], [1.0, -1.0]]])  # [1, C, T]
    torch.testing.assert_close(divergence(features, norm), torch.tensor([[5.0, 0.0]]))


def test_divergence_survives_what_never_varied() -> None:
    norm = nn.BatchNorm1d(1)
    norm.running_mean, norm.running_var = torch.tensor([3.0]), torch.zeros(1)
    features = torch.tensor([[[3.0, 4.0]]], requires_grad=True)
    distances = divergence(features, norm)
    torch.autograd.backward(distances.sum())
    torch.testing.assert_close(distances, torch.tensor([[0.0, 1e6]]))
    assert features.grad is not None
    assert features.grad.isfinite().all()


def pairs(normal: Tensor, abnormal: Tensor, sample_ratio: float, batch_ratio: float) -> tuple[Tensor, Tensor]:
    normal_index, abnormal_index, is_pair = select_pairs(normal, abnormal, sample_ratio, batch_ratio)
    return normal_index[is_pair], abnormal_index[is_pair]


def test_pairs_join_both_selections_and_rank_the_normal_rows() -> None:
    abnormal = torch.tensor([[0.1, 0.9, 0.8, 0.7, 0.2], [0.5, 0.3, 0.2, 0.1, 0.4]])
    normal = torch.tensor([[1.0, 4.0, 2.0, 0.0, 3.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    normal_index, abnormal_index = pairs(normal, abnormal, sample_ratio=0.2, batch_ratio=0.3)
    assert abnormal_index.tolist() == [1, 2, 3, 5]  # three of the half, and the best of the second row
    assert normal_index.tolist() == [1, 5 + 4, 4, 5 + 3]


def test_everything_selected_pairs_every_snippet_once() -> None:
    normal, abnormal = torch.rand(2, 3, 4)
    normal_index, abnormal_index = pairs(normal, abnormal, sample_ratio=1.0, batch_ratio=0.0)
    assert normal_index.sort().values.tolist() == abnormal_index.tolist() == list(range(12))


def test_one_snippet_a_row_is_the_least() -> None:
    normal, abnormal = torch.rand(2, 5, 1)
    normal_index, abnormal_index = pairs(normal, abnormal, sample_ratio=0.2, batch_ratio=0.0)
    assert normal_index.tolist() == abnormal_index.tolist() == list(range(5))


def test_crops_train_like_bags_of_their_own() -> None:
    normal, abnormal = torch.randn(2, 2, 3, 10, 8)
    together = small("BNWVAD").compute_losses(training_batch(normal, abnormal))
    apart = small("BNWVAD").compute_losses(
        training_batch(normal.flatten(0, 1)[:, None], abnormal.flatten(0, 1)[:, None])
    )
    for term, value in together.items():
        torch.testing.assert_close(value, apart[term])


def test_the_batch_counts_before_it_is_measured() -> None:
    method = small("BNWVAD")
    assert isinstance(method, BNWVAD)
    batch = training_batch(*torch.randn(2, 1, 1, 10, 8))
    _, (first, _) = method.net.score_crops(batch.features)
    _, (again, _) = method.eval().net.score_crops(batch.features)
    torch.testing.assert_close(first, again)  # the statistics did not change in between


@pytest.mark.parametrize(
    ("argument", "value"), [("hidden_dim", 16), ("sample_ratio", 1.2), ("batch_ratio", -0.1)]
)
def test_arguments_out_of_range_are_named(argument: str, value: float) -> None:
    with pytest.raises(WSVADError, match=f"model.{argument}"):
        BNWVAD(**{argument: value})  # type: ignore[arg-type]  # one of several
