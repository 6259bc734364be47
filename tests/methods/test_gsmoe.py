"""GS-MoE: its experts and their videos, the gate, the warm-up, and the encoder of UR-DMU."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.small import CLASSES
from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.layers import CrossAttention
from wsvad_lightning.losses import splat, splatting_bce
from wsvad_lightning.methods import GSMoE
from wsvad_lightning.methods.gsmoe import GSMoENet, expert_bce, k_means
from wsvad_lightning.types import WSVADBatch

FALL_FIGHT = ("fall", "fight")


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_an_expert_has_near_a_million_parameters() -> None:
    net = GSMoENet()
    assert len(net.experts) == 13
    assert count(net.experts[0]) == 962_561


def test_experts_learn_from_their_class_and_from_normal_videos_alone() -> None:
    # Two normal and two abnormal videos, one of class 0 and one of both; three experts.
    scores = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.1, 0.2], [0.9, 0.0, 1.0], [0.8, 0.5, 1.0]])
    targets = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0]])
    normal = [math.log(1 - value) for value in (0.1, 0.2, 0.3, 0.4, 0.1, 0.2)]
    expected = -(sum(normal) + math.log(0.9) + math.log(0.8) + math.log(0.5)) / 9
    assert expert_bce(scores, targets).item() == pytest.approx(expected)


def test_videos_go_to_the_experts_of_their_classes() -> None:
    batch = training_batch(*torch.randn(2, 2, 1, 4, 8))
    targets = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1]])
    method = GSMoE(8, hidden_dim=8, num_experts=3)
    assert torch.equal(method.expert_targets(batch._replace(class_targets=targets)), targets[:, 1:])


def test_without_classes_videos_go_to_the_nearest_cluster() -> None:
    method = GSMoE(2, hidden_dim=8, num_experts=2, experts_by="clusters")
    method.centres.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
    features = torch.zeros(4, 1, 3, 2)
    features[2, :, :2, 0] = 8.0  # one snippet of padding: the mean is 8
    features[3, :, :, 0] = 4.0
    batch = training_batch(*features.chunk(2))._replace(lengths=torch.tensor([3, 3, 2, 3]))
    assert method.expert_targets(batch).tolist() == [[0, 0], [0, 0], [0, 1], [1, 0]]


def test_k_means_finds_heaps() -> None:
    torch.manual_seed(0)
    heaps = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    points = (heaps[:, None] + torch.randn(3, 30, 2)).flatten(0, 1)
    found = k_means(points, 3, seed=0)
    means = points.view(3, 30, 2).mean(dim=1)
    nearest = torch.cdist(means, found).argmin(dim=1)
    torch.testing.assert_close(found[nearest], means)
    assert torch.equal(k_means(points, 3, seed=0), found)


def test_points_that_are_one_make_clusters_that_are_one() -> None:
    assert torch.equal(k_means(torch.ones(4, 2), 3, seed=0), torch.ones(3, 2))


def test_attention_goes_where_keys_are_alike() -> None:
    attention = CrossAttention(2, heads=1, head_dim=2)
    eye = torch.eye(2)
    attention.to_query.weight.data, attention.project_out.weight.data = 100 * eye, eye
    attention.to_key_value.weight.data = torch.cat([eye, 5 * eye])
    attention.project_out.bias.data.zero_()
    looked_at = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]]])
    out = attention(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), looked_at)
    torch.testing.assert_close(out, torch.tensor([[[5.0, 0.0], [0.0, 5.0]]]))


def test_the_gate_weighs_experts_and_features() -> None:
    torch.manual_seed(0)
    net = GSMoENet(6, hidden_dim=8, num_experts=3, dropout=0.0)
    encoded, scores = torch.randn(2, 5, 8), torch.rand(2, 5, 3)
    logits = net.gate(encoded, scores)
    assert logits.shape == (2, 5)
    assert not torch.allclose(net.gate(encoded, scores.flip(-1)), logits)
    assert not torch.allclose(net.gate(encoded.flip(-1), scores), logits)


def losses_of(method: GSMoE, batch: WSVADBatch) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return method.compute_losses(batch)


def test_splatting_starts_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    method = GSMoE(8, hidden_dim=8, num_experts=3, warm_up=5, prominence=0.0, dropout=0.0)
    batch = training_batch(*torch.randn(2, 2, 1, 30, 8))
    kinds = (batch.labels * (1 + torch.arange(4) % len(CLASSES))).long()
    batch = batch._replace(class_targets=F.one_hot(kinds, 1 + len(CLASSES)).float())
    assert losses_of(method, batch)["tgs"].item() == 0  # the first step of a training
    monkeypatch.setattr(GSMoE, "global_step", 5)
    losses = losses_of(method, batch)
    curves = method.score(batch)[2:]
    expected = splatting_bce(curves, splat(curves.detach(), 0.0, None, "snippets"))
    torch.testing.assert_close(losses["tgs"], expected)
    assert losses["tgs"] > 0
    assert losses["smooth"].item() == pytest.approx(curves.diff(dim=-1).square().sum().item())
    assert losses["sparsity"].item() == pytest.approx(curves.mean().item())


def run(tmp_path: Path, store: Path, *arguments: str) -> int:
    where = ["--data.store", str(store), "--output", str(tmp_path), "--name", "run"]
    sizes = ["--model.hidden_dim", "8", "--data.segments", "8", "--data.batch_size", "2"]
    steps = ["--trainer.max_steps", "2", "--trainer.enable_progress_bar", "false"]
    return main(["fit", "--config", "ucf_gsmoe.yaml", *where, *sizes, *steps, *arguments])


def test_clusters_are_found_in_the_training_videos_and_travel_along(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", dim=8)
    assert run(tmp_path, store, "--model.experts_by", "clusters", "--model.num_experts", "3") == 0
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    centres = torch.load(checkpoint, weights_only=True)["state_dict"]["centres"]
    assert centres.shape == (3, 8)
    assert len({tuple(centre) for centre in centres.tolist()}) == 3
    assert GSMoE.load_from_checkpoint(checkpoint, weights_only=True).centres.equal(centres)


def test_it_starts_from_the_encoder_of_urdmu(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", dim=8, classes=FALL_FIGHT)
    urdmu = ["fit", "--config", "ucf_urdmu.yaml", "--data.store", str(store), "--output", str(tmp_path)]
    sizes = ["--model.hidden_dim", "8", "--data.segments", "8", "--data.batch_size", "2"]
    assert main([*urdmu, *sizes, "--trainer.max_steps", "1"]) == 0
    (source,) = tmp_path.rglob("last.ckpt")
    frozen = ["--model.optimizer.lr", "0", "--model.num_experts", "2", "--model.encoder_from", str(source)]
    assert run(tmp_path, store, *frozen) == 0
    (made,) = (tmp_path / "run").rglob("last.ckpt")
    given, taken = (torch.load(path, weights_only=True)["state_dict"] for path in (source, made))
    encoder = [name for name in given if name.startswith("net.encoder.")]
    assert encoder
    assert all(torch.equal(given[name], taken[name]) for name in encoder)


def test_what_does_not_fit_is_reported_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = make_store(tmp_path / "plain.h5", dim=8, train=2)
    named = make_store(tmp_path / "named.h5", dim=8, train=2, classes=FALL_FIGHT)
    assert run(tmp_path, plain) == 2
    assert "needs the names of the anomaly classes" in capsys.readouterr().err
    assert run(tmp_path, named) == 2
    assert "the store has 2 classes of anomalies: fall, fight" in capsys.readouterr().err
    assert run(tmp_path, plain, "--model.experts_by", "clusters") == 2
    assert "the 2 abnormal videos to train with make fewer clusters" in capsys.readouterr().err
    experts = ["--model.num_experts", "2"]
    assert run(tmp_path, named, *experts) == 0
    (other,) = tmp_path.rglob("last.ckpt")
    assert run(tmp_path, named, *experts, "--model.encoder_from", str(other)) == 2
    assert "is of GSMoE, not URDMU" in capsys.readouterr().err


def test_a_score_is_shared_out_as_the_experts_score() -> None:
    method = GSMoE(feature_dim=8, hidden_dim=8, num_experts=2).eval()
    batch = evaluation_batch(torch.randn(2, 12, 8))
    assert method.classify(batch) is None  # the classes of the experts are not known yet
    method.classes = FALL_FIGHT
    with torch.no_grad():
        (scores, experts), shares = method.net(batch.features), method.classify(batch)
    assert shares is not None
    torch.testing.assert_close(1 - shares[..., 0], scores)
    torch.testing.assert_close(shares[..., 1] / shares[..., 2], experts[..., 0] / experts[..., 1])


def test_experts_tell_their_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(tmp_path / "s.h5", dim=8, classes=FALL_FIGHT, train=4, test=4)
    assert run(tmp_path, store, "--model.num_experts", "2", "--name", "moe") == 0
    checkpoint = tmp_path / "moe" / "version_0" / "checkpoints" / "last.ckpt"
    there = ["--ckpt_path", str(checkpoint), "--output", str(tmp_path), "--name", "classes"]
    assert main(["test", *there]) == 0
    results = tmp_path / "classes" / "version_0"
    assert (results / "scores.csv").read_text().splitlines()[0].endswith("score,normal,fall,fight")
    assert "mAP@0.5" in (results / "metrics.json").read_text()
    others = make_store(tmp_path / "o.h5", dim=8, classes=("fall", "smoke"), train=4, test=4)
    assert main(["test", *there, "--data.store", str(others)]) == 0
    assert "no events are reported: the experts know fall, fight, not smoke" in caplog.text
    assert not (tmp_path / "classes" / "version_1" / "events.csv").exists()
