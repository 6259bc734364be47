"""TensorFlow's "SAME" padding, computed from the size of each input."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def pad_same(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """Pad ``[B, C, *sizes]`` with zeros so that an operation gives ``ceil(size / stride)`` outputs.

    The padding is split evenly, and an odd rest goes to the end, so that stride 2 pads differently for
    even and odd sizes.

    Returns:
        The input, and the padding that the operation itself is to do: where all sides are even, nothing is
        copied here.
    """
    totals = [
        max((-(-size // step) - 1) * step + kernel - size, 0)
        for size, kernel, step in zip(x.shape[2:], kernel_size, stride, strict=True)
    ]
    if all(total % 2 == 0 for total in totals):
        return x, tuple(total // 2 for total in totals)
    sides = [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
    return functional.pad(x, sides), (0,) * len(totals)
