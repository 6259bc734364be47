"""What the data modules of features and of pixels share: ranks, resuming, and loaders."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.catalogue import Parts
from wsvad_lightning.data.loading.dataset import Batch, BatchDataset, BatchLoader, as_loaded
from wsvad_lightning.data.loading.sampler import BagSampler
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.signals import leave_signals

Item = TypeVar("Item")

# The parts that a stage reads; the first must have videos.
STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}


class ResumableDataModule(LightningDataModule):
    """Loaders that go on at the step that the trainer has reached, each on its rank's share of the videos.

    Args:
        batch_size: bags of each side in a training batch, on each device.
        num_workers: loading processes; 0 loads in the training process.
        seed: of everything random; None for a run that is not seeded, whose data are those of seed 0.
        least: smallest values of further settings, by name.

    Attributes:
        catalogue: the videos and their parts, which a subclass makes.

    Raises:
        WSVADError: if a number is out of range.
    """

    catalogue: Parts

    def __init__(
        self, batch_size: int, num_workers: int, seed: int | None, least: Mapping[str, tuple[float, float]]
    ) -> None:
        super().__init__()
        self.seeded, self.seed = seed is not None, int(seed or 0)
        self.batch_size, self.num_workers = batch_size, num_workers
        self.allow_zero_length_dataloader_with_multiple_devices = True  # fewer test videos than ranks
        given = {"batch_size": (batch_size, 1), "num_workers": (num_workers, 0), "seed": (self.seed, 0)}
        for name, (value, smallest) in {**least, **given}.items():
            if value < smallest:
                raise WSVADError(f"data.{name}", value, f"must be at least {smallest}", "Give more")

    @property
    def annotations(self) -> Mapping[str, VideoAnnotation]:
        """What is known of the videos, by name."""
        return self.catalogue.annotations

    @property
    def parts(self) -> dict[str, list[str]]:
        """Videos of the parts ``train``, ``val`` and ``test``."""
        return self.catalogue.parts

    def setup(self, stage: str) -> None:
        """Check that the trainer fits and that the stage has videos.

        Raises:
            WSVADError: if not.
        """
        self._check_trainer()
        if stage in STAGES:
            if split := self.catalogue.chosen_split:
                rank_zero_info(f"{split} in {self.catalogue.split_path}")
            self.catalogue.require_videos(STAGES[stage][0])
        if stage == "fit" and not self.parts["val"] and self.trainer is not None:
            self.trainer.limit_val_batches = 0  # else Lightning warns of validation without videos

    def show_notes(self) -> None:
        """Show what was inferred from the files, each thing once."""
        while self.catalogue.notes:
            rank_zero_info(f"note: {self.catalogue.notes.pop(0)}")

    def _check_trainer(self) -> None:
        """Refuse a trainer that distributes the videos over the ranks a second time.

        Raises:
            WSVADError: if it does.
        """
        if self.trainer is None or self.trainer.world_size == 1:
            return
        if self.trainer._accelerator_connector.use_distributed_sampler:
            problem = "the data module distributes the videos over the processes"
            raise WSVADError("trainer.use_distributed_sampler", True, problem, "Set it to false")

    def share(self, names: Sequence[str]) -> Sequence[str]:
        """The videos that this rank reads as a whole."""
        return names[self._rank :: self._world_size]

    def even_share(self, items: Sequence[Item]) -> Sequence[Item]:
        """As many items for each rank, where ranks work together on them; what remains is left out."""
        return items[: len(items) - len(items) % self._world_size][self._rank :: self._world_size]

    def training_loader(
        self, dataset: BatchDataset[Batch], sides: Mapping[str, Sequence[int]]
    ) -> BatchLoader[Batch]:
        """Load batches of as many bags of each side, the same for all ranks that ask.

        Args:
            dataset: of bags.
            sides: see :class:`BagSampler`.
        """
        sampler = BagSampler(
            sides, self.batch_size, self.seed, self._rank, self._world_size, self._trained_batches
        )
        return self.loader(dataset, sampler)

    def loader(
        self, dataset: BatchDataset[Batch], batch_sampler: BagSampler | None = None
    ) -> BatchLoader[Batch]:
        """Load batches.

        Args:
            dataset: gives them.
            batch_sampler: draws what they hold; without it, one item a batch, in order.
        """
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return BatchLoader(
            dataset,
            batch_sampler=batch_sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=leave_signals,
            collate_fn=as_loaded,
            pin_memory=on_gpu,
            # A loader draws when it is opened; an evaluation leaves the training's random numbers alone.
            generator=torch.Generator() if batch_sampler is None else None,
        )

    @property
    def _rank(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_rank

    @property
    def _world_size(self) -> int:
        return 1 if self.trainer is None else self.trainer.world_size

    def _trained_batches(self) -> int:
        """Batches trained since the very start: not those fetched ahead, and across restarts."""
        if self.trainer is None:
            return 0
        total = self.trainer.fit_loop.epoch_loop.batch_progress.total
        return int(total.processed)  # type: ignore[attr-defined]  # typed as a base that lacks it
