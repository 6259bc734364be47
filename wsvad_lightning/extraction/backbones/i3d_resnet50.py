"""I3D on ResNet-50: 2048 channels of 16 RGB frames, the features of RTFM, MGFN, C2FPL and their successors.

Source: X. Wang, R. Girshick, A. Gupta, K. He, "Non-local Neural Networks" (CVPR 2018), the network for
Kinetics-400, with non-local blocks or without (the baseline); as ported to PyTorch by
Tushar-N/pytorch-resnet3d, whose weight files it reads, and used by
GowthamGottimukkala/I3D_Feature_Extraction_resnet.

Deviation: the network only infers, batch normalization is folded into the convolutions; outputs agree with
the unfolded network to float32 rounding.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsvad_lightning.checkpoint import read_official
from wsvad_lightning.extraction.backbones.weights import LayerTable, hash_file, load_folded

FEATURE_DIM = 2048
NORM_EPSILON = 1e-5
NUM_CLASSES = 400
EXPANSION = 4

# Of each stage: inner channels, spatial stride, and the temporal kernel of each bottleneck.
STAGES = (
    (64, 1, (3, 3, 3)),
    (128, 2, (3, 1, 3, 1)),
    (256, 2, (3, 1, 3, 1, 3, 1)),
    (512, 2, (1, 3, 1)),
)
NON_LOCAL = {(1, 1), (1, 3), (2, 1), (2, 3), (2, 5)}  # stage and bottleneck that a block follows


class NonLocal(nn.Module):
    """Every place attends to all places and times, the others at half the resolution, and adds what it sees.

    Args:
        channels: of input and output; half of them inside.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Conv3d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv3d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, T, H, W]`` to the same."""
        pooled = functional.max_pool3d(x, (1, 2, 2))
        query, key, value = (
            y.flatten(2).transpose(1, 2) for y in (self.theta(x), self.phi(pooled), self.g(pooled))
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        added: Tensor = self.out(seen.transpose(1, 2).reshape(len(x), -1, *x.shape[2:]))
        return x + added


class Bottleneck(nn.Module):
    """A temporal, a spatial and a 1x1x1 convolution, and a shortcut around them.

    Args:
        in_channels: input channels.
        inner: channels inside; four times as many come out.
        kernel: temporal kernel.
        stride: spatial step.
        non_local: whether a non-local block follows.
    """

    def __init__(self, in_channels: int, inner: int, kernel: int, stride: int, non_local: bool) -> None:
        super().__init__()
        out = EXPANSION * inner
        self.conv1 = nn.Conv3d(in_channels, inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0))
        self.conv2 = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1))
        self.conv3 = nn.Conv3d(inner, out, 1)
        widened = nn.Conv3d(in_channels, out, 1, (1, stride, stride))
        self.shortcut = widened if in_channels != out else nn.Identity()
        self.non_local = NonLocal(out) if non_local else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, T, H, W]`` to ``[B, C', T, H / stride, W / stride]``."""
        y = self.conv2(self.conv1(x).relu_()).relu_()
        y = (self.conv3(y) + self.shortcut(x)).relu_()
        out: Tensor = self.non_local(y)
        return out


class I3DResNet50(nn.Module):
    """The network, for inference.

    Args:
        non_local: whether the five non-local blocks are there.
        num_classes: outputs of the classifier that the weights come with; features do not depend on it.
    """

    def __init__(self, non_local: bool = False, num_classes: int = NUM_CLASSES) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 64, (5, 7, 7), 2, (2, 3, 3))
        stages: list[nn.Module] = []
        channels = 64
        for stage, (inner, stride, kernels) in enumerate(STAGES):
            blocks: list[nn.Module] = []
            for block, kernel in enumerate(kernels):
                attends = non_local and (stage, block) in NON_LOCAL
                blocks.append(Bottleneck(channels, inner, kernel, 1 if block else stride, attends))
                channels = EXPANSION * inner
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.classifier = nn.Linear(FEATURE_DIM, num_classes)

    def features(self, clips: Tensor) -> Tensor:
        """Average of the last feature map.

        Args:
            clips: ``[B, 3, T, H, W]`` RGB in -1..1, 8 frames or more; the feature sets took 16 of
                224 x 224.

        Returns:
            ``[B, 2048]``.
        """
        x = functional.max_pool3d(self.stem(clips).relu_(), (2, 3, 3), 2)
        x = functional.max_pool3d(self.stages[0](x), (2, 1, 1))
        for stage in self.stages[1:]:
            x = stage(x)
        return x.mean(dim=(2, 3, 4))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``[B, classes]``, see :meth:`features`."""
        logits: Tensor = self.classifier(self.features(clips))
        return logits


def layer_table(network: I3DResNet50) -> LayerTable:
    """Our layers to the released ones."""
    table: dict[str, tuple[str, str | None]] = {"stem": ("conv1", "bn1"), "classifier": ("fc", None)}
    for stage, blocks in enumerate(network.stages):
        for block, bottleneck in enumerate(blocks.children()):
            ours, theirs = f"stages.{stage}.{block}", f"layer{stage + 1}.{block}"
            for i in (1, 2, 3):
                table[f"{ours}.conv{i}"] = (f"{theirs}.conv{i}", f"{theirs}.bn{i}")
            if isinstance(bottleneck.shortcut, nn.Conv3d):
                table[f"{ours}.shortcut"] = (f"{theirs}.downsample.0", f"{theirs}.downsample.1")
            if isinstance(bottleneck.non_local, NonLocal):
                table[f"{ours}.non_local.out"] = (f"{theirs}.nl.out", f"{theirs}.nl.bn")
                for name in ("theta", "phi", "g"):
                    table[f"{ours}.non_local.{name}"] = (f"{theirs}.nl.{name}", None)
    return table


def load_i3d_resnet50(path: str | Path) -> tuple[I3DResNet50, str]:
    """The network with released weights, ready to infer; it has non-local blocks if the weights have.

    Args:
        path: a state dict of Tushar-N/pytorch-resnet3d, such as ``i3d_r50_kinetics.pth``.

    Returns:
        The network in evaluation mode and the SHA-256 of its weight file.

    Raises:
        WSVADError: if the file is missing or does not hold exactly this network.
    """
    released = read_official(path)
    non_local = any(".nl." in key for key in released)
    network = I3DResNet50(non_local, len(released.get("fc.bias", torch.zeros(NUM_CLASSES))))
    remedy = "Give a file of Tushar-N/pytorch-resnet3d, such as i3d_r50_kinetics.pth"
    load_folded(network, released, layer_table(network), NORM_EPSILON, path, remedy)
    return network, hash_file(Path(path))
