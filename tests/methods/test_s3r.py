import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import S3R
from wsvad_lightning.methods.s3r import DictionaryAttention, S3RNet
from wsvad_lightning.types import WSVADBatch


def paired_batch(features: torch.Tensor) -> WSVADBatch:
    size, _, length, _ = features.shape
    labels = torch.arange(size).ge(size // 2).float()
    names = [str(i) for i in range(size)]
    return WSVADBatch(features, torch.full((size,), length), labels, names, {})


def small(feature_dim: int = 32, atoms: int = 5) -> S3R:
    torch.manual_seed(0)
    module = S3R(feature_dim, attention_dim=6, dropout=0.0, exclude=0.0)
    module.net.use_dictionary(torch.randn(atoms, feature_dim))
    return module


def test_snippets_are_put_together_from_atoms_without_scaling() -> None:
    """Identity projections: a snippet of length l along an atom weighs it by e^l against 1 for the other."""
    attention = DictionaryAttention(2, 2)
    for layer in (attention.query, attention.key, attention.value):
        layer.weight.data = torch.eye(2)
        layer.bias.data.zero_()
    snippets = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    weights = attention.weights(snippets, torch.eye(2))
    share = torch.tensor(3.0).exp() / (torch.tensor(3.0).exp() + 1)
    expected = torch.stack([torch.tensor([0.5, 0.5]), torch.stack([share, 1 - share])])
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(attention(snippets, 2 * torch.eye(2))[0], torch.ones(2))


def test_what_passes_the_gate_of_one_is_held_back_of_the_other() -> None:
    module = small()
    for parameter in module.net.to_gate.parameters():
        parameter.data.zero_()
    last = module.net.to_gate[2]
    assert isinstance(last, torch.nn.Linear)
    last.bias.data[0] = 100.0  # the gate is one in the first channel, a half elsewhere
    features = torch.randn(2, 3, 7, 32)
    video, normal = module.net.encode(features)
    out = module.net(features)
    torch.testing.assert_close(out.features[..., 0], video[..., 0])
    torch.testing.assert_close(out.features[..., 1:], 0.5 * video[..., 1:])
    held_back = torch.cat([torch.zeros_like(normal[..., :1]), 0.5 * normal[..., 1:]], dim=-1)
    macro = module.net.to_macro_score(held_back.mean(dim=2)).mean(dim=1)
    torch.testing.assert_close(out.macro_scores, macro)


def test_the_reconstruction_of_every_video_should_look_normal() -> None:
    module = small()
    batch = paired_batch(torch.randn(4, 2, 8, 32))
    macro = module.net(batch.features).macro_scores
    torch.testing.assert_close(module.compute_losses(batch)["macro"], -(1 - macro).log().mean())
    assert module.compute_losses(batch).keys() == module.loss_weights.keys()


@pytest.mark.parametrize("feature_dim", [2, 3, 30, 32, 40])
@pytest.mark.parametrize(("crops", "snippets", "atoms"), [(1, 1, 1), (3, 9, 7)])
def test_any_form_of_features(feature_dim: int, crops: int, snippets: int, atoms: int) -> None:
    module = small(feature_dim, atoms)
    batch = paired_batch(torch.randn(4, crops, snippets, feature_dim))
    total = module.total_loss(module.compute_losses(batch))
    torch.autograd.backward(total)
    assert total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
    assert module.eval().score(batch).shape == (4, snippets)
    assert module.net(torch.randn(1, 1, 1, feature_dim)).scores.isfinite().all()


def test_every_snippet_of_a_long_video_is_read_against_the_same_atoms() -> None:
    attention = small().net.reconstruct
    atoms, snippets = torch.randn(4, 32), torch.randn(3, 50, 32)
    together, alone = attention(snippets, atoms), attention(snippets[1, 20], atoms)
    torch.testing.assert_close(together[1, 20], alone)


@pytest.mark.parametrize("shape", [(0, 32), (5, 31), (32,), (1, 5, 32)])
def test_a_dictionary_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(WSVADError, match=r"dictionary=.*32 channels.*shape \[S, 32\]"):
        small().net.use_dictionary(torch.zeros(shape))


def test_without_a_dictionary_nothing_is_scored() -> None:
    with pytest.raises(WSVADError, match="dictionary is missing.*checkpoint"):
        S3RNet(8, attention_dim=4)(torch.zeros(1, 1, 2, 8))


def test_the_dictionary_is_no_parameter_and_no_part_of_the_official_state() -> None:
    net = small().net
    assert "dictionary" not in net.state_dict()
    assert "dictionary" not in dict(net.named_parameters())
    assert net.to(torch.float64).dictionary.dtype == torch.float64  # it moves with the network
