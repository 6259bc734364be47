"""The configuration of a run: a file in its folder, and text in its checkpoints."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from wsvad_lightning.carried import write_carried
from wsvad_lightning.checkpoint import CONFIG_KEY
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.training import TrainingModule
from wsvad_lightning.reporting.receipt import absolute, origin_of, receipt
from wsvad_lightning.runs.tracking import discard_run, is_continued, remember_run

PATHS = ("store", "split", "annotations", "videos", "gt_vector", "gt_list")  # of the data modules
NUMBER = "WSVAD_RUN_NUMBER"  # of the run's folder, for processes that the run starts
MEASURED = ("test/", "val/", "train/loss/")  # what TensorBoard's table of hyper-parameters shows of a run


class RunRecord(SaveConfigCallback):
    """Save the configuration as ``<subcommand>.yaml`` in the run's folder and inside every checkpoint.

    It is saved once model and data are set up, before the first step. A run that is refused before leaves no
    folder. What a checkpoint carries is plain text, so that checkpoints load with ``weights_only=True``.

    Loggers get it as :meth:`described`. TensorBoard gets its table of hyper-parameters when the run ends.
    """

    @cached_property
    def _text(self) -> str:
        """The configuration as YAML; its values were validated when the arguments were parsed."""
        text: str = self.parser.dump(self.config, skip_unset=False, skip_validation=True)
        return text

    @cached_property
    def _plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = yaml.safe_load(self._text)
        return plain

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what ``wsvad test --ckpt_path`` needs to know."""
        assert isinstance(pl_module, TrainingModule)
        checkpoint[CONFIG_KEY] = write_carried(self._from_anywhere(), type(pl_module))

    def _from_anywhere(self) -> dict[str, Any]:
        """Give the configuration with absolute paths."""
        config = deepcopy(self._plain)
        config["data"] |= {key: absolute(config["data"][key]) for key in PATHS if key in config["data"]}
        return config

    def described(self, trainer: Trainer) -> dict[str, Any]:
        """Give what the run is made of, each thing once: settings that have a value, and their origin.

        Paths are absolute, loss weights those in force, and loggers left out.
        """
        config, method = self._from_anywhere(), trainer.lightning_module
        assert isinstance(method, TrainingModule)
        config["model"]["init_args"]["loss_weights"] = method.loss_weights
        trained = {key: value for key, value in config["trainer"].items() if key != "logger"}
        parts = {"model": config["model"], "data": config["data"], "trainer": trained}
        described: dict[str, Any] = with_values(
            {"seed": config["seed_everything"], **parts, "origin": origin_of(trainer)}
        )
        described["data"].pop("seed", None)
        return described

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save nothing yet: the run may still be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first step."""
        self._save(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save also where no step was left to be done."""
        self._save(trainer)
        self._tabulate(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add what was measured to the table of TensorBoard."""
        self._tabulate(trainer)

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
            if isinstance(logger, WandbLogger):
                discard_run(logger)
        remove_logs(_run_folder(loggers), Path(loggers[0].save_dir or "."))

    def _save(self, trainer: Trainer) -> None:
        """Save on the first rank; not collective, as ranks without videos start nothing."""
        if self.already_saved or not trainer.is_global_zero:
            return
        described, command = self.described(trainer), Path(self.config_filename).stem
        folder = _run_folder(trainer.loggers)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / self.config_filename).open("x", encoding="utf-8") as file:
            file.write(self._text)
        measured = {} if command == "fit" else {command: receipt_of(trainer) or described["origin"]}
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                own = {} if measured and is_continued(logger) else described
                logger.experiment.config.update({**own, **measured}, allow_val_change=True)
                remember_run(logger, folder)
            else:
                logger.log_hyperparams(described)
        self.already_saved = True

    def _tabulate(self, trainer: Trainer) -> None:
        """Write the row of this run into TensorBoard's table of hyper-parameters."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        shown = {name: value for name, value in values.items() if name.startswith(MEASURED)}
        last = max(0, trainer.fit_loop.epoch_loop._batches_that_stepped - 1)  # where these values are already
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                logger.log_hyperparams(flat(self.described(trainer)), shown, last)


def _run_folder(loggers: Sequence[Logger]) -> Path:
    """Name the folder as ``Trainer.log_dir`` does, which is collective."""
    return Path(loggers[0].log_dir or ".")


@contextmanager
def logged_apart(output: str, name: str) -> Iterator[CSVLogger]:
    """Make the folder of a run, which none takes that begins at the same time; removed if it stays empty.

    Processes that the run starts log into the same folder. Those that a launcher starts, such as torchrun,
    all look for a free number before any of them writes.

    Args:
        output: folder of all runs, which is there.
        name: of the run.
    """
    if _get_rank() is not None:
        number = os.environ.get(NUMBER)
        yield CSVLogger(output, name=name, version=None if number is None else int(number))
        return
    while True:
        logger = CSVLogger(output, name=name)
        with suppress(FileExistsError):  # of a run that looked for a free number just before
            Path(logger.log_dir).mkdir(parents=True)
            break
    os.environ[NUMBER] = str(logger.version)
    try:
        yield logger
    finally:
        os.environ.pop(NUMBER, None)
        remove_empty(Path(logger.log_dir), Path(output))


def remove_logs(folder: Path, output: Path) -> None:
    """Remove a run's folder with what loggers began in it, and those above it, if nothing else is there.

    Args:
        folder: of the run.
        output: folder of all runs, which stays.
    """
    for path in (*folder.glob("events.out.tfevents.*"), folder / "hparams.yaml"):
        path.unlink(missing_ok=True)
    remove_empty(folder, output)


def remove_empty(folder: Path, output: Path) -> None:
    """Remove a run's folder and those above it, as far as they are empty."""
    with suppress(OSError):  # something is in it, or it is gone
        while folder != output:
            folder.rmdir()
            folder = folder.parent


def receipt_of(trainer: Trainer) -> dict[str, Any]:
    """Give the receipt of what scores videos, in values; empty for what does not."""
    if not isinstance(trainer.lightning_module, WSVADModule):
        return {}
    made: dict[str, Any] = with_values(receipt(trainer))
    return made


def with_values(settings: Any) -> Any:
    """Leave out, in nested mappings and lists of them, what is None or empty."""
    if isinstance(settings, list):
        return [with_values(item) for item in settings]
    if not isinstance(settings, dict):
        return settings
    kept = {name: with_values(value) for name, value in settings.items()}
    return {name: value for name, value in kept.items() if value is not None and value != {}}


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, str | float | bool]:
    """Name each value in nested mappings by its whole dotted name; lists become text."""
    found: dict[str, str | float | bool] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value if isinstance(value, str | int | float) else str(value)
    return found
