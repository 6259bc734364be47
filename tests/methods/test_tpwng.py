"""TPWNG: each equation of the paper by hand, its text side, and what it is better at than plain MIL."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.plain_mil import PlainSpanMIL
from tests.methods.small import CLASSES, small
from tests.methods.towers import save_tower, tiny_tower
from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.methods import TPWNG
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.tpwng import (
    Matches,
    TPWNGNet,
    alignment_losses,
    normality_prompt,
    pseudo_labels,
)
from wsvad_lightning.types import WSVADBatch


def test_the_normality_prompt_by_hand() -> None:
    rows = torch.tensor([[[math.log(3), 0.0], [0.0, 4.0]]])
    prompt = normality_prompt(torch.tensor([1.0, 0.0]), rows)  # weights 3 : 1
    torch.testing.assert_close(prompt, torch.tensor([[0.75 * math.log(3), 1.0]]))


def test_the_guided_text_adds_what_the_network_makes_of_both() -> None:
    net = TPWNGNet(feature_dim=2, text_dim=2)
    of_text, of_prompt = [1.0, 0, 0, 0], [0.0, 0, 0, 1]
    net.guide.load_state_dict(
        {
            "0.weight": torch.tensor([of_text, of_prompt]),
            "0.bias": torch.zeros(2),
            "2.weight": torch.eye(2),
            "2.bias": torch.zeros(2),
        }
    )
    rows = torch.tensor([[[math.log(3), 0.0], [0.0, 4.0]]])
    guided = net.guide_normal(torch.tensor([1.0, 0.0]), rows)
    expected = torch.tensor([[1.0, 0.0]]) + F.gelu(torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(guided, expected)


def test_pseudo_labels_by_hand() -> None:
    own = torch.tensor([[0.1, 0.2, 0.3, 0.1]])  # min-max 0, 0.5, 1, 0
    normal = torch.tensor([[0.4, 0.2, 0.0, 0.1]])  # min-max 1, 0.5, 0, 0.25
    # psi = 0.2 * own + 0.8 * (1 - normal) = 0, 0.5, 1, 0.6
    assert pseudo_labels(own, normal, 0.2, 0.55).tolist() == [[0, 0, 1, 1]]
    assert pseudo_labels(own, normal, 0.2, 0.35).tolist() == [[0, 1, 1, 1]]
    assert pseudo_labels(own, normal, 0.2, 0.65).tolist() == [[0, 0, 1, 0]]
    assert pseudo_labels(own, normal, 1.0, 0.55).tolist() == [[0, 0, 1, 0]]


def test_alignment_losses_by_hand() -> None:
    matches = Matches(
        normal_normal=torch.tensor([[0.5, 0.3], [0.2, 0.1]]),
        normal_anomaly=torch.tensor([[[0.1, 0.4], [0.2, 0.0]], [[0.0, 0.0], [-0.1, 0.1]]]),
        abnormal_normal=torch.tensor([[1.0, 0.0], [0.3, 0.4]]),
        abnormal_own=torch.tensor([[0.6, 0.8], [0.4, -0.3]]),
    )
    losses = alignment_losses(matches)
    assert losses["rank_abnormal"].item() == pytest.approx((1 - 0.8 + 0.4 + 1 - 0.4 + 0.1) / 2)
    assert losses["rank_normal"].item() == pytest.approx((1 - 0.5 + 0.4 + 1 - 0.2 + 0.1) / 2)
    assert losses["inconsistency"].item() == pytest.approx((0.6 + 0.0) / 2)


def matched(own: list[bool]) -> tuple[Matches, Tensor]:
    method = small("TPWNG")
    assert isinstance(method, TPWNG)
    features = torch.randn(2, 3, 5, 8)
    matches = method.net.match(features, torch.tensor([own]))
    texts = method.net.prompt()[1:]
    return matches, F.cosine_similarity(features[1][..., None, :], texts, dim=-1)


def test_an_abnormal_video_is_compared_with_its_own_classes() -> None:
    matches, cosines = matched([False, True, False])
    torch.testing.assert_close(matches.abnormal_own[0], cosines[..., 1])
    matches, cosines = matched([True, False, True])
    torch.testing.assert_close(matches.abnormal_own[0], cosines[..., [0, 2]].amax(dim=-1))


def test_a_video_of_unknown_class_is_compared_with_all() -> None:
    matches, cosines = matched([False, False, False])
    torch.testing.assert_close(matches.abnormal_own[0], cosines.amax(dim=-1))


def test_the_projection_starts_as_clips_and_is_learnt_alone_of_the_tower() -> None:
    tower = tiny_tower(8)
    method = small("TPWNG")
    assert isinstance(method, TPWNG)
    projection = method.net.prompt.projection
    assert projection is not None
    torch.testing.assert_close(projection.weight.data, tower.model.text_projection.weight.data)
    trained = [name for name, _ in method.named_parameters() if name.startswith("net.prompt.")]
    assert trained == ["net.prompt.vectors", "net.prompt.projection.weight"]
    assert not any(parameter.requires_grad for parameter in tower.model.parameters())


def test_labels_of_normal_videos_are_zero() -> None:
    method = small("TPWNG").eval()
    assert isinstance(method, TPWNG)
    method.theta = 2.0  # psi is 1 at most: nothing is anomalous
    batch = classes_of(training_batch(*torch.randn(2, 2, 1, 6, 8)))
    nothing = method.compute_losses(batch)["bce"]
    scores = method.score(batch)
    torch.testing.assert_close(nothing, -torch.log(1 - scores).mean())
    method.theta = -1.0  # everything in abnormal videos is
    everything = method.compute_losses(batch)["bce"]
    torch.testing.assert_close(everything, -(torch.log(1 - scores[:2]) + torch.log(scores[2:])).mean() / 2)


def classes_of(batch: WSVADBatch) -> WSVADBatch:
    kinds = (batch.labels * (1 + torch.arange(len(batch.labels)) % len(CLASSES))).long()
    return batch._replace(class_targets=F.one_hot(kinds, 1 + len(CLASSES)).float())


def test_class_probabilities_share_the_score_out() -> None:
    method = small("TPWNG").eval()
    scores, classes = method.score_and_classify(evaluation_batch(torch.randn(2, 6, 8)))
    assert classes is not None
    torch.testing.assert_close(classes[..., 0], 1 - scores)
    torch.testing.assert_close(classes.sum(dim=-1), torch.ones(1, 6))


def test_from_a_store_to_a_checkpoint_and_back(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", dim=8, classes=("fall", "fight"), text_aligned=True)
    run = ["--data.store", str(store), "--output", str(tmp_path), "--name", "run"]
    tower = ["--model.text_tower", str(save_tower(tmp_path / "tower", 8))]
    fit = [
        "fit",
        "--config",
        "ucf_tpwng.yaml",
        *run,
        *tower,
        "--data.segments",
        "8",
        "--data.batch_size",
        "2",
    ]
    assert main([*fit, "--trainer.max_steps", "2"]) == 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    state = torch.load(checkpoint, weights_only=True)
    assert state["classes"]["texts"] == ["Normal", "Fall", "Fight"]
    assert "net.prompt.projection.weight" in state["state_dict"]
    assert main(["test", "--ckpt_path", str(checkpoint), *run]) == 0


DIM = 16
LENGTH = 24


def aligned(texts: Tensor, videos: int, seed: int) -> tuple[WSVADBatch, Tensor]:
    """Make videos whose snippets lie near the text of what they show, under noise; and their truth."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.zeros(2 * videos, LENGTH, dtype=torch.long)
    for video in range(videos):
        start = int(torch.randint(2, LENGTH - 10, (1,), generator=generator))
        kinds[videos + video, start : start + 8] = 1 + video % len(CLASSES)
    noise = torch.randn(2 * videos, LENGTH, DIM, generator=generator)
    features = 4 * F.normalize(texts, dim=-1)[kinds] + noise
    return classes_of_kinds(training_batch(*features.chunk(2)), kinds), (kinds > 0).float()


def classes_of_kinds(batch: WSVADBatch, kinds: Tensor) -> WSVADBatch:
    return batch._replace(class_targets=F.one_hot(kinds.amax(dim=1), 1 + len(CLASSES)).float())


def trained_auc(method: WSVADModule, train: WSVADBatch, test: WSVADBatch, truth: Tensor) -> float:
    """Train for a moment; rank the snippets of other videos."""
    optimizer = torch.optim.Adam(method.parameters(), 1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        torch.autograd.backward(method.total_loss(method.compute_losses(train)))
        optimizer.step()
    with torch.no_grad():
        scores = method.eval().score(test)
    positive, negative = scores[truth == 1], scores[truth == 0]
    return (positive[:, None] > negative).double().mean().item()


def test_texts_that_fit_the_features_are_worth_more_than_plain_mil() -> None:
    """Six videos of each side are few to learn four directions from, which the texts know."""
    gains = []
    for seed in range(2):
        method = small("TPWNG", DIM)
        assert isinstance(method, TPWNG)
        texts = method.net.prompt.features
        (train, _), (test, truth) = aligned(texts, 6, seed), aligned(texts, 30, 100 + seed)
        torch.manual_seed(seed)
        plain = PlainSpanMIL(DIM)
        gains.append(trained_auc(method, train, test, truth) - trained_auc(plain, train, test, truth))
    assert min(gains) > 0.04, gains
