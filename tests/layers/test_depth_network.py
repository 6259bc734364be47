"""Against the transformers package itself, on small networks with random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TubeGrid
from wsvad_lightning.layers.depth_network import DepthNetwork

GRID = TubeGrid(frames=4, size=(32, 64), tube=2, patch=16)


def save_depth_network(folder: Path, kind: str = "glpn") -> Path:
    """Save a tiny depth network with random weights, as transformers does."""
    torch.manual_seed(0)
    config: Any = transformers.GLPNConfig(
        num_encoder_blocks=4,
        depths=[1] * 4,
        hidden_sizes=[8, 8, 8, 8],
        num_attention_heads=[1] * 4,
        decoder_hidden_size=8,
    )
    transformers.GLPNForDepthEstimation(config).save_pretrained(folder)
    transformers.GLPNImageProcessorPil(size_divisor=32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_depth_network(tmp_path_factory.mktemp("depth"))


def test_depth_is_that_of_the_network_on_the_first_frame_of_each_tube(folder: Path) -> None:
    clips = torch.rand(2, 3, 4, 32, 64)
    network = DepthNetwork.open(folder, "model.depth_network")
    frames = clips[:, :, ::2].transpose(1, 2).flatten(0, 1)
    with torch.no_grad():
        raw = network.model(frames).predicted_depth
    pooled = F.adaptive_avg_pool2d(raw[:, None], (2, 4)).reshape(2, -1)
    low, high = pooled.min(1, keepdim=True).values, pooled.max(1, keepdim=True).values
    found = network(clips, GRID)
    torch.testing.assert_close(found, (pooled - low) / (high - low + 1e-8))
    assert found.shape == (2, GRID.tokens)
    network.nearer_is_larger = True
    torch.testing.assert_close(network(clips, GRID), 1 - found)


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="here.depth=.*holds no config.json"):
        DepthNetwork.open(tmp_path, "here.depth")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(WSVADError, match="cannot be used .*clip network.*glpn"):
        DepthNetwork.open(tmp_path, "here.depth")
