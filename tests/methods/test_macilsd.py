"""MACIL-SD: crossed streams, videos sorted by their prediction, growing weights, and the pull of the twin."""

import pytest
import torch

from tests.methods.small import small
from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import MACILSD
from wsvad_lightning.methods.macilsd import CONTRASTS, MACILSDOutput, contrast, pick_rows


def make() -> MACILSD:
    method = small("MACILSD")
    assert isinstance(method, MACILSD)
    return method


def output(logits: torch.Tensor) -> MACILSDOutput:
    torch.manual_seed(1)
    streams = torch.randn(2, *logits.shape, 5)
    return MACILSDOutput(logits / 2, logits / 2, *streams)


def test_only_what_both_streams_share_is_scored() -> None:
    """Sound and sight change all scores; the twin does not hear."""
    method = make().eval()
    video = torch.randn(2, 20, 8)
    louder, brighter = video.clone(), video.clone()
    louder[..., -1] += 1
    brighter[..., 0] += 1
    with torch.no_grad():
        plain, loud, bright = (
            method.score(evaluation_batch(features)) for features in (video, louder, brighter)
        )
        assert method.net.twin is not None
        twin, deaf = (method.net.twin(features[None]) for features in (video, louder))
    assert (plain != loud).all()
    assert (plain != bright).all()
    assert torch.equal(twin, deaf)


def test_rows_are_picked_among_valid_snippets_and_so_many_count() -> None:
    stream = torch.arange(20.0)[None, :, None]
    logits = torch.tensor([0.0, 3, 1, 2] + [9] * 16)[None]
    of_four = pick_rows(stream, logits, torch.tensor([4]), torch.tensor([1]))
    assert (of_four.top[0, 0].item(), of_four.low[0, 0].item(), of_four.mean.item()) == (1, 0, 1)
    of_all = pick_rows(stream, -logits, torch.tensor([20]), torch.tensor([2]))
    assert of_all.mean.item() == 1  # of the snippets 0 and 2


def test_the_contrast_by_hand() -> None:
    """One video of each kind, of four snippets: k is 1, and the streams are crossed."""
    logits = torch.tensor([[[-1.0, -2, -3, -4]], [[1.0, 2, 4, -5]]])
    out = output(logits)
    terms = contrast(out, torch.tensor([[4], [4]]), temperature=0.1)
    normal, abnormal = out.visual[0, 0], out.visual[1, 0]
    of_audio, of_visual = out.audio[0, 0], out.audio[1, 0]

    def expected(query: torch.Tensor, right: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        alike = torch.stack([torch.cosine_similarity(query, row, dim=0) for row in (right, *others)])
        return -(alike / 0.1).log_softmax(dim=0)[0]

    low = (of_audio[3], of_visual[3])
    torch.testing.assert_close(terms["a2v_a2b"], expected(abnormal[2], of_visual[2], *low))
    torch.testing.assert_close(terms["a2v_a2n"], expected(abnormal[2], of_visual[2], of_audio[0]))
    low = (normal[3], abnormal[3])
    torch.testing.assert_close(terms["v2a_a2b"], expected(of_visual[2], abnormal[2], *low))
    torch.testing.assert_close(terms["v2a_a2n"], expected(of_visual[2], abnormal[2], normal[0]))


@pytest.mark.parametrize("sign", [-1, 1])
def test_without_videos_of_both_kinds_nothing_is_contrasted(sign: int) -> None:
    out = output(sign * torch.rand(3, 1, 6))
    assert [term.item() for term in contrast(out, torch.full((3, 1), 6), 0.1).values()] == [0] * 4


def test_padding_behind_the_longest_video_changes_no_loss() -> None:
    method = make().eval()
    batch = training_batch(*torch.randn(2, 2, 3, 40, 8))._replace(lengths=torch.tensor([9, 34, 3, 12]))
    short, long = (
        method.compute_losses(batch._replace(features=batch.features[:, :, :length])) for length in (34, 40)
    )
    torch.testing.assert_close(short, long)


def test_weights_of_the_contrast_grow() -> None:
    method = make()
    losses = dict.fromkeys(method.loss_weights, torch.tensor(1.0))
    totals = []
    for method.epoch in (0, 3, 50):
        totals.append(method.total_loss(losses).item())
    assert totals == pytest.approx([2, 2 + 4 * 0.3, 2 + 4 * 1.5])
    assert set(CONTRASTS) < set(losses)


def test_the_network_is_pulled_towards_its_twin() -> None:
    method = make()
    before = {name: value.clone() for name, value in method.net.named_parameters()}
    method.net.pull(0.75)
    for name, value in method.net.named_parameters():
        own = before[name]
        other = before.get(name.replace("joint.", "twin."), own)  # of what both have
        torch.testing.assert_close(value, 0.75 * own + 0.25 * other)
    assert [method.momentum_after(epoch) for epoch in (0, 25, 50, 60)] == pytest.approx([0.91, 0.955, 1, 1])


def test_without_a_twin_there_is_none_to_train() -> None:
    method = MACILSD(8, audio_dim=3, hidden_dim=8, distill=False, visual_lr=1e-5)
    assert "single" not in method.loss_weights
    assert len(method.trained_parameters()) == 1
    both = make()
    both.visual_lr = 1e-5
    assert [group.get("lr") for group in both.trained_parameters()] == [None, 1e-5]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"audio_dim": 8}, "model.audio_dim='8': sound is a part of the 8 channels"),
        ({"audio_dim": 0}, "model.audio_dim='0'"),
        ({"hidden_dim": 6}, "model.hidden_dim='6': its channels are divided among 4 heads"),
        ({"epoch_steps": 0}, "model.epoch_steps='0': must be at least 1"),
        ({"temperature": 0.0}, "model.temperature='0.0': must be above 0"),
        ({"momentum": 1.5}, r"model.momentum='1.5': must be in \[0, 1\]"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        MACILSD(8, **{"audio_dim": 3, "hidden_dim": 8, **settings})  # type: ignore[arg-type]
