"""One video as features: decoded once, in windows of frames, for all streams."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.sound import SoundEncoder
from wsvad_lightning.extraction.spool import Spool
from wsvad_lightning.extraction.streams import Encoder, FrameWindow
from wsvad_lightning.types import Coding
from wsvad_lightning.video.frames import Footage
from wsvad_lightning.video.reader import VideoReader

AHEAD = 2  # windows that are decoded while another is encoded

Item = TypeVar("Item")


class EncodedVideo(NamedTuple):
    """One video as features.

    Attributes:
        streams: ``[T, N, D]`` by name of the stream.
        num_frames: frames of the video, as it is played.
        fps: frames a second, on average.
        frame_size: width and height of the frames, as they are shown.
        notes: what is odd about the video, each in a few words.
        coding: how its file is encoded.
    """

    streams: dict[str, Spool]
    num_frames: int
    fps: float
    frame_size: tuple[int, int]
    notes: tuple[str, ...]
    coding: Coding | None


@contextmanager
def encode_video(
    path: str | Footage,
    encoders: Mapping[str, Encoder],
    recipe: SnippetRecipe,
    batch_size: int = 16,
    resample: float | None = None,
    count: Callable[[int], None] = lambda num_frames: None,
    dtype: str = "float32",
    folder: str | Path | None = None,
) -> Iterator[EncodedVideo]:
    """Decode a video once and give all its streams, which are there until the context is left.

    A thread decodes while the streams are computed. It is a few windows ahead at most, and the features wait
    in temporary files: memory grows neither with the frames nor with the features.

    The sound of a video is read from its file once more, after its frames.

    Args:
        path: the video, a file or a folder of images.
        encoders: by name of the stream.
        recipe: how the video is cut into snippets.
        batch_size: frames of a window, which are encoded at once; the result does not depend on it.
        resample: frames a second to play the video at; None for every frame of the file.
        count: called now and then with the number of frames decoded since.
        dtype: type of the features.
        folder: where the temporary files take their space, by default the system's folder for such.

    Raises:
        WSVADError: if the video is broken.
        OSError: if the folder cannot be written, or the disk is full.
    """
    reader = VideoReader(path, recipe.frame_stride, resample)
    heard = {name: encoder for name, encoder in encoders.items() if isinstance(encoder, SoundEncoder)}
    opened = {name: encoder.open(recipe) for name, encoder in encoders.items() if name not in heard}
    notes: list[str] = []
    counted = 0
    with ExitStack() as files:
        streams = {name: files.enter_context(Spool(folder, np.dtype(dtype))) for name in encoders}
        with torch.inference_mode():
            for window in ahead(frame_windows(reader, batch_size)):
                height, width = window.frames.shape[-2:]
                for name, features in opened.items():
                    streams[name].add(features.add(window))
                count(reader.num_frames - counted)
                counted = reader.num_frames
            for name, features in opened.items():
                streams[name].add(features.finish(reader.num_frames))
                streams[name].cut(recipe.num_snippets(reader.num_frames))
            for name, sound in heard.items():
                streams[name].add(sound.listen(path, recipe, reader.num_frames, reader.fps, notes))
        described = reader.num_frames, reader.fps, (width, height), (*reader.notes, *notes), reader.coding
        yield EncodedVideo(streams, *described)


def frame_windows(reader: VideoReader, batch_size: int) -> Iterator[FrameWindow]:
    """Windows that overlap by the one frame that the next has to be compared with.

    Args:
        reader: of the video.
        batch_size: frames that each adds.
    """
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


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Give items while a thread makes the next ``AHEAD`` ones; what is raised in making them is raised here.

    Args:
        items: made one at a time, none of them None.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "decode") as thread:
        coming = deque(thread.submit(next, source, None) for _ in range(AHEAD))
        while (item := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, source, None))
            yield item
