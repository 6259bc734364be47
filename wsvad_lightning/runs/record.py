"""The configuration of a run: a file in its folder, and text in its checkpoints."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import Logger, WandbLogger

from wsvad_lightning.carried import write_carried
from wsvad_lightning.checkpoint import CONFIG_KEY
from wsvad_lightning.methods.base.training import TrainingModule

PATHS = ("store", "split", "annotations", "videos")  # of the data modules


class RunRecord(SaveConfigCallback):
    """Save the configuration as ``<subcommand>.yaml`` in the run's folder and inside every checkpoint.

    It is saved once model and data are set up, before the first step. A run that is refused before leaves no
    folder. What a checkpoint carries is plain text, so that checkpoints load with ``weights_only=True``.
    """

    def _plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        return plain

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what ``wsvad test --ckpt_path`` needs to know."""
        config = self._plain()
        config["data"] |= {key: absolute(config["data"][key]) for key in PATHS if key in config["data"]}
        assert isinstance(pl_module, TrainingModule)
        checkpoint[CONFIG_KEY] = write_carried(config, type(pl_module))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save nothing yet: the run may still be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first step."""
        self._save(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save also where no step was left to be done."""
        self._save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove what loggers made for a run that has not begun."""
        if self.already_saved or not trainer.is_global_zero:
            return
        loggers, trainer.loggers = trainer.loggers, []  # they finish here, not after the removal
        for logger in loggers:
            logger.finalize("failed")
        remove_logs(_run_folder(loggers), Path(loggers[0].save_dir or "."))

    def _save(self, trainer: Trainer) -> None:
        """Save on the first rank; not collective, as ranks without videos start nothing."""
        if self.already_saved or not trainer.is_global_zero:
            return
        folder = _run_folder(trainer.loggers)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, folder / self.config_filename, skip_unset=False, multifile=False)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(self._plain())
        self.already_saved = True


def _run_folder(loggers: Sequence[Logger]) -> Path:
    """Name the folder as ``Trainer.log_dir`` does, which is collective."""
    return Path(loggers[0].log_dir or ".")


def remove_logs(folder: Path, output: Path) -> None:
    """Remove a run's folder with what loggers began in it, and those above it, if nothing else is there.

    Args:
        folder: of the run.
        output: folder of all runs, which stays.
    """
    for path in (*folder.glob("events.out.tfevents.*"), folder / "hparams.yaml"):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        while folder != output:
            folder.rmdir()
            folder = folder.parent


def absolute(path: str | list[str] | None) -> str | list[str] | None:
    """Make paths and patterns hold from any folder."""
    if isinstance(path, list):
        return [os.path.abspath(one) for one in path]  # noqa: PTH100  # a pattern is not a path
    return None if path is None else os.path.abspath(path)  # noqa: PTH100
