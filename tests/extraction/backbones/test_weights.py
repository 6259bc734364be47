from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.weights import hash_file, load_folded

TABLE = {"0": ("conv", "bn"), "1": ("out", "out_bn"), "2": ("fc", None)}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 3, 2), nn.Conv1d(3, 4, 1), nn.Conv1d(4, 5, 1))


@pytest.fixture
def released() -> nn.ModuleDict:
    """A convolution without bias and one with, both normalized, and a plain layer."""
    layers = nn.ModuleDict(
        {
            "conv": nn.Conv1d(2, 3, 2, bias=False),
            "bn": nn.BatchNorm1d(3, eps=1e-3),
            "out": nn.Conv1d(3, 4, 1),
            "out_bn": nn.BatchNorm1d(4, eps=1e-3),
            "fc": nn.Conv1d(4, 5, 1),
        }
    )
    for parameter in layers.state_dict().values():
        if parameter.is_floating_point():
            parameter.uniform_(0.1, 1.0)
    return layers.eval()


def refuse(state: dict[str, Tensor]) -> str:
    with pytest.raises(WSVADError) as error:
        load_folded(network(), state, TABLE, 1e-3, "file.pth", "Give the right file")
    return str(error.value)


def test_the_folded_network_gives_the_outputs_of_the_released_one(released: nn.ModuleDict) -> None:
    folded = network()
    load_folded(folded, released.state_dict(), TABLE, 1e-3, "file.pth", "")
    x = torch.randn(2, 2, 7)
    torch.testing.assert_close(folded(x), nn.Sequential(*released.values())(x))
    assert not folded.training
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_counts_of_batches_may_be_there_or_not(released: nn.ModuleDict) -> None:
    state = released.state_dict()
    del state["bn.num_batches_tracked"]
    load_folded(network(), state, TABLE, 1e-3, "file.pth", "")


def test_weights_of_another_network_are_reported_in_one_line(released: nn.ModuleDict) -> None:
    state = released.state_dict()
    assert refuse({**state, "head.weight": torch.zeros(1)}) == (
        "weights='file.pth': the file holds the unknown key 'head.weight'. Give the right file"
    )
    assert "2.weight has the shape (5, 3, 1) and not (5, 4, 1)" in refuse(
        {**state, "fc.weight": torch.zeros(5, 3, 1)}
    )
    del state["out_bn.running_var"]
    assert "lacks the key 'out_bn.running_var'" in refuse(state)


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert hash_file(tmp_path / "file").startswith("ba7816bf8f01cfea")
