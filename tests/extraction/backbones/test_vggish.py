"""VGGish against its layers written out, and files that are not of it."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.vggish import CONVOLUTIONS, VGGish, load_vggish

CHANNELS = (2, 3, 4, 4, 5, 6)


def released() -> dict[str, Tensor]:
    """A small network in the layout of the released file."""
    random = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for place, (before, width) in zip(CONVOLUTIONS, pairwise((1, *CHANNELS)), strict=True):
        state[f"features.{place}.weight"] = 0.4 * torch.randn(width, before, 3, 3, generator=random)
        state[f"features.{place}.bias"] = 0.1 * torch.randn(width, generator=random)
    for place, before, width in ((0, 6 * 4 * 6, 9), (2, 9, 9), (4, 9, 7)):
        state[f"embeddings.{place}.weight"] = 0.3 * torch.randn(width, before, generator=random)
        state[f"embeddings.{place}.bias"] = 0.1 * torch.randn(width, generator=random)
    return state


def test_a_vector_is_what_the_layers_give(tmp_path: Path) -> None:
    state = released()
    torch.save(state, tmp_path / "vggish.pth")
    network, sha256 = load_vggish(tmp_path / "vggish.pth")
    assert len(sha256) == 64
    patches = torch.randn(2, 96, 64, generator=torch.Generator().manual_seed(1))
    x = patches[:, None]
    for place in CONVOLUTIONS:
        x = F.relu(F.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1))
        if place not in (6, 11):  # the first of a pair
            x = F.max_pool2d(x, 2)
    rows = torch.stack([x[:, :, i, j] for i in range(6) for j in range(4)], dim=1)  # time, band, channel
    x = rows.flatten(1)
    for place in (0, 2, 4):
        x = F.relu(x @ state[f"embeddings.{place}.weight"].T + state[f"embeddings.{place}.bias"])
    assert (x > 0).any()
    torch.testing.assert_close(network(patches), x)


def test_the_sizes_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        network = VGGish()
    assert sum(value.numel() for value in network.parameters()) == 72_141_184
    assert network(torch.empty(3, 96, 64, device="meta")).shape == (3, 128)


@pytest.mark.parametrize(
    ("change", "message"), [("lack", "lacks the key"), ("more", "unknown key"), ("none", "no such")]
)
def test_files_of_other_networks_are_refused(change: str, message: str, tmp_path: Path) -> None:
    state = released()
    if change == "lack":
        del state["features.8.weight"]
    else:
        state["classifier.weight"] = torch.zeros(1)
    if change != "none":
        torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WSVADError, match=message):
        load_vggish(tmp_path / "x.pth")
