"""From glances, frames that a person marked inside anomalies, to marked segments of a bag."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.loading.sampling import PADDED, Sampling

Glances = Literal["all", "official"]


def used_glances(frames: tuple[int, ...], glances: Glances) -> tuple[int, ...]:
    """Give the glances of a video that are learnt from.

    Args:
        frames: that were marked, in the order in which they are annotated.
        glances: ``all``, or ``official`` as GlanceVAD's authors have it: none if the first one is frame 0.
    """
    return () if glances == "official" and frames[:1] == (0,) else frames


def mark_segments(
    frames: Sequence[int],
    num_snippets: int,
    stride: int,
    sampling: Sampling,
    segments: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Mark the segments that glances fall into, as GlanceVAD does.

    The frame p of a video of T snippets is in segment ``int(p / stride / T * S)``, whatever the sampling;
    where snippets are taken as they are, in that of its own snippet. What is behind the last snippet counts
    for it. In a window of a longer video, glances outside of it are left out.

    Args:
        frames: that were marked.
        num_snippets: T.
        stride: frames from the start of one snippet to the start of the next.
        sampling: from snippets to segments.
        segments: S.
        rng: in the state that :func:`sample_segments` gets.

    Returns:
        ``[S]``.
    """
    exact = np.array(frames, dtype=np.float64) / stride
    places = np.minimum(exact.astype(int), num_snippets - 1)
    if sampling == "window" and num_snippets > segments:
        places -= rng.integers(num_snippets - segments + 1)
        places = places[(places >= 0) & (places < segments)]
    elif sampling not in PADDED or num_snippets > segments:
        places = np.minimum((exact / num_snippets * segments).astype(int), segments - 1)
    marks = np.zeros(segments, dtype=bool)
    marks[places] = True
    return marks
