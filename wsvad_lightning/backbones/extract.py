"""``wsvad extract``: from videos to a feature store."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wsvad_lightning.backbones.encode import encode_video
from wsvad_lightning.backbones.pooling import Pooling, SnippetRecipe, Tail
from wsvad_lightning.backbones.streams import Encoder, StreamSpec, build_encoder
from wsvad_lightning.backbones.video import import_av
from wsvad_lightning.data.annotations import VIDEO_SUFFIXES, VideoAnnotation, canonical_id, read_annotations
from wsvad_lightning.data.store import Provenance, StoreWriter
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import UNKNOWN

DEFAULT_STREAMS = (StreamSpec(),)
LISTED = 10  # names in a message; the rest is counted

Dtype = Literal["float16", "float32"]


def extract(
    videos: str,
    output: str,
    annotations: str | None = None,
    streams: Sequence[StreamSpec] = DEFAULT_STREAMS,
    snippet_length: int = 16,
    snippet_stride: int | None = None,
    frame_stride: int = 1,
    pooling: Pooling = "mean",
    tail: Tail = "keep",
    dtype: Dtype = "float32",
    batch_size: int = 16,
    device: str = "auto",
    skip_broken: bool = False,
) -> int:
    """Turn videos into a feature store; run again, it goes on where it stopped.

    Args:
        videos: folder of videos, searched with all its subfolders, or one video.
        output: the store to make or to add to, such as ``features.h5``.
        annotations: table of the videos to extract, with their labels. Without it all videos are extracted,
            for prediction: their labels are unknown and they belong to the split ``predict``.
        streams: what to compute; each stream names a backbone and what it sees of the frames.
        snippet_length: frames covered by a snippet.
        snippet_stride: frames from the start of one snippet to the start of the next, by default the length.
        frame_stride: every how many frames one goes through the backbones.
        pooling: how the frames of a snippet become one vector; ``mean_max`` doubles the channels.
        tail: what becomes of the frames behind the last full snippet: ``keep`` pools those there are,
            ``pad`` repeats the last one until the snippet is full, ``drop`` leaves them out.
        dtype: type of the stored features.
        batch_size: frames held and encoded at once.
        device: where networks run, such as ``cpu`` or ``cuda:1``; ``auto`` takes a GPU if there is one.
        skip_broken: go on past videos that cannot be read, or whose frame count is not the annotated one.

    Returns:
        0 if all videos are in the store, 1 if broken ones were skipped; these are listed at the end.

    Raises:
        WSVADError: if an option is wrong, videos are missing or named twice, or one is broken and must not be
            skipped. What is finished by then stays in the store.
    """
    import_av()
    if batch_size < 1:
        raise WSVADError("batch_size", batch_size, "is no number of frames", "Give 1 or more")
    stride = snippet_length if snippet_stride is None else snippet_stride
    recipe = SnippetRecipe(snippet_length, stride, frame_stride, pooling, tail)
    table = None if annotations is None else read_annotations(annotations)
    todo = find_videos(videos, table)
    encoders = _build_encoders(streams, _find_device(device))
    broken: list[WSVADError] = []
    with StoreWriter(output, _provenance(recipe, encoders, dtype)) as writer, _Display(len(todo)) as display:
        for path, annotation in todo:
            if annotation.video_id not in writer:
                display.start(annotation.video_id)
                try:
                    video = encode_video(path, encoders, recipe, batch_size, display.count)
                    annotation.check_num_frames(video.num_frames)
                except WSVADError as error:
                    if not skip_broken:
                        raise
                    broken.append(error)
                else:
                    arrays = {name: array.astype(dtype) for name, array in video.streams.items()}
                    writer.add(annotation, arrays, num_frames=video.num_frames, fps=video.fps)
            display.finish()
    for problem in broken:
        display.console.print(f"skipped: {problem}", markup=False, highlight=False, soft_wrap=True)
    return 1 if broken else 0


def find_videos(
    videos: str | Path, table: Mapping[str, VideoAnnotation] | None = None
) -> list[tuple[Path, VideoAnnotation]]:
    """The files to extract and what is known of them, in the order of their names.

    Args:
        videos: folder, searched with all its subfolders, or one file.
        table: annotations by canonical name. Files that it does not name are left out; without a table, the
            labels of all are unknown and they belong to the split ``predict``.

    Raises:
        WSVADError: if there are no videos, two have the same name, or a video of the table is missing.
    """
    found: dict[str, Path] = {}
    for path in _video_files(Path(videos)):
        video_id = canonical_id(path.name)
        if table is not None and video_id not in table:
            continue
        if video_id in found:
            problem = f"has the same name as {found[video_id]}"
            raise WSVADError("videos", path, problem, "Rename or move one: videos are known by their names")
        found[video_id] = path
    if table is None:
        return [(path, VideoAnnotation(name, UNKNOWN, split="predict")) for name, path in found.items()]
    if missing := [name for name in table if name not in found]:
        more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
        problem = f"lacks {', '.join(missing[:LISTED])}{more} of the annotations"
        raise WSVADError("videos", videos, problem, "Add the videos or take them out of the annotations")
    return [(path, table[name]) for name, path in found.items()]


def _video_files(videos: Path) -> list[Path]:
    if videos.is_file():
        return [videos]
    if not videos.is_dir():
        raise WSVADError("videos", videos, "there is no such file or folder", "Correct the path")
    files = [
        path
        for path in sorted(videos.rglob("*"))
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
    if not files:
        raise WSVADError("videos", videos, "holds no videos", f"Give a folder of {', '.join(VIDEO_SUFFIXES)}")
    return files


def _build_encoders(streams: Sequence[StreamSpec], device: torch.device) -> dict[str, Encoder]:
    names = [spec.name for spec in streams]
    if not names or len(set(names)) < len(names):
        raise WSVADError("streams", names, "is empty or names a stream twice", "Name each stream once")
    return {spec.name: build_encoder(spec, device) for spec in streams}


def _find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise WSVADError("device", name, "cannot be used here", "Give auto, cpu or a GPU's name") from error


def _provenance(recipe: SnippetRecipe, encoders: Mapping[str, Encoder], dtype: Dtype) -> Provenance:
    """All that the features depend on but the videos themselves."""
    recipes = {name: encoder.recipe for name, encoder in encoders.items()}
    return Provenance(
        backbone="+".join(dict.fromkeys(entry["backbone"] for entry in recipes.values())),
        source="video files",
        snippet_length=recipe.length,
        snippet_stride=recipe.stride,
        frame_stride=recipe.frame_stride,
        pooling=recipe.pooling,
        tail=recipe.tail,
        preprocessing=json.dumps({"dtype": dtype, "streams": recipes}, sort_keys=True),
        views={name: encoder.views for name, encoder in encoders.items()},
    )


class _Display:
    """A progress bar on standard error: videos done, frames a second, time left."""

    def __init__(self, num_videos: int) -> None:
        self.console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("extract"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]:.0f} frames/s, left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[video]}", markup=False),
            console=self.console,
        )
        self._task = self._progress.add_task("", total=num_videos, speed=0.0, video="")
        self._frames, self._began = 0, time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def start(self, video_id: str) -> None:
        self._progress.update(self._task, video=video_id)

    def count(self, num_frames: int) -> None:
        self._frames += num_frames
        self._progress.update(self._task, speed=self._frames / (time.monotonic() - self._began))

    def finish(self) -> None:
        self._progress.update(self._task, advance=1, video="")
