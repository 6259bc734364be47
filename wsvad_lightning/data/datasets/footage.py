"""The videos of a source: files and folders of images, their names and labels, and what else it holds."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.names import VIDEO_SUFFIXES, name_videos, path_id
from wsvad_lightning.data.datasets.table import read_annotations, read_video_paths
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.folders import Passed, examples, name_passed, walk
from wsvad_lightning.types import UNKNOWN
from wsvad_lightning.video.frames import IMAGE_FPS, IMAGE_SUFFIXES, Footage, FrameFolder, frame_folder

TABLE_SUFFIXES = (".csv", ".tsv")
LISTED = 10  # names in a message; the rest is counted
EMPTY = "empty"


class Found(NamedTuple):
    """The videos of a source.

    Attributes:
        videos: files and folders of images, sorted by path.
        notes: what was passed over and what was assumed, a line each.
    """

    videos: list[Footage]
    notes: list[str]


class SourceVideo(NamedTuple):
    """One video of a source.

    Attributes:
        path: the file, or a folder of frames.
        annotation: what is known of it.
        source: its path below the source that was given, as stores record it.
    """

    path: Footage
    annotation: VideoAnnotation
    source: str


Names = Mapping[str, str]


def find_videos(
    videos: str | Path,
    annotations: str | None = None,
    image_fps: float | None = None,
    kept: Callable[[Mapping[str, Footage]], Names] = lambda footage: {},
) -> tuple[list[SourceVideo], list[str]]:
    """Find the videos of a source and what is known of them, in the order of their paths.

    Args:
        videos: folder, searched with all its subfolders; one file; one folder of images; or a table of these.
        annotations: table of labels. Videos that it does not name are left out; without a table, the labels
            of all are unknown and they belong to the split ``predict``.
        image_fps: frames a second of folders of images.
        kept: gives names that videos already have, by the paths below the source.

    Returns:
        The videos, and what was passed over or assumed, a line each.

    Raises:
        WSVADError: if no video is found, one is listed twice, the table cannot be read or may mean several
            videos, or a video of the table is missing.
    """
    root = Path(videos).absolute()
    footage, notes = find_footage(Path(videos), image_fps)
    if is_table(videos) or [root] == [Path(video).absolute() for video in footage]:
        root = root.parent
    below = [_path_below(video, root) for video in footage]
    names = name_videos(below, kept(dict(zip(map(path_id, below), footage, strict=True))))
    sources = dict(zip(names, map(path_id, below), strict=True))
    paths = dict(zip(sources, footage, strict=True))
    if annotations is None:
        table = {name: VideoAnnotation(name, UNKNOWN, split="predict") for name in sources}
    else:
        table = read_annotations(annotations, sources, notes=notes)
    if left_out := [name for name in sources if name not in table]:
        count = f"{len(left_out)} video{'s' if len(left_out) > 1 else ''}"
        notes.append(f"{count} not in the annotations: {few(left_out)}")
    if missing := [name for name in table if name not in sources]:
        problem = f"lacks {few(missing)} of the annotations"
        raise WSVADError("videos", videos, problem, "Add the videos or take them out of the annotations")
    return [SourceVideo(paths[name], table[name], sources[name]) for name in sources if name in table], notes


def _path_below(video: Footage, root: Path) -> str:
    """The path of a video relative to a folder, or as it is where it lies elsewhere."""
    path = Path(video).absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else video)


def find_footage(source: Path, image_fps: float | None = None) -> Found:
    """Find the videos of a source.

    Args:
        source: folder, searched with all its subfolders and linked folders; one file; one folder of images;
            or a table of any of these.
        image_fps: frames a second of folders of images.

    Raises:
        WSVADError: if there is no video, or a video of the table is missing.
    """
    if image_fps is not None and not 0 < image_fps < inf:
        raise WSVADError("image_fps", image_fps, "must be above 0", "Give frames a second, such as 25")
    notes: list[str] = []
    if is_table(source):
        videos = _listed(source, image_fps or IMAGE_FPS)
    elif source.is_file():
        return Found([source], [])
    elif source.is_dir():
        videos, notes = _below(source, image_fps or IMAGE_FPS)
    else:
        raise WSVADError("videos", source, "no such file or folder", "Correct the path")
    folders = [video for video in videos if isinstance(video, FrameFolder)]
    return Found(videos, [*notes, *_notes_on(folders, stated=image_fps is not None)])


def is_table(videos: str | Path) -> bool:
    """Whether this is a table of videos, by its name."""
    return Path(videos).suffix.lower() in TABLE_SUFFIXES


def few(names: Sequence[str]) -> str:
    """Name some of many videos, and count the rest."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{', '.join(names[:LISTED])}{more}"


def _listed(table: Path, fps: float) -> list[Footage]:
    """The videos that a table names."""
    videos: list[Footage] = []
    missing: list[str] = []
    for path in read_video_paths(table):
        if path.is_file():
            videos.append(path)
        elif path.is_dir():
            videos.append(_folder_of(path, fps))
        else:
            missing.append(str(path))
    if missing:
        remedy = "Correct the column 'video': paths are seen from the table's folder"
        raise WSVADError("videos", table, f"names files that are not there: {few(missing)}", remedy)
    return videos


def _folder_of(folder: Path, fps: float) -> FrameFolder:
    """The folder of images that a table names."""
    images = [path for path in walk(folder).files if path.parent == folder and _is_image(path)]
    found = frame_folder(images, fps) if images else "that are not there"
    if isinstance(found, str):
        raise WSVADError("videos", folder, f"holds images {found}", "Give a folder of numbered images")
    return found


def _below(source: Path, fps: float) -> tuple[list[Footage], list[str]]:
    """The videos below a folder, and notes on the rest."""
    files, passed, linked = walk(source)
    videos: list[Footage] = []
    images: dict[Path, list[Path]] = defaultdict(list)
    rest: Passed = defaultdict(list)
    for path in files:
        suffix = path.suffix.lower()
        if suffix in VIDEO_SUFFIXES and _is_empty(path):
            rest[EMPTY].append(path)
        elif suffix in VIDEO_SUFFIXES:
            videos.append(path)
        elif suffix in IMAGE_SUFFIXES:
            images[path.parent].append(path)
        else:
            rest[f"suffix {suffix}" if suffix else "no suffix"].append(path)
    next_to = {video.parent for video in map(Path, videos)}
    for folder, held in images.items():
        found = "next to videos" if folder in next_to else frame_folder(held, fps)
        if isinstance(found, str):
            rest[f"images {found}"] += held
        else:
            videos.append(found)
    rest |= passed
    over = name_passed(rest)
    if not videos:
        kinds = f"{', '.join(VIDEO_SUFFIXES)}, or of folders of numbered images"
        problem = f"holds no videos; passed over: {over}" if over else "holds no videos"
        raise WSVADError("videos", source, problem, f"Give a folder of {kinds}")
    notes = [f"followed linked folders: {few([str(path) for path in linked])}"] if linked else []
    notes += [f"passed over: {over}"] if over else []
    return sorted(videos, key=Path), notes


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _notes_on(folders: Sequence[FrameFolder], *, stated: bool) -> Iterator[str]:
    """What was assumed of folders of images."""
    if not folders:
        return
    assumed = "" if stated else "; --image_fps gives another"
    first = folders[0]
    example = f"{first} of {counted(len(first.images), 'frame')}, at {first.fps:g} a second{assumed}"
    yield f"folders of images taken for videos: {len(folders)}, such as {example}"
    if gaps := [folder for folder in folders if folder.absent]:
        named = [f"{folder} ({folder.absent})" for folder in gaps]
        yield f"numbers without an image, so that what follows moves up: {few(named)}"
    if others := [image for folder in folders for image in folder.others]:
        yield f"images without a number, not taken for frames: {len(others)} ({examples(others)})"
