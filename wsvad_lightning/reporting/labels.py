"""The figure of a self-training: the pseudo-labels of a method over the steps, with the ground truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.imports import RequirementCache
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.sampling import DETERMINISTIC, sample_segments
from wsvad_lightning.reporting.figures import (
    INK,
    KINDS,
    MODEL,
    log_picture,
    new_figure,
    optional,
    save_figure,
)
from wsvad_lightning.types import MakesPseudoLabels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIDEOS = 4
MOMENTS = 100  # of a training at which the labels are recorded
LEFT_OUT, TRUE = "#c3c8cf", KINDS["abnormal"]


class LabelPicture(Callback):
    """Draw ``pseudo_labels.png`` when a training ends, for methods that make labels.

    It follows four abnormal training videos, preferably with annotated frames. These frames are used only for
    the picture; the method does not see them.

    Attributes:
        seen: labels ``[T]`` of each video by step, NaN where a snippet is left out; part of checkpoints.
    """

    def __init__(self) -> None:
        self.videos: list[str] = []
        self.interval = 1
        self.seen: dict[str, dict[int, Tensor]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Get the recorded labels."""
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the labels that were recorded before."""
        self.seen = state_dict["seen"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the videos."""
        if not isinstance(pl_module, MakesPseudoLabels):
            return
        self.videos = choose_videos(trainer.datamodule)  # type: ignore[attr-defined]  # typed without it
        total = trainer.estimated_stepping_batches
        self.interval = max(1, int(total) // MOMENTS) if np.isfinite(total) else MOMENTS

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the labels at even intervals."""
        if not isinstance(pl_module, MakesPseudoLabels) or trainer.global_step % self.interval:
            return
        for video_id in self.videos:
            labels = pl_module.current_labels(video_id)
            if labels is not None:
                target = labels.target.masked_fill(labels.ignored, torch.nan)
                self.seen.setdefault(video_id, {})[trainer.global_step] = target

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the recorded labels, and log the figure."""
        path = Path(trainer.log_dir or ".") / "pseudo_labels.png"  # collective: every rank asks
        if not self.seen or not trainer.is_global_zero:
            return
        if not RequirementCache("matplotlib"):
            rank_zero_info('No picture of the labels: pip install "wsvad-lightning[report]" draws one')
            return
        data: WSVADDataModule = trainer.datamodule  # type: ignore[attr-defined]  # typed without it
        truths = {video_id: segment_truth(data, video_id) for video_id in self.seen}
        with optional(path):
            draw_labels({video_id: (self.seen[video_id], truths[video_id]) for video_id in truths}, path)
            log_picture(trainer, "train/pseudo_labels", path)


def choose_videos(data: WSVADDataModule) -> list[str]:
    """Give a few abnormal training videos, evenly spread over those with annotated frames, or over all."""
    abnormal = [name for name in data.parts["train"] if data.annotations[name].label == 1]
    annotated = [name for name in abnormal if data.annotations[name].intervals is not None]
    among = annotated or abnormal
    places = np.linspace(0, len(among) - 1, min(VIDEOS, len(among))).round().astype(int)
    return [among[place] for place in places]


def segment_truth(data: WSVADDataModule, video_id: str) -> NDArray[np.float32] | None:
    """Give the anomalous part of each segment of a training bag, ``[S]`` in [0, 1]; None if it is unknown."""
    video, record = data.annotations[video_id], data.store[video_id]
    if video.intervals is None or data.sampling not in DETERMINISTIC:
        return None
    frames = video.frame_labels(record.num_frames)
    grid = data.info.grid
    parts = [frames[slice(*grid.span(t))].mean() for t in range(record.num_snippets)]
    return sample_segments(np.array(parts, np.float32), data.sampling, data.segments, np.random.default_rng())


def draw_labels(
    videos: Mapping[str, tuple[Mapping[int, Tensor], NDArray[np.float32] | None]], path: Path
) -> None:
    """Draw the labels of videos over the steps of a training, below their ground truth.

    Args:
        videos: by name, the labels ``[T]`` by step, NaN for none, and the truth ``[T]``, None if unknown.
        path: the PNG to write, whole or not at all.
    """
    figure = new_figure(path, height=0.6 + 2.4 * len(videos))
    grid = figure.subplots(2 * len(videos), 1, squeeze=False, height_ratios=(1, 9) * len(videos))[:, 0]
    for (video_id, (seen, truth)), above, below in zip(videos.items(), grid[::2], grid[1::2], strict=True):
        above.set_title(video_id, color=INK, fontsize=9.5, loc="left", parse_math=False)
        caption = "no ground truth" if truth is None else "ground truth, and what is taken for it"
        above.set_title(caption, color=INK, fontsize=9.5, loc="right")
        above.set_axis_off()
        if truth is not None:
            _draw_rows(above, truth[None], TRUE)
        _draw_rows(below, torch.stack(list(seen.values())).numpy(), MODEL)
        below.set_yticks([0, len(seen) - 1], [min(seen), max(seen)])
        below.set_ylabel("step", color=INK)
    grid[-1].set_xlabel("segment  (left-out ones are grey)", color=INK)
    save_figure(figure, path)


def _draw_rows(axes: "Axes", rows: NDArray[np.floating[Any]], color: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("labels", ["white", color]).with_extremes(bad=LEFT_OUT)
    axes.imshow(rows, cmap=shades, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
