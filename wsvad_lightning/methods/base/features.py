"""Compare features with those that a checkpoint was trained with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_info

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StoreInfo

if TYPE_CHECKING:
    from wsvad_lightning.data.loading.datamodule import WSVADDataModule


def described(info: StoreInfo) -> dict[str, str | int]:
    """Describe what features must share to be scored by one model, in plain values."""
    return {
        "backbone": info.backbone,
        "snippet_length": info.grid.length,
        "snippet_stride": info.grid.stride,
        "views": info.views,
    }


def compare_features(checkpoint: Mapping[str, Any], data: "WSVADDataModule") -> None:
    """Compare the features that a data module delivers with those that a checkpoint records.

    Another transform or number of crops is reported; another backbone or other snippets are refused.

    Raises:
        WSVADError: if they do not fit.
    """
    given, settings = described(data.info), data.transform.settings
    for name, trained in checkpoint.get("transform", settings).items():
        if name in settings and settings[name] != trained:
            rank_zero_info(f"note: {name} of the features: {trained} in training, {settings[name]} now")
    for name, trained in checkpoint.get("features", given).items():
        if name not in given or given[name] == trained:
            continue
        if name != "views":
            raise other_features(data, f"{name.replace('_', ' ')} {given[name]}", trained)
        rank_zero_info(
            f"note: crops of a video: {trained} in training, {given[name]} as data.store delivers them; "
            f"a score is the mean over them"
        )


def other_features(data: "WSVADDataModule", given: object, trained: object) -> WSVADError:
    """Give the error of features that a checkpoint was not trained with."""
    return WSVADError(
        "data.store",
        data.info.path,
        f"delivers {given}, the checkpoint was trained with {trained}",
        "Give features of the same backbone, snippets, streams and transform",
    )


def note_unmarked_videos(data: "WSVADDataModule") -> None:
    """Count the abnormal training videos without a glance, which are learnt as normal ones."""
    videos = [video for name in data.parts["train"] if (video := data.annotations[name]).label == 1]
    if unmarked := [video.video_id for video in videos if not video.glances]:
        count = f"{len(unmarked)} of {len(videos)} abnormal training videos"
        rank_zero_info(
            f"note: {count}, such as {unmarked[0]}, have no glance: all of them is learnt as normal"
        )


def note_unseen_classes(data: "WSVADDataModule") -> None:
    """Name the classes without a training video: mistyped ones are among these."""
    seen = {name for video in data.parts["train"] for name in data.annotations[video].classes}
    if unseen := [name for name in data.info.classes if name not in seen]:
        rank_zero_info(f"note: no training video is of {', '.join(unseen)}: the method cannot learn it")
