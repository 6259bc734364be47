"""Which tokens of a clip are visible: tubes, random ones, or drawn by weight, on the device of the clips.

Every kind is the same operation: a key for each place, the largest are visible. The numbers of visible and
masked tokens depend on no value, so nothing waits for the device.
"""

import torch
from torch import Tensor

from wsvad_lightning.layers.vit import TokenSplit, TubeGrid


def num_masked(ratio: float, places: int) -> int:
    """How many of the places are masked, rounded down as the authors of VideoMAE do."""
    return int(ratio * places)


def split_by_keys(keys: Tensor, ratio: float) -> TokenSplit:
    """Mask the places of the smallest keys ``[B, N]``; ties are in no order."""
    count = num_masked(ratio, keys.shape[1])
    order = keys.argsort(dim=1)
    masked, visible = order[:, :count], order[:, count:]
    return TokenSplit(visible.sort(dim=1).values, masked.sort(dim=1).values)


def random_split(clips: int, grid: TubeGrid, ratio: float, device: torch.device) -> TokenSplit:
    """Mask tokens of all tubelets independently."""
    return split_by_keys(torch.rand(clips, grid.tokens, device=device), ratio)


def tube_split(clips: int, grid: TubeGrid, ratio: float, device: torch.device) -> TokenSplit:
    """Mask the same places of the frame in every tubelet (VideoMAE, section 3.3)."""
    times, rows, columns = grid.shape
    of_frame = split_by_keys(torch.rand(clips, rows * columns, device=device), ratio)
    starts = torch.arange(times, device=device)[:, None] * (rows * columns)
    visible, masked = ((places[:, None] + starts).flatten(1) for places in of_frame)
    return TokenSplit(visible, masked)


def weighted_split(weights: Tensor, ratio: float) -> TokenSplit:
    """Draw the visible tokens without replacement, with probabilities proportional to weights.

    The largest of ``log w + Gumbel noise`` are such a draw (W. Kool et al., "Stochastic Beams and Where to
    Find Them", ICML 2019).

    Args:
        weights: ``[B, N]``, positive.
        ratio: part of the tokens that is masked.
    """
    noise = -torch.empty_like(weights, dtype=torch.float32).exponential_().log()
    return split_by_keys(weights.float().log() + noise, ratio)
