import pytest
import torch

from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import HLNet


def small(**settings: object) -> HLNet:
    torch.manual_seed(0)
    return HLNet(feature_dim=8, **settings)  # type: ignore[arg-type]


def test_the_online_branch_sees_five_snippets_and_none_after_its_own() -> None:
    method = small(score_from="online").eval()
    video = torch.randn(2, 20, 8)
    changed = video.clone()
    changed[:, 10] += 1
    with torch.no_grad():
        before, after = (method.score(evaluation_batch(features))[0] for features in (video, changed))
        method.score_from = "offline"
        offline = [method.score(evaluation_batch(features))[0] for features in (video, changed)]
    assert (before != after).nonzero().flatten().tolist() == [10, 11, 12, 13, 14]
    assert (offline[0] != offline[1]).all()
    assert method.field_of_view == (4, 0)
    assert small().field_of_view is None


def test_online_scores_are_those_of_the_whole_pass() -> None:
    method = small(score_from="online").eval()
    batch = evaluation_batch(torch.randn(2, 20, 8))
    with torch.no_grad():
        whole = method.run(batch).online_logits.sigmoid().mean(dim=1)
        torch.testing.assert_close(method.score(batch), whole)


def test_padding_behind_the_longest_video_changes_no_loss() -> None:
    method = small(dropout=0.0)
    batch = training_batch(*torch.randn(2, 2, 3, 20, 8))._replace(lengths=torch.tensor([9, 14, 3, 12]))
    short, long = (
        method.compute_losses(batch._replace(features=batch.features[:, :, :length])) for length in (14, 20)
    )
    torch.testing.assert_close(short, long)


def test_the_online_branch_has_its_own_learning_rate() -> None:
    method = small(online_lr=1e-5, optimizer=lambda groups: torch.optim.Adam(groups, lr=1e-4))
    optimizer = method.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: rates[id(p)] for name, p in method.net.named_parameters()} == {
        name: 1e-5 if name.startswith("online.") else 1e-4 for name, _ in method.net.named_parameters()
    }
    with pytest.raises(WSVADError, match=r"model\.online_lr='0\.0': must be above 0"):
        small(online_lr=0.0)
