"""Which bags make up the batch of each training step."""

from collections.abc import Callable, Iterator, Sequence
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


class PairedBatchSampler(Sampler[list[Draw]]):
    """Batches of as many normal as abnormal bags, the normal ones first.

    The batch of a step is a pure function of ``(seed, step, rank)``: nothing is consumed, so a run resumes by
    naming the step it has reached.

    Each side (normal, abnormal) makes passes of its own over its bags, whatever the length of the other side.
    A pass shuffles the side and cuts it into one part a rank: ranks never share a bag, and all have as many
    steps. What the cut or the last incomplete batch leaves over has its turn in another pass. A part that is
    smaller than its half of a batch fills it by repetition.

    Args:
        normal: indices of the normal bags.
        abnormal: indices of the abnormal bags.
        batch_size: bags of each side in a batch.
        seed: of the shuffling; not negative.
        rank: of this process.
        world_size: number of processes.
        next_step: tells, whenever an iteration begins, the step it begins with.

    Raises:
        WSVADError: if a side has no bag, or fewer than there are processes.
    """

    def __init__(
        self,
        normal: Sequence[int],
        abnormal: Sequence[int],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        next_step: Callable[[], int] = lambda: 0,
    ) -> None:
        self.sides = {"normal": np.asarray(normal), "abnormal": np.asarray(abnormal)}
        for side, bags in self.sides.items():
            if len(bags) < world_size:
                count = f"{len(bags)} {side}" if len(bags) else f"no {side}"
                raise WSVADError(
                    "data.split",
                    "train",
                    f"the training part has {count} video(s) for {world_size} process(es)",
                    f"Give every process at least one {side} video to train with",
                )
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self.next_step = next_step

    def __len__(self) -> int:
        """Steps of an epoch: until the longer side has made a pass."""
        return max(self._steps_a_pass(bags) for bags in self.sides.values())

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield as many batches as an epoch has; the trainer ends a resumed epoch where it ends."""
        first = self.next_step()
        for step in range(first, first + len(self)):
            yield self.batch(step)

    def batch(self, step: int) -> list[Draw]:
        """Give the batch of a step, counted from the start of the training."""
        bags = np.concatenate([self._half(side, bags, step) for side, bags in enumerate(self.sides.values())])
        seeds = np.random.default_rng([self.seed, BAG_STREAM, step, self.rank]).integers(
            2**63, size=len(bags)
        )
        return [Draw(bag, seed) for bag, seed in zip(bags.tolist(), seeds.tolist(), strict=True)]

    def _half(self, side: int, bags: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        number, place = divmod(step, self._steps_a_pass(bags))
        shuffled = np.random.default_rng([self.seed, side, number]).permutation(bags)
        part = shuffled[: self._part_size(bags) * self.world_size].reshape(self.world_size, -1)[self.rank]
        return np.resize(part[place * self.batch_size :], self.batch_size)

    def _part_size(self, bags: NDArray[np.int64]) -> int:
        return len(bags) // self.world_size

    def _steps_a_pass(self, bags: NDArray[np.int64]) -> int:
        return max(1, self._part_size(bags) // self.batch_size)
