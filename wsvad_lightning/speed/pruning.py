"""What the dropping of tokens saves SST, and what its maps lose."""

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor

from wsvad_lightning.data.datasets.footage import find_videos
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.sst import SST
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.speed.measures import gib, memory_in_use, peak_memory, seconds_of
from wsvad_lightning.speed.step import in_fresh_process
from wsvad_lightning.video.clips import ClipReaders

ALL = (1.0, 1.0, 1.0)
HIGHEST = 0.1  # share of the patches of a map that are compared


def benchmark_pruning(
    checkpoint: str,
    videos: str,
    token_ratio: tuple[float, float, float] = (0.7, 0.5, 0.3),
    clips: int = 8,
    repeats: int = 5,
) -> None:
    """Map clips with all tokens and with some dropped, in turn, and print a table.

    The clips begin at the middle of the first videos. Patches attend to a snippet whose features are all 0.
    Maps are those of patches alone, not multiplied by the score of a snippet.

    Args:
        checkpoint: of SST, trained with three ratios.
        videos: folder of videos.
        token_ratio: parts of all tokens that are left, one after the other.
        clips: number of clips, mapped at once.
        repeats: repetitions that are timed, after one that is not.
    """
    models = [load(checkpoint, ratio) for ratio in (ALL, token_ratio)]
    read = read_clips(models[0], videos, clips)
    maps = [map_clips(model, read) for model in models]
    seconds: list[list[float]] = [[], []]
    for _ in track(range(repeats), "Timing", transient=True):
        for model, own in zip(models, seconds, strict=True):
            own.append(seconds_of(partial(map_clips, model, read), "cpu"))
    added = [in_fresh_process(added_memory, checkpoint, ratio, read) for ratio in (ALL, token_ratio)]
    table = Table(
        "tokens left", "ms a clip, median", "fastest", "memory added", title=f"{clips} clips of SST"
    )
    for ratio, own, size in zip((ALL, token_ratio), seconds, added, strict=True):
        times = (f"{1e3 * value / clips:,.1f}" for value in (statistics.median(own), min(own)))
        table.add_row(", ".join(map(str, ratio)), *times, gib(size))
    console = open_console()
    console.print(table)
    ratios = (every / some for every, some in zip(*seconds, strict=True))
    console.print(f"faster by the factor {statistics.median(ratios):.2f}, median of the pairs")
    kept, correlation, common = agreement(*maps)
    console.print(f"patches with a token left: {kept:.0%}; correlation of scores there: {correlation:.3f}")
    console.print(
        f"of the {HIGHEST:.0%} highest patches of a full map, {common:.0%} are also those of the other"
    )


def load(checkpoint: str, token_ratio: Sequence[float]) -> SST:
    """Load SST with other ratios.

    Raises:
        WSVADError: if the file is of another method, or of another number of ratios.
    """
    try:
        model = SST.load_from_checkpoint(checkpoint, token_ratio=tuple(token_ratio), map_location="cpu")
    except RuntimeError as error:
        problem = f"its weights are not of SST with three ratios ({str(error).splitlines()[-1].strip()})"
        raise WSVADError("checkpoint", checkpoint, problem, "Give one trained by ped2_sst.yaml") from None
    return model.eval()


def read_clips(model: SST, videos: str, clips: int) -> Tensor:
    """Read clips ``[B, 3, F, H, W]`` from the middle of the first videos of a folder."""
    readers, grid = ClipReaders(), model.net.grid
    found = [video.path for video in find_videos(Path(videos))[0][:clips]]
    starts = [max(0, (readers.index(video).num_frames - grid.frames) // 2) for video in found]
    read = [
        readers.read_clip(video, start, grid.frames, size=grid.size, pad=True)
        for video, start in zip(found, starts, strict=True)
    ]
    readers.close()
    return torch.stack(read)


@torch.inference_mode()
def map_clips(model: SST, clips: Tensor) -> Tensor:
    """Give the maps ``[B, rows, columns]`` of clips, with average features of their snippets."""
    average = model.net.temporal.describe(torch.zeros(1, 1, 1, model.feature_dim))
    return model.net.map_patches(clips, average[0, 0].expand(len(clips), -1))


def added_memory(checkpoint: str, token_ratio: Sequence[float], clips: Tensor) -> int:
    """Bytes that mapping clips takes beyond the model and the clips."""
    model = load(checkpoint, token_ratio)
    start = memory_in_use("cpu")
    map_clips(model, clips)
    return max(0, peak_memory("cpu") - start)


def agreement(full: Tensor, pruned: Tensor) -> tuple[float, float, float]:
    """Compare maps ``[B, rows, columns]``, of which the second has 0 where a patch was dropped.

    Returns:
        The share of patches that are left, the correlation of all their scores (NaN if one map is the same
        everywhere), and the mean share of the highest patches of a full map that are the highest of both.
    """
    left = pruned > 0
    correlation = torch.corrcoef(torch.stack([full[left], pruned[left]]))[0, 1]
    most = max(1, round(HIGHEST * full[0].numel()))
    highest = (maps.flatten(1).topk(most).indices for maps in (full, pruned))
    common = [len(set(a) & set(b)) / most for a, b in zip(*(x.tolist() for x in highest), strict=True)]
    return float(left.float().mean()), float(correlation), statistics.mean(common)
