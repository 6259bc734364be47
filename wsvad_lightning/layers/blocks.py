"""Long videos block by block: what scoring holds of them for a moment does not grow with T."""

from collections.abc import Callable

import torch
from torch import Tensor

AT_ONCE = 2**24  # numbers that an intermediate result of scoring may have: the setting of its memory


def blocks_of(x: Tensor, width: int, least: int = 1) -> list[slice]:
    """Divide the T snippets of ``[..., T, D]`` into blocks.

    It is a single one where gradients are wanted, and in exported programs.

    Args:
        x: the snippets.
        width: numbers that an intermediate result has for each of them.
        least: snippets of a block.
    """
    if torch.compiler.is_exporting():  # how many blocks there will be is not known
        return [slice(0, x.shape[-2])]
    count, rows = (x.shape[-2], x.shape[:-2].numel()) if x.ndim > 1 else (1, 1)
    size = max(least, AT_ONCE // max(1, rows * width))
    if torch.is_grad_enabled() or count <= size:
        return [slice(0, count)]
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def in_blocks(function: Callable[[Tensor], Tensor], x: Tensor, width: int, reach: int = 0) -> Tensor:
    """Apply a function of neighbouring snippets block by block, see :func:`blocks_of`.

    Args:
        function: of ``[..., T, D]`` to ``[..., T, E]``, the same for every T.
        x: ``[..., T, D]``.
        width: numbers that an intermediate result has for each snippet.
        reach: snippets to each side that a result depends on.

    Returns:
        ``function(x)``, up to rounding.
    """

    def compute(block: slice) -> Tensor:
        first = max(0, block.start - reach)
        part = function(x[..., first : block.stop + reach, :])
        return part[..., block.start - first : block.stop - first, :]

    blocks = blocks_of(x, width, least=max(1, reach))
    return function(x) if len(blocks) == 1 else joined(compute, blocks)


def joined(compute: Callable[[slice], Tensor], blocks: list[slice]) -> Tensor:
    """Join what is computed of each block, ``[..., T of the block, E]``, to ``[..., T, E]``, one by one."""
    first, *others = blocks
    part = compute(first)
    if not others:
        return part
    whole = part.new_empty(*part.shape[:-2], blocks[-1].stop, part.shape[-1])
    whole[..., first, :] = part
    for block in others:
        whole[..., block, :] = compute(block)
    return whole
