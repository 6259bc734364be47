"""What ``wsvad fit`` trains, on which videos, and what comes next."""

import platform

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.frames import ClipDataModule
from wsvad_lightning.errors import counted

VALIDATIONS = 10  # fewer are too few to choose a checkpoint by


class TrainingSummary(Callback):
    """Say in a few lines what is about to be trained, and what is odd about the run."""

    def __init__(self) -> None:
        self._begun = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note a precision that will be slow."""
        if note := note_precision(trainer):
            rank_zero_info(note)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the method, the videos, the split and the steps."""
        self._begun = True
        data: WSVADDataModule | ClipDataModule = trainer.datamodule  # type: ignore[attr-defined]  # untyped
        parameters = sum(weights.numel() for weights in pl_module.parameters() if weights.requires_grad)
        steps = trainer.estimated_stepping_batches
        rank_zero_info(
            f"training {type(pl_module).__name__}, {parameters:,} parameters, for {steps} steps on "
            f"{count_videos(data)}; {count_others(data)}"
        )
        if note := note_validations(trainer):
            rank_zero_info(note)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say so if a continued training had ended before."""
        if not self._begun:
            rank_zero_info(
                f"warning: nothing was left to train: the checkpoint is of step {trainer.global_step}, and "
                "this run ends there or before. Give more --trainer.max_steps, or --init_from to begin anew"
            )


def count_videos(data: WSVADDataModule | ClipDataModule) -> str:
    """Count the training videos: of each label, and their crops; or those that give clips."""
    if isinstance(data, ClipDataModule) and not data.labelled:
        return f"clips of {counted(len(data.parts['train']), 'video')}"
    labels = [data.annotations[video_id].label for video_id in data.parts["train"]]
    if isinstance(data, ClipDataModule):
        return f"clips of {labels.count(0)} normal and {labels.count(1)} abnormal videos"
    views = data.transform.output_views
    crops = f"{views} crops each ({data.crops})" if views > 1 else "1 crop each"
    return f"{labels.count(0)} normal and {labels.count(1)} abnormal videos, {crops}"


def count_others(data: WSVADDataModule | ClipDataModule) -> str:
    """Count the videos of the other parts; the data module names the split."""
    val, test = (len(data.parts[part]) for part in ("val", "test"))
    return f"{val or 'no'} videos to validate with, {test or 'none'} to test with"


def note_validations(trainer: Trainer) -> str | None:
    """Say so if the recipe validates too rarely, or on no videos, to choose a checkpoint by."""
    interval = getattr(trainer, "val_check_interval", None)  # there is none where minutes are counted
    steps = trainer.estimated_stepping_batches
    callbacks = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
    monitored = any((callback.monitor or "").startswith("val/") for callback in callbacks)
    data: WSVADDataModule = trainer.datamodule  # type: ignore[attr-defined]  # typed without it
    if monitored and not data.parts["val"]:
        return (
            "note: no best.ckpt is chosen, as no videos are held out; --data.val_fraction 0.1 holds some out"
        )
    if not monitored or not isinstance(interval, int) or steps >= VALIDATIONS * interval:
        return None
    often = max(1, int(steps) // VALIDATIONS)
    return (
        f"note: best.ckpt is chosen among {int(steps) // interval} validation(s); "
        f"--trainer.val_check_interval {often} makes {VALIDATIONS}"
    )


def note_precision(trainer: Trainer) -> str | None:
    """Say so if matrix products are to be in bfloat16 on a CPU that has no instructions for them."""
    if trainer.strategy.root_device.type != "cpu" or not trainer.precision.startswith("bf16"):
        return None
    if multiplies_bfloat16():
        return None
    return (
        f"note: this CPU has no instructions for bfloat16: --trainer.precision {trainer.precision} is slower "
        "than 32-true, often many times"
    )


def multiplies_bfloat16() -> bool:
    """Whether the CPU has products in bfloat16: AVX-512 BF16 or AMX, or those of Arm."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    arm = torch.ops.mkldnn
    return hasattr(arm, "_is_mkldnn_bf16_supported") and bool(arm._is_mkldnn_bf16_supported())
