"""The recipe of an extraction: everything but the videos that features depend on; stores record it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, TypeVar

import torch

from wsvad_lightning.checkpoint import fits, record_of
from wsvad_lightning.data.store import Provenance
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.sound import SoundEncoder
from wsvad_lightning.extraction.streams import BACKBONES, Encoder, StreamSpec
from wsvad_lightning.video.film import decoder_version

SOURCE = "video files"

Dtype = Literal["float16", "float32"]
Recipe = TypeVar("Recipe", bound="ExtractionRecipe")


@dataclass(frozen=True)
class ExtractionRecipe:
    """How videos become features.

    Attributes:
        streams: what to compute.
        snippets: how a video is cut.
        fps: frames a second that videos are played at; None for every frame of the file.
        dtype: type of the stored features.
        trained: what a store must record to be scored by a trained model; None for anything.

    Raises:
        WSVADError: if no stream is named or one twice, or ``fps`` is not positive.
    """

    streams: tuple[StreamSpec, ...]
    snippets: SnippetRecipe
    fps: float | None = None
    dtype: Dtype = "float32"
    trained: Provenance | None = None

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.streams]
        if not names or len(set(names)) < len(names):
            raise WSVADError("streams", names, "is empty or names a stream twice", "Name each stream once")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise WSVADError("fps", self.fps, "must be more than 0 and finite", "Give frames a second")

    @classmethod
    def recorded(cls, provenance: Provenance, weights: str | None = None) -> Self:
        """Get the recipe that a store records; features made by it must come out the same.

        Args:
            provenance: of the store.
            weights: see :func:`with_weights`.

        Raises:
            WSVADError: if the features were not extracted from videos by this program, or ``weights`` fits no
                stream.
        """
        if provenance.source != SOURCE:
            problem = f"the checkpoint was trained on other features ({provenance.source}), of unknown recipe"
            remedy = "Make features of the videos as those were made, and give their store by --data.store"
            raise WSVADError("--videos", provenance.backbone, problem, remedy)
        try:
            return _recorded(cls, provenance, weights)
        except (ValueError, RecursionError) as error:
            if isinstance(error, WSVADError) and error.argument == "weights":
                raise
            problem = f"the checkpoint records no recipe of its features that can be followed ({error})"
            remedy = "Extract the videos as those features were, and give their store by --data.store"
            raise WSVADError("--videos", provenance.backbone, problem, remedy) from None

    def build_encoders(self, device: torch.device) -> dict[str, Encoder]:
        """The encoders by stream.

        Raises:
            WSVADError: if the weights of one are missing, or it takes no snippets of this length.
        """
        encoders = {spec.name: build_encoder(spec, device) for spec in self.streams}
        for encoder in encoders.values():
            if isinstance(encoder, SoundEncoder):
                continue  # takes snippets of any length
            encoder.open(self.snippets)  # fails now, not at the first video
        return encoders

    def provenance(self, encoders: Mapping[str, Encoder]) -> Provenance:
        """Get what a store records of this recipe.

        Raises:
            WSVADError: if PyAV is not installed, or the training recorded something else, such as the hash of
                other weights.
        """
        recipes: dict[str, dict[str, Any]] = {name: encoder.recipe for name, encoder in encoders.items()}
        rest = {"dtype": self.dtype, "streams": recipes} | ({"fps": self.fps} if self.fps else {})
        made = Provenance(
            backbone="+".join(dict.fromkeys(entry["backbone"] for entry in recipes.values())),
            source=SOURCE,
            snippet_length=self.snippets.length,
            snippet_stride=self.snippets.stride,
            frame_stride=self.snippets.frame_stride,
            pooling=self.snippets.pooling,
            tail=self.snippets.tail,
            preprocessing=json.dumps(rest, sort_keys=True),
            text_aligned="text_tower" in recipes.get("features", {}),
            views={name: encoder.views for name, encoder in encoders.items()},
            decoder=f"{decoder_version()}, frames upright",
        )
        if self.trained is not None:
            _require_same(made, self.trained)
        return made


def _recorded(kind: type[Recipe], provenance: Provenance, weights: str | None) -> Recipe:
    """Read the recipe of a provenance, whose values are anything until they are compared with the fields.

    Raises:
        ValueError: if they are not what these are.
    """
    recipe = json.loads(provenance.preprocessing)
    if not (fits(recipe, dict[str, object]) and fits(recipe.get("streams"), dict[str, dict[str, object]])):
        raise ValueError("no streams")
    recorded = [{**stream, "weights": None} for stream in recipe["streams"].values()]
    for name in (stream.get("backbone", BACKBONES[0]) for stream in recorded):
        if name not in BACKBONES:
            raise ValueError(f"its backbone {str(name)[:60]!r} is not one of the suite's")
    streams = with_weights([record_of(StreamSpec, stream) for stream in recorded], weights)
    recorded_grid = {"length": provenance.snippet_length, "stride": provenance.snippet_stride}
    snippets = record_of(SnippetRecipe, asdict(provenance) | recorded_grid)
    values = {"fps": recipe.get("fps"), "dtype": recipe.get("dtype"), "streams": streams}
    return record_of(kind, {**values, "snippets": snippets, "trained": provenance})


def with_weights(streams: Sequence[StreamSpec], weights: str | None) -> tuple[StreamSpec, ...]:
    """Give released weights to the one backbone among the streams that needs some.

    Args:
        streams: any number of them may see through that backbone.
        weights: file or folder; None leaves the streams as they are.

    Raises:
        WSVADError: if no backbone needs weights, or several do.
    """
    if weights is None:
        return tuple(streams)
    needing = sorted({spec.backbone for spec in streams if spec.needs_weights})
    if not needing:
        raise WSVADError("weights", weights, "no stream has a backbone that needs any", "Leave them out")
    if len(needing) > 1:
        problem = f"the streams need the weights of {len(needing)} backbones: {', '.join(needing)}"
        raise WSVADError("weights", weights, problem, "Name the weights of each stream in a configuration")
    return tuple(replace(spec, weights=weights) if spec.needs_weights else spec for spec in streams)


def _require_same(made: Provenance, trained: Provenance) -> None:
    """Refuse streams that come out otherwise than in the training."""
    mine, theirs = (json.loads(origin.preprocessing)["streams"] for origin in (made, trained))
    for name, recipe in theirs.items():
        for key, value in recipe.items():
            if (given := mine.get(name, {}).get(key)) != value:
                problem = f"{key} of the stream {name} is {given!r}, in the training {value!r}"
                remedy = "Give the weights of the training by --weights"
                raise WSVADError("--videos", trained.backbone, problem, remedy)
