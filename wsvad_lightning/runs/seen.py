"""Which videos a model was trained on, as its checkpoint tells, and whether a test has some of them."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from wsvad_lightning.data.loading.catalogue import Catalogue
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError, counted, few
from wsvad_lightning.runs.seeds import seed_of_data

SETTINGS = ("store", "split", "split_index", "annotations", "val_fraction")


class SeenVideos(Callback):
    """Warn if videos of a test were trained on: what is measured on them is better than on others.

    Videos are compared by the checksums of their features, whatever they are called now.

    Args:
        carried: what the checkpoint carries.
    """

    def __init__(self, carried: Mapping[str, Any]) -> None:
        self.carried = carried

    @rank_zero_only
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name those videos."""
        data: LightningDataModule = trainer.datamodule  # type: ignore[attr-defined]  # untyped
        training = training_catalogue(self.carried)
        if not isinstance(data, WSVADDataModule) or training is None or same(training, data.catalogue):
            return  # parts of one split have no video in common
        tested, known = data.parts["test"], checksums(training, "train")
        if seen := [name for name in tested if known & checksums_of(data.catalogue, name)]:
            rank_zero_info(
                f"warning: the model was trained on {len(seen)} of {counted(len(tested), 'test video')} "
                f"({few(seen)}): its results are better than on unseen ones. Give others by --data.split"
            )


def training_catalogue(carried: Mapping[str, Any]) -> Catalogue | None:
    """Give the videos of the training, with their parts; None where the checkpoint does not say.

    Args:
        carried: what the checkpoint carries, as :func:`wsvad_lightning.carried.read_carried` gives it.
    """
    settings = {name: carried[f"data.{name}"] for name in SETTINGS if f"data.{name}" in carried}
    if "store" not in settings:
        return None
    return Catalogue(**settings, seed=seed_of_data(carried.get("seed_everything", 0)) or 0)


def checksums(training: Catalogue, *parts: str) -> set[str]:
    """Give the checksums of the features of some parts; none, and a note, where the store is not at hand."""
    try:
        names = [name for part in parts for name in training.parts[part]]
        return set().union(*(checksums_of(training, name) for name in names))
    except WSVADError as error:
        rank_zero_info(f"note: whether videos were trained on is not known: {error}")
        return set()


def checksums_of(catalogue: Catalogue, name: str) -> set[str]:
    """Give the checksums of the features of a video."""
    return {stream.checksum for stream in catalogue.store[name].streams.values()}


def same(one: Catalogue, other: Catalogue) -> bool:
    """Whether two catalogues are made with the same settings."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("store_path", "split_path", "split_index", "annotations_path", "val_fraction", "seed")
    )
