"""DSANet: what is taken for normal, padding, whom each term teaches, and two optimizers in one run."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.methods.towers import save_tower, tiny_tower
from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import DSANet
from wsvad_lightning.methods.base.two_branch import Padding
from wsvad_lightning.methods.dsanet import lowest
from wsvad_lightning.types import WSVADBatch

TEXTS = ["normal", "fall", "fight"]


def make(length: int = 8, padding: Padding = "seen", num_prototypes: int = 3) -> DSANet:
    torch.manual_seed(0)
    method = DSANet(
        feature_dim=8,
        length=length,
        layers=1,
        window=4,
        padding=padding,
        adapted_blocks=1,
        num_prototypes=num_prototypes,
        decoder_depth=2,
        refiner_heads=2,
    )
    method.net.prompt.use(tiny_tower(8), TEXTS)
    return method


def batch_of(length: int = 8, valid: int | None = None) -> WSVADBatch:
    torch.manual_seed(1)
    batch = training_batch(*torch.randn(2, 2, 1, length, 8))
    lengths = torch.full((4,), valid or length)
    return batch._replace(lengths=lengths, class_targets=F.one_hot(torch.tensor([0, 0, 1, 2]), 3).float())


def test_the_lowest_part_is_rounded_down() -> None:
    scores = torch.tensor([[0.5, 0.1, 0.9, 0.3, 0.2]])
    assert lowest(scores, 0.79).int().tolist() == [[0, 1, 0, 1, 1]]
    assert lowest(scores, 0.1).int().tolist() == [[0, 1, 0, 0, 0]]  # at least one
    first_three = torch.arange(5)[None] < 3
    assert lowest(scores, 0.7, first_three).int().tolist() == [[1, 1, 0, 0, 0]]


@torch.no_grad()
def test_masked_padding_changes_no_term_and_seen_padding_does() -> None:
    paddings: tuple[Padding, ...] = ("seen", "masked")
    for padding in paddings:
        short, long = make(8, padding), make(16, padding)
        state = long.state_dict()
        short.load_state_dict({**state, "net.position": state["net.position"][:8]})
        exact, padded = (method.compute_losses(batch_of()) for method in (short, long))
        same = [torch.allclose(exact[term], padded[term], atol=1e-5) for term in exact if term != "text"]
        assert all(same) if padding == "masked" else not any(same), padding


def teaches(term: str) -> set[str]:
    """The parts of the network that a term has gradients for."""
    method = make()
    torch.autograd.backward(method.compute_losses(batch_of())[term])
    grads = {name: one.grad for name, one in method.net.named_parameters()}
    return {
        ".".join(name.split(".")[: 2 if name.startswith("refiner") else 1])
        for name, grad in grads.items()
        if grad is not None and grad.abs().sum() > 0
    }


VISUAL = {"position", "context", "mix_alike", "mix_near", "fuse"}


def test_each_term_teaches_its_part() -> None:
    assert teaches("gather") == {"refiner.prototypes", "refiner.gather"}
    of_scores = {*VISUAL, "refine_visual", "to_logit"}
    rebuilding = {"refiner.prototypes", "refiner.gather", "refiner.bottleneck", "refiner.decoder"}
    assert teaches("consistency") == of_scores | rebuilding
    assert teaches("event") == teaches("background") == of_scores | {"prompt"}
    assert teaches("text") == {"prompt"}


def test_pooled_features_of_high_scores_are_events() -> None:
    method = make()
    out = method.study(batch_of())
    scores = out.branches.logits.sigmoid()[0, 0]
    chunks, valid = method.net.cut(batch_of().features, batch_of().lengths)
    visual = method.net.encode(chunks, valid)[0, 0, 0]
    for logits, part in ((out.event_logits, scores), (out.background_logits, 1 - scores)):
        weights = (10 * part).exp() - 1
        shown = (weights[:, None] * visual).sum(dim=0) / weights.sum()
        expected = F.cosine_similarity(shown, out.branches.texts, dim=-1) / 0.07
        torch.testing.assert_close(logits[0, 0], expected)


@torch.no_grad()
def test_classes_share_what_the_binary_branch_finds() -> None:
    method = make().eval()
    video = evaluation_batch(torch.randn(2, 20, 8))
    probabilities, out = method.classify(video), method.run(video)
    torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(1, 20))
    torch.testing.assert_close(probabilities[..., 1:].sum(dim=-1), (out.logits / 5).sigmoid().mean(dim=1))
    method.score_from = "text"
    torch.testing.assert_close(method.score(video), 1 - probabilities[..., 0])


@torch.no_grad()
def test_every_test_reads_the_texts_as_they_are_learnt_by_then() -> None:
    method = make().eval()
    video = evaluation_batch(torch.randn(1, 20, 8))
    before = method.classify(video)
    for adapter in method.net.prompt.parameters():
        adapter.mul_(-1)
    assert not torch.allclose(method.train().eval().classify(video), before)


def test_without_a_refiner_there_is_one_optimizer() -> None:
    method = make(num_prototypes=0)
    assert set(method.compute_losses(batch_of())) == {*method.loss_weights} - {"consistency", "gather"}
    assert method.automatic_optimization
    optimizer = method.configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adapter_share": 1.5}, r"model.adapter_share='1.5': must be in \[0, 1\]"),
        ({"normal_part": 0.0}, "model.normal_part='0.0': must be above 0 and at most 1"),
        ({"num_prototypes": -1}, "model.num_prototypes='-1': must be at least 0"),
        ({"score_temperature": 0.0}, "model.score_temperature='0.0': must be above 0"),
    ],
)
def test_arguments_are_validated(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        DSANet(feature_dim=8, **arguments)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of five steps by the recipe, with schedules as short."""
    desk = tmp_path_factory.mktemp("desk")
    make_store(desk / "store.h5", train=3, test=2, classes=("Fall", "Fight"), text_aligned=True)
    tower = save_tower(desk / "tower", dim=16)
    sizes = {"length": 64, "layers": 1, "window": 64, "adapted_blocks": 1, "decoder_depth": 1}
    schedules = {
        "lr_scheduler.total_steps": 8,
        "lr_scheduler.every": 4,
        "refiner_lr_scheduler.total_steps": 8,
        "refiner_lr_scheduler.warm_up": 2,
    }
    args = [f"--model.{key}={value}" for key, value in {**sizes, **schedules, "text_tower": tower}.items()]
    where = ["--data.store", str(desk / "store.h5"), "--data.segments=64", "--output", str(desk)]
    run = ["fit", "--config", "ucf_dsanet.yaml", "--config", "with/smoke.yaml", "--name", "run"]
    assert main([*run, *where, *args, "--trainer.max_steps=5"]) == 0
    saved: dict[str, Any] = torch.load(
        desk / "run" / "version_0" / "checkpoints" / "last.ckpt", weights_only=True
    )
    return saved


def test_both_optimizers_and_schedules_step_with_every_batch(checkpoint: dict[str, Any]) -> None:
    main_one, refiner = checkpoint["optimizer_states"]
    assert checkpoint["global_step"] == 5
    for state in (main_one, refiner):
        assert {int(one["step"]) for one in state["state"].values()} == {5}
    assert "max_exp_avg_sq" in refiner["state"][0]
    assert main_one["param_groups"][0]["lr"] == pytest.approx(7e-5 / 2)  # of the second epoch of two
    assert refiner["param_groups"][0]["lr"] == pytest.approx(7e-5 * (0.1 + 0.45))  # half-way down


def test_hyper_parameters_name_no_optimizer(checkpoint: dict[str, Any]) -> None:
    saved = checkpoint["hyper_parameters"]
    assert not [name for name in saved if "optimizer" in name or "scheduler" in name]
    assert saved["decoder_depth"] == 1
