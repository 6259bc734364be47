"""From snippet scores to frame scores: every frame gets a score, and no score is dropped.

A video of F frames is cut into T snippets; snippet t covers the frames ``[t * stride, t * stride + length)``.
How many snippets that gives depends on what happens to the tail, and the two usual answers bound T::

    tail dropped:  max(1, floor((F - length) / stride) + 1)  <=  T  <=  ceil(F / stride)  :tail padded

A T within the bounds is expanded to exactly F frames. Any other T means that features and frame count do not
belong together, and raises.
"""

from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid

Score = TypeVar("Score", bound=np.floating[Any])


def check_num_snippets(num_snippets: int, num_frames: int, grid: SnippetGrid, video_id: str = "") -> None:
    """Check that so many snippets can come from so many frames.

    Args:
        num_snippets: T.
        num_frames: F.
        grid: positions of the snippets.
        video_id: named in the message.

    Raises:
        WSVADError: if T lies outside the bounds (see the module); names T, F and both bounds.
    """
    fewest, most = grid.bounds(num_frames)
    if not fewest <= num_snippets <= most:
        raise WSVADError(
            "scores",
            video_id or f"{num_snippets} snippets",
            f"{num_snippets} snippets do not fit {num_frames} frames: {grid} "
            f"give {fewest} (tail dropped) to {most} (tail padded)",
            "Give the frame count, snippet length and stride that the features were extracted with",
        )


def expand_scores(
    scores: NDArray[Score], num_frames: int, grid: SnippetGrid, video_id: str = ""
) -> NDArray[Score]:
    """Give every frame the mean score of the snippets that cover it.

    Frames after the last covered one take the last snippet's score, frames in a gap between snippets
    (``stride > length``) the score of the snippet before. With ``length == stride`` this is plain repetition:
    the values stay exactly the same.

    Args:
        scores: ``[T]``, a floating NumPy array (``tensor.float().numpy()`` for a tensor).
        num_frames: F.
        grid: positions of the snippets.
        video_id: named in messages.

    Returns:
        ``[F]``, of the type of ``scores``; means are taken in float64.

    Raises:
        WSVADError: if ``scores`` is not such an array, or T does not fit F (:func:`check_num_snippets`).
    """
    if not isinstance(scores, np.ndarray) or scores.ndim != 1 or scores.dtype.kind != "f":
        shape, kind = getattr(scores, "shape", "no"), getattr(scores, "dtype", type(scores).__name__)
        raise WSVADError(
            "scores",
            video_id or kind,
            f"a floating NumPy array [T] is needed, not {kind} of shape {shape}",
            "Give one floating score per snippet",
        )
    check_num_snippets(len(scores), num_frames, grid, video_id)
    frames = np.arange(num_frames)
    latest = np.minimum(frames // grid.stride, len(scores) - 1)  # the last snippet begun at each frame
    total, covering = np.zeros(num_frames), np.zeros(num_frames, dtype=np.int64)
    for back in range(-(-grid.length // grid.stride)):
        snippets = latest - back
        covers = (snippets >= 0) & (frames < snippets * grid.stride + grid.length)
        total[covers] += scores[snippets[covers]]
        covering += covers
    means = np.where(covering > 0, total / np.maximum(covering, 1), scores[latest])
    return means.astype(scores.dtype)


def expand_maps(
    maps: NDArray[Score], num_frames: int, grid: SnippetGrid, video_id: str = ""
) -> list[tuple[int, int, NDArray[Score]]]:
    """Give the frames of a video their maps, as :func:`expand_scores` gives them scores.

    Args:
        maps: ``[T, h, w]`` of snippets, or ``[F, h, w]`` of frames; as many as frames are of frames.
        num_frames: F.
        grid: positions of the snippets.
        video_id: named in messages.

    Returns:
        ``(start, end, map [h, w])`` of successive frames with the same map, in order.

    Raises:
        WSVADError: if neither T nor F fits.
    """
    if len(maps) == num_frames and grid.length > 1:
        return [(frame, frame + 1, own) for frame, own in enumerate(maps)]
    check_num_snippets(len(maps), num_frames, grid, video_id)
    starts = np.arange(len(maps)) * grid.stride
    ends = [*starts.tolist(), *(starts + grid.length).tolist()]
    borders = [*sorted({frame for frame in ends if frame < num_frames}), num_frames]
    runs = []
    for start, end in pairwise(borders):
        latest = min(start // grid.stride, len(maps) - 1)
        first = max(0, (start - grid.length) // grid.stride + 1)
        covering = maps[min(first, latest) : latest + 1]
        runs.append((start, end, covering.mean(axis=0, dtype=np.float64).astype(maps.dtype)))
    return runs
