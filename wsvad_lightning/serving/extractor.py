"""Videos to features, by the recipe that a checkpoint carries."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from wsvad_lightning.checkpoint import read_checkpoint, record_of
from wsvad_lightning.data.store import Provenance
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.encode import EncodedVideo, encode_video
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import Encoder

WINDOW = 16  # frames that are encoded at once


@dataclass(frozen=True)
class Extractor:
    """What turns videos into the features that a model was trained with.

    Attributes:
        recipe: of the features.
        encoders: by name of the stream.
    """

    recipe: ExtractionRecipe
    encoders: Mapping[str, Encoder]

    @classmethod
    def of_checkpoint(
        cls, checkpoint: str | Path, weights: str | None = None, argument: str = "--ckpt_path"
    ) -> Self:
        """Build the encoders of a checkpoint's recipe, on the CPU.

        Args:
            checkpoint: of the model.
            weights: of the backbone, where the checkpoint names but does not bring them.
            argument: by which the user gave the checkpoint.

        Raises:
            WSVADError: if the checkpoint does not carry a recipe, or the weights fit none.
        """
        try:
            recipe = trained_recipe(str(checkpoint), weights)
        except WSVADError as error:
            if error.argument != "--videos":
                raise
            remedy = "Train on features that `wsvad extract` made"
            raise WSVADError(argument, checkpoint, error.problem, remedy) from None
        encoders = recipe.build_encoders(torch.device("cpu"))
        recipe.provenance(encoders)  # refuses what comes out otherwise than in the training
        return cls(recipe, encoders)

    @contextmanager
    def encode(
        self,
        video: str | Path,
        count: Callable[[int], None] = lambda num_frames: None,
        window: int = WINDOW,
    ) -> Iterator[EncodedVideo]:
        """Decode a video and give its features, see :func:`encode_video`.

        Args:
            video: the file.
            count: called now and then with the number of frames decoded since; what it raises ends the work.
            window: frames that are encoded at once; the result does not depend on it.

        Raises:
            WSVADError: if the video is broken.
        """
        recipe = self.recipe
        settings = (recipe.snippets, window, recipe.fps, count, recipe.dtype)
        with encode_video(video, self.encoders, *settings) as encoded:
            yield encoded


def trained_recipe(checkpoint: str, weights: str | None) -> ExtractionRecipe:
    """How the features that a model was trained with were extracted.

    Args:
        checkpoint: of the model.
        weights: of the backbone, where the checkpoint names but does not bring them.

    Raises:
        WSVADError: if the checkpoint cannot be read or does not say, or ``weights`` fits no backbone.
    """
    provenance: Mapping[str, Any] | None = read_checkpoint(checkpoint).get("provenance")
    if provenance is None:
        problem = "the checkpoint does not say how its features were extracted"
        remedy = "Extract the videos as those features were, and give their store by --data.store"
        raise WSVADError("--videos", checkpoint, problem, remedy)
    try:
        recorded = record_of(Provenance, provenance)
    except ValueError as error:
        problem = f"the checkpoint records no recipe of its features that can be followed ({error})"
        remedy = "Extract the videos as those features were, and give their store by --data.store"
        raise WSVADError("--videos", checkpoint, problem, remedy) from None
    return ExtractionRecipe.recorded(recorded, weights)
