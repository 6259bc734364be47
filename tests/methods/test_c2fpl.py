"""C2FPL: what its parity cases do not show."""

import pytest
import torch

from tests.methods.small import small
from tests.parity.batches import evaluation_batch
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods import C2FPL


def test_each_snippet_is_judged_by_its_own_label() -> None:
    method = small("C2FPL").eval()
    assert isinstance(method, C2FPL)
    method.take_prepared("c2fpl_labels", torch.tensor([0, 1, 1, 0, 1]))
    batch = evaluation_batch(torch.randn(2, 3, 8))._replace(positions=torch.tensor([[4, 0, 1]]))
    expected = probability_bce(method.score(batch), torch.tensor([[1.0, 0.0, 1.0]]))
    assert method.compute_losses(batch)["bce"].item() == pytest.approx(expected.item())


def test_scores_are_averaged_over_crops_and_know_no_neighbours() -> None:
    net = small("C2FPL").eval().net
    features = torch.randn(2, 3, 5, 8)
    crops = torch.stack([net(features[:, [n]]) for n in range(3)])
    torch.testing.assert_close(net(features), crops.mean(dim=0))
    torch.testing.assert_close(net(features)[:, 2:3], net(features[:, :, 2:3]))


def test_pseudo_labels_are_no_part_of_the_checkpoint() -> None:
    assert {name.split(".")[0] for name in small("C2FPL").state_dict()} == {"net"}
