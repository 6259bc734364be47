"""Frame labels that are ready: the ground-truth arrays that repositories ship.

Most are one ``.npy`` array: the labels of all test videos, one after the other, in the order of a list of
features. A ``.npz`` file has an array for each video, by its name, and needs no list. The labels of a video
are as many as it has frames, or as its snippets cover, as authors repeat the score of a snippet.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.limits import read_npy, read_npz
from wsvad_lightning.data.datasets.names import match_videos
from wsvad_lightning.data.datasets.text import read_lines
from wsvad_lightning.errors import WSVADError

VECTOR, LIST = "data.gt_vector", "data.gt_list"
NAMED = 3  # videos in a message


class Listed(NamedTuple):
    """A test video, as far as labels must fit it.

    Attributes:
        path: below the source of the store, see :func:`match_videos`.
        annotation: what else is known of it.
        num_frames: F.
        covered: frames that its snippets cover.
    """

    path: str
    annotation: VideoAnnotation
    num_frames: int
    covered: int


class ReadyLabels(NamedTuple):
    """Frame labels by the name of the video; it takes the place of a :class:`Rule`.

    Attributes:
        labels: 0 normal and 1 anomalous, by video.
        note: how they differ from the annotated intervals; None if they do not, or none are known.
    """

    labels: Mapping[str, NDArray[np.uint8]]
    note: str | None = None

    def knows(self, video: VideoAnnotation) -> bool:
        """Whether the frames of a video can be labelled: all that were listed."""
        return video.video_id in self.labels

    def label(self, video: VideoAnnotation, num_frames: int, num_snippets: int) -> NDArray[np.uint8]:
        """Label the frames of a video."""
        return self.labels[video.video_id]


def read_vector(path: str, listed_in: str | None, videos: Mapping[str, Listed]) -> ReadyLabels:
    """Read ready labels of all test videos.

    Args:
        path: ``.npy`` or ``.npz`` file.
        listed_in: list of the videos in the order of the array, a line for each or for each of its crops, as
            lists of features have them; None for a ``.npz`` file.
        videos: the test videos by name.

    Raises:
        WSVADError: if a file cannot be read, the videos are others, the lengths do not agree, a value is
            neither 0 nor 1, or a frame of a normal video is labelled anomalous.
    """
    if not Path(path).is_file():
        raise WSVADError(VECTOR, path, "no such file", "Give a .npy or .npz file")
    if Path(path).suffix.lower() == ".npz":
        if listed_in is not None:
            raise WSVADError(LIST, listed_in, f"{path} names its videos itself", "Leave it out")
        given = read_npz(VECTOR, path)
        named = _named(VECTOR, path, [*given], videos)
        parts = {video: given[name] for video, name in named.items()}
    elif listed_in is None:
        problem = f"is required: {path} does not say which frames are whose"
        raise WSVADError(LIST, None, problem, "Give the list of test videos that the array was made by")
    else:
        named = _named(LIST, listed_in, _read_list(listed_in), videos)
        parts = _divide(path, read_npy(VECTOR, path), {video: videos[video] for video in named})
    for name, part in parts.items():
        _check(path, name, part, videos[name])
    labels = {name: part.astype(np.uint8) for name, part in parts.items()}
    return ReadyLabels(labels, _compare(path, labels, videos))


def _read_list(path: str) -> list[str]:
    """Read names of videos in order; the crops of one are one."""
    try:
        return [*dict.fromkeys(line.video_id for line in read_lines(Path(path)))]
    except WSVADError as error:
        raise WSVADError(LIST, error.value, error.problem, error.remedy) from None


def _named(argument: str, where: str, names: Sequence[str], videos: Mapping[str, Listed]) -> dict[str, str]:
    """Give the name that each test video is listed by, in the order of the names; refuse other videos."""
    found = match_videos(names, {name: video.path for name, video in videos.items()})
    named = {video: name for video, name in zip(found, names, strict=True) if video is not None}
    others = [name for name, video in zip(names, found, strict=True) if video is None]
    missing = [*videos.keys() - named]
    for some, what in ((others, "are not of the test videos"), (missing, "of the test videos are not there")):
        if some:
            shown = ", ".join(sorted(some)[:NAMED]) + (", …" if len(some) > NAMED else "")
            remedy = "Give the labels of the test part, or the split that they are of"
            raise WSVADError(argument, where, f"{len(some)} {what}: {shown}", remedy)
    if len(named) < len(names):
        raise WSVADError(argument, where, "names a video twice, by two names", "Name each video once")
    return named


def _divide(path: str, vector: NDArray[Any], videos: Mapping[str, Listed]) -> dict[str, NDArray[Any]]:
    """Give each video its part of ``[frames of all]``, in order; the whole length says what was counted."""
    covered, frames = [video.covered for video in videos.values()], [v.num_frames for v in videos.values()]
    fitting = [own for own in (covered, frames) if vector.shape == (sum(own),)]
    if not fitting:
        problem = (
            f"is of shape {vector.shape}; the {len(videos)} listed videos have {sum(frames)} frames, "
            f"their snippets {sum(covered)}"
        )
        raise WSVADError(VECTOR, path, problem, "Give the array that belongs to these features, and its list")
    if len(fitting) == 2 and covered != frames:
        problem = f"may be of the {sum(frames)} frames of the videos or of as many of their snippets"
        raise WSVADError(VECTOR, path, problem, "Give a .npz file with an array for each video")
    parts: Sequence[NDArray[Any]] = np.split(vector, np.cumsum(fitting[0])[:-1])
    return dict(zip(videos, parts, strict=True))


def _check(path: str, name: str, part: NDArray[Any], video: Listed) -> None:
    if part.shape not in ((video.num_frames,), (video.covered,)):
        has = f"{video.num_frames} frames ({video.covered} in its snippets)"
        problem = f"has labels of shape {part.shape} for {name}, of {has}"
        raise WSVADError(VECTOR, path, problem, "Give one for each frame")
    if not np.isin(part, (0, 1)).all():
        raise WSVADError(VECTOR, path, f"labels of {name} are neither 0 nor 1", "Give these")
    if not video.annotation.label and part.any():
        problem = f"labels {int(part.sum())} frames of {name} anomalous, which is a normal video"
        raise WSVADError(VECTOR, path, problem, "Give the list in the order that the array was made by")


def _compare(path: str, labels: Mapping[str, NDArray[np.uint8]], videos: Mapping[str, Listed]) -> str | None:
    """Count the labels that are not those of the annotated intervals, up to the end of the shorter."""
    pairs = [
        (labels[name], video.annotation.frame_labels(video.num_frames))
        for name, video in videos.items()
        if video.annotation.intervals is not None
    ]
    cut = [(own[: len(exact)], exact[: len(own)]) for own, exact in pairs]
    differ, total = sum(int((own != exact).sum()) for own, exact in cut), sum(len(own) for own, _ in cut)
    return f"{differ} of {total} labels of {path} are not those of the annotations" if differ else None
