"""Sound as a stream of features: snippets of the pictures, each described by the sound around its middle."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NoReturn

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.log_mel import (
    FRAMES_A_SECOND,
    PATCH,
    RATE,
    cut_patches,
    stream_log_mel,
)
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.video.frames import Footage
from wsvad_lightning.video.sound import open_sound

AT_ONCE = 16  # patches that are described together
DIM = 128  # channels of every description of a patch


class SoundEncoder:
    """Describes the sound of videos; it reads the file, where other encoders are given frames.

    A snippet of the frames a to b - 1 is described by the 0.96 seconds around (a + b) / 2 / fps seconds after
    the first picture, whatever its length. Where the track has ended, or has not begun, it is silent.

    Args:
        spec: the stream.
        describe: patches ``[B, 96, 64]`` to vectors ``[B, 128]``.
        details: what the vectors depend on, apart from the stream's settings.
        device: where networks run.

    Attributes:
        views: one, which is joined to any number of others.
        recipe: see :class:`Encoder`.
    """

    def __init__(
        self,
        spec: StreamSpec,
        describe: Callable[[Tensor], Tensor],
        details: dict[str, Any],
        device: torch.device,
    ) -> None:
        self._spec, self._describe, self._device = spec, describe, device
        self.views: tuple[str, ...] = ("full",)
        self.recipe = spec.recorded(**details)

    def open(self, recipe: SnippetRecipe) -> NoReturn:
        """Refuse frames that come in: they bring no sound."""
        problem = f"the stream {self._spec.name} hears the sound of a file, and frames that come in have none"
        remedy = "Give a file, or a model that was trained without this stream"
        raise WSVADError("streams.backbone", self._spec.backbone, problem, remedy)

    def listen(
        self, path: str | Footage, recipe: SnippetRecipe, num_frames: int, fps: float, notes: list[str]
    ) -> Iterator[Tensor]:
        """Give the snippets ``[1, D]`` of a video.

        Args:
            path: the video.
            recipe: how it is cut.
            num_frames: of the video.
            fps: frames a second, on average: a snippet is where it would be at a constant rate.
            notes: takes what is odd about the sound.

        Raises:
            WSVADError: if the video has no sound track and must have one, or it cannot be read.
        """
        spans = [recipe.span(number, num_frames) for number in range(recipe.num_snippets(num_frames))]
        starts = [round((a + b) / 2 / fps * FRAMES_A_SECOND) - PATCH // 2 for a, b in spans]
        with open_sound(path, RATE) as sound:
            if sound is None and self._spec.no_sound == "refuse":
                problem = f"has no sound track, which the stream {self._spec.name} is made of"
                raise WSVADError("video", path, problem, "Leave it out, or give the stream no_sound: zeros")
            if sound is None:
                notes.append(f"no sound track: zeros in {self._spec.name}")
                yield from torch.zeros(len(spans), 1, DIM)
                return
            patches = cut_patches(stream_log_mel(map(torch.from_numpy, sound.blocks())), starts)
            while group := list(islice(patches, AT_ONCE)):
                yield from self._describe(torch.stack(group).to(self._device)).cpu()[:, None]
            if sound.failed:
                notes.append(f"packets of sound that cannot be decoded, silent: {sound.failed}")
