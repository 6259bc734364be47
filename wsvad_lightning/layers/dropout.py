"""Dropout whose mask is drawn by all threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

BLOCK = 2**18  # values whose mask comes from one generator
FEW = 2**14  # values: below, PyTorch is faster
LEVELS = 2**16  # a random number of 16 bits decides on a value
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


class Dropout(nn.Dropout):
    """``nn.Dropout`` that takes a fraction of the time on a CPU, where PyTorch draws on one thread.

    Every block of the mask has a generator of its own (SFC64), all of them seeded by one draw from PyTorch's
    generator. The mask depends on that draw and on the number of values only, whatever the number of threads.

    The probability is rounded to a multiple of 1 / 65,536, and what is kept is scaled by that multiple, so
    that means stay exact. On other devices and for few values, it is ``nn.Dropout``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of any shape while training."""
        if not self.training or not 0 < self.p < 1 or not x.is_cpu or x.numel() < FEW:
            return super().forward(x)
        return x * scaled_mask(x, self.p)


def scaled_mask(x: Tensor, p: float) -> Tensor:
    """Draw 0 with probability p and 1 / (1 - p) otherwise, in the shape and type of ``x``."""
    dropped = min(round(p * LEVELS), LEVELS - 1)
    mask = torch.empty(x.shape, dtype=x.dtype)
    scale = torch.tensor(LEVELS / (LEVELS - dropped), dtype=x.dtype)
    integer = INTEGERS[x.element_size()]  # NumPy has no bfloat16: a value is all bits of the scale, or none
    bits, values = scale.view(integer).numpy()[()], mask.view(-1).view(integer).numpy()
    seed = int(torch.randint(2**63 - 1, ()))

    def draw(start: int) -> None:
        part = values[start : start + BLOCK]
        generator = np.random.Generator(np.random.SFC64([seed, start]))
        numbers = generator.integers(0, 2**64, -(-part.size // 4), np.uint64).view(np.uint16)[: part.size]
        np.multiply(numbers >= dropped, bits, out=part)

    starts = range(0, values.size, BLOCK)
    threads = min(torch.get_num_threads(), len(starts))
    if threads == 1:
        list(map(draw, starts))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, starts))
    return mask
