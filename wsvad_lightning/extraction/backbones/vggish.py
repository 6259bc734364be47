"""VGGish: 128 channels of 0.96 seconds of sound, the features of XD-Violence's sound.

Source: S. Hershey et al., "CNN Architectures for Large-Scale Audio Classification" (ICASSP 2017), in the
layout of harritaylor/torchvggish, whose weight file (``vggish-10086976.pth``) it reads. It takes the patches
of :mod:`wsvad_lightning.extraction.backbones.log_mel`. The vector is what the last layer gives after its
ReLU, as in that port; the whitening and the 8 bits of AudioSet's release are left out.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from wsvad_lightning.checkpoint import read_official
from wsvad_lightning.extraction.backbones.log_mel import BANDS, PATCH
from wsvad_lightning.extraction.backbones.weights import hash_file, load_folded

CONVOLUTIONS = (0, 3, 6, 8, 11, 13)  # places among the layers of the released file
LINEAR = (0, 2, 4)
CHANNELS, HIDDEN, FEATURE_DIM = (64, 128, 256, 256, 512, 512), 4096, 128


class VGGish(nn.Module):
    """The network, for inference.

    Args:
        channels: of the six convolutions.
        hidden: channels of the two hidden layers.
        dim: D, channels of the vector.
    """

    def __init__(
        self, channels: Sequence[int] = CHANNELS, hidden: int = HIDDEN, dim: int = FEATURE_DIM
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for number, width in enumerate(channels):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            if number not in (2, 4):  # pairs share a pooling
                layers.append(nn.MaxPool2d(2))
            before = width
        self.features = nn.Sequential(*layers)
        flat = before * (PATCH // 16) * (BANDS // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(flat, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, dim),
            nn.ReLU(),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Give vectors ``[B, D]`` of patches ``[B, 96, 64]``, the channels last before they are flattened."""
        maps = self.features(patches[:, None]).permute(0, 2, 3, 1)
        vectors: Tensor = self.embeddings(maps.flatten(1))
        return vectors


def load_vggish(path: str | Path) -> tuple[VGGish, str]:
    """The network with released weights, ready to infer; its widths are those of the file.

    Args:
        path: a state dict of harritaylor/torchvggish, such as ``vggish-10086976.pth``.

    Returns:
        The network in evaluation mode and the SHA-256 of its weight file.

    Raises:
        WSVADError: if the file is missing or does not hold exactly this network.
    """
    released = read_official(path)
    names = [f"features.{place}" for place in CONVOLUTIONS] + [f"embeddings.{place}" for place in LINEAR]
    widths = [len(released.get(f"{name}.bias", torch.zeros(1))) for name in names]
    network = VGGish(widths[:6], widths[6], widths[8])
    remedy = "Give a file of harritaylor/torchvggish, such as vggish-10086976.pth"
    load_folded(network, released, {name: (name, None) for name in names}, 0.0, path, remedy)
    return network, hash_file(Path(path))
