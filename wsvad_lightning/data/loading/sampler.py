"""Which bags make up the batch of each training step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from wsvad_lightning.errors import WSVADError

BAG_STREAM = 2  # the sides are 0 and 1; SeedSequence keeps streams of different keys apart


class Draw(NamedTuple):
    """One place of a batch.

    Attributes:
        bag: index of the bag.
        seed: of everything random in the bag (crop, window).
    """

    bag: int
    seed: int


class BagSampler(Sampler[list[Draw]]):
    """Batches of as many bags of each side, in the order of the sides.

    The batch of a step is a pure function of ``(seed, step, rank)``: nothing is consumed, so a run resumes by
    naming the step it has reached.

    Each side makes its own passes over its bags, whatever the length of the others. A pass shuffles the
    side and cuts it into one part per rank: ranks never share a bag, and all have the same number of steps.
    Bags left over by the cut or by an incomplete last batch appear in another pass. A part that is smaller
    than its share of a batch fills it by repetition.

    Args:
        sides: indices of the bags of each side, by what such a bag is called in messages.
        batch_size: bags of each side in a batch.
        seed: of the shuffling; not negative.
        rank: of this process.
        world_size: number of processes.
        next_step: gives the step at which an iteration begins.

    Raises:
        WSVADError: if a side has no bag, or fewer than there are processes.
    """

    def __init__(
        self,
        sides: Mapping[str, Sequence[int]],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        next_step: Callable[[], int] = lambda: 0,
    ) -> None:
        for side, bags in sides.items():
            if len(bags) < world_size:
                count = f"{len(bags)} {side}(s)" if len(bags) else f"no {side}"
                raise WSVADError(
                    "data.split",
                    "train",
                    f"the training part has {count} for {world_size} process(es)",
                    f"Give every process at least one {side} to train with",
                )
        self.sides = [np.asarray(bags) for bags in sides.values()]
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self.next_step = next_step
        self._passes: dict[int, tuple[int, NDArray[np.int64]]] = {}  # the current one of each side

    def __len__(self) -> int:
        """Steps of an epoch: until the longest side has made a pass."""
        return max(self._steps_a_pass(bags) for bags in self.sides)

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield as many batches as an epoch has; the trainer ends a resumed epoch where it ends."""
        first = self.next_step()
        for step in range(first, first + len(self)):
            yield self.batch(step)

    def batch(self, step: int) -> list[Draw]:
        """Give the batch of a step, counted from the start of the training."""
        bags = np.concatenate([self._share(side, step) for side in range(len(self.sides))])
        seeds = np.random.default_rng([self.seed, BAG_STREAM, step, self.rank]).integers(
            2**63, size=len(bags)
        )
        return [Draw(bag, seed) for bag, seed in zip(bags.tolist(), seeds.tolist(), strict=True)]

    def _share(self, side: int, step: int) -> NDArray[np.int64]:
        """Bags of one side in the batch of a step."""
        number, place = divmod(step, self._steps_a_pass(self.sides[side]))
        if self._passes.get(side, (-1,))[0] != number:  # to shuffle a million windows takes milliseconds
            self._passes[side] = number, self._part(side, number)
        return np.resize(self._passes[side][1][place * self.batch_size :], self.batch_size)

    def _part(self, side: int, number: int) -> NDArray[np.int64]:
        """What this rank sees of a side in a pass."""
        bags = self.sides[side]
        shuffled = np.random.default_rng([self.seed, side, number]).permutation(bags)
        parts = shuffled[: self._part_size(bags) * self.world_size].reshape(self.world_size, -1)
        part: NDArray[np.int64] = parts[self.rank]
        return part

    def _part_size(self, bags: NDArray[np.int64]) -> int:
        return len(bags) // self.world_size

    def _steps_a_pass(self, bags: NDArray[np.int64]) -> int:
        return max(1, self._part_size(bags) // self.batch_size)
