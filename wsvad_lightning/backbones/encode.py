"""One video as features: decoded once, in windows of frames, for all streams."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wsvad_lightning.backbones.pooling import SnippetRecipe
from wsvad_lightning.backbones.streams import Encoder, FrameWindow
from wsvad_lightning.backbones.video import VideoReader
from wsvad_lightning.data.store import Features


class EncodedVideo(NamedTuple):
    """One video as features.

    Attributes:
        streams: ``[T, N, D]`` float32 by name of the stream.
        num_frames: frames that were decoded.
        fps: frames a second.
    """

    streams: dict[str, Features]
    num_frames: int
    fps: float


def encode_video(
    path: str | Path,
    encoders: Mapping[str, Encoder],
    recipe: SnippetRecipe,
    batch_size: int = 16,
    count: Callable[[int], None] = lambda num_frames: None,
) -> EncodedVideo:
    """Decode a video once and compute all its streams; memory does not grow with the frames.

    Args:
        path: the video.
        encoders: by name of the stream.
        recipe: how the video is cut into snippets.
        batch_size: frames held and encoded at once; the result does not depend on it.
        count: told now and then how many more frames were decoded.

    Raises:
        WSVADError: if the video is broken.
    """
    reader = VideoReader(path, step=recipe.frame_stride)
    opened = {name: encoder.open(recipe) for name, encoder in encoders.items()}
    counted = 0
    with torch.inference_mode():
        for window in _windows(reader, batch_size):
            for features in opened.values():
                features.add(window)
            count(reader.num_frames - counted)
            counted = reader.num_frames
        streams = {name: features.finish(reader.num_frames).numpy() for name, features in opened.items()}
    return EncodedVideo(streams, reader.num_frames, reader.fps)


def _windows(reader: VideoReader, batch_size: int) -> Iterator[FrameWindow]:
    """Windows that overlap by the one frame that the next has to be compared with."""
    held: list[NDArray[np.uint8]] = []
    opens = True
    for frame in reader:
        held.append(frame)
        if len(held) > batch_size:
            yield FrameWindow(np.stack(held), opens=opens)
            held, opens = held[-1:], False
    if opens and len(held) == 1:  # nothing moves in a video of one frame
        yield FrameWindow(np.stack(held * 2), opens=False)
    elif len(held) > 1:
        yield FrameWindow(np.stack(held), opens=opens)
