"""From stored features to what a method sees, as a checkpoint says."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from wsvad_lightning.data.loading.codings import Codings
from wsvad_lightning.data.loading.familiarity import PREFIX, Familiarity
from wsvad_lightning.data.loading.transform import FeatureTransform
from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import Coding, StreamInfo

FEATURES = "features"  # the stream that a bare array is of
STATE = "WSVADDataModule"  # entry of a checkpoint: statistics of the features

Streams = Mapping[str, Features]


class Preparation:
    """What a checkpoint says is done to stored features before a method sees them.

    Args:
        checkpoint: as read.
        settings: of :class:`FeatureTransform`, and the names of its streams (``features``).
        model: whose checkpoint it is.

    Attributes:
        streams: names of the streams that snippets must have.
        joined: names of those that make up the features.
        transform: of the streams that make up the features; known once the shapes are.
        further: transforms of the further streams by name; likewise.
    """

    transform: FeatureTransform
    further: dict[str, FeatureTransform]

    def __init__(
        self, checkpoint: Mapping[str, Any], settings: Mapping[str, Any], model: WSVADModule
    ) -> None:
        named = settings.get("features", FEATURES)
        self.joined = [named] if isinstance(named, str) else list(named)
        self._further = list(model.requires.streams)
        self._settings = {name: settings[name] for name in settings.keys() - {"features"}}
        self._model, self._state = model, dict(checkpoint.get(STATE, {}))
        self._views: Mapping[str, Any] = (checkpoint.get("provenance") or {}).get("views", {})
        self._shapes: dict[str, StreamInfo] = {}
        self.streams = tuple(dict.fromkeys([*self.joined, *self._further]))

    def __call__(self, streams: Streams) -> tuple[Features, dict[str, Features]]:
        """Prepare snippets: what a method calls features, ``[T, N', D']``, and its further streams.

        Raises:
            WSVADError: if they are of another shape than the training's or before, or not finite.
        """
        shapes = {name: self._shape(name, streams[name]) for name in self.streams}
        if not self._shapes:
            self.build(shapes)
        for name, info in shapes.items():
            if info != self._shapes[name]:
                raise _wrong(streams[name], f"{name} has another shape than the snippets before", "Keep it")
        joined = self.transform({name: streams[name] for name in self.joined})
        further = {name: one({name: streams[name]}) for name, one in self.further.items()}
        for values in (joined, *further.values()):
            if not np.isfinite(values).all():
                raise _wrong(values, "hold NaN or infinite values", "Leave such snippets out")
        return joined, further

    def named(self, features: Features | Streams) -> dict[str, Features]:
        """Give the streams by name that snippets must have, of one number of snippets.

        Args:
            features: ``[T, N, D]``; several streams by name.

        Raises:
            WSVADError: if one is missing, has another shape, or does not hold numbers.
        """
        bare = self.streams[0] if len(self.streams) == 1 else FEATURES
        given = features if isinstance(features, Mapping) else {bare: features}
        named: dict[str, Features] = {}
        for name in self.streams:
            if name not in given:
                needed = ", ".join(self.streams)
                raise WSVADError("features", name, "is missing", f"Give the streams {needed} by name")
            values = named[name] = np.asarray(given[name])
            if values.ndim != 3:
                raise _wrong(values, f"{name} must be [T, N, D]", "Give snippets, views and channels")
            if values.dtype.kind not in "fiu":
                raise _wrong(values, f"{name} holds {values.dtype}, not numbers", "Give numbers")
            if len(values) != len(named[self.streams[0]]):
                problem = f"{name} and {self.streams[0]} differ in the number of snippets"
                raise _wrong(values, problem, "Give the streams of one video")
        return named

    def familiarity(self) -> Familiarity:
        """What compares snippets with those of the training; known once some came."""
        compared = Familiarity({name: self._shapes[name] for name in self.joined})
        compared.load_state_dict({name: v for name, v in self._state.items() if name.startswith(PREFIX)})
        return compared

    def coding_change(self, coding: Coding | None) -> str:
        """How a video is encoded otherwise than those of the training; empty if it is not, or unknown."""
        codings = Codings()
        codings.load_state_dict(self._state)
        return codings.change(coding)

    def build(self, shapes: Mapping[str, StreamInfo]) -> None:
        """Take the shapes of the streams, which the first snippets show otherwise.

        Raises:
            WSVADError: if they are not those of the training.
        """
        scale = {name: self._settings[name] for name in ("normalize", "clip") if name in self._settings}
        transform = FeatureTransform({name: shapes[name] for name in self.joined}, **self._settings)
        if transform.output_dim != self._model.feature_dim:
            given = f"{transform.output_dim} channels, the model was made for {self._model.feature_dim}"
            raise WSVADError(
                "features", ", ".join(self.joined), f"have {given}", "Give those of the training"
            )
        transforms = {name: FeatureTransform({name: shapes[name]}, **scale) for name in self._further}
        for one in (transform, *transforms.values()):
            names = (*one.streams, "") if one is transform else (*one.streams,)
            one.load_state_dict({k: v for k, v in self._state.items() if k.rpartition("/")[0] in names})
        self.transform, self.further, self._shapes = transform, transforms, dict(shapes)

    def recorded_shapes(self) -> dict[str, StreamInfo] | None:
        """Give the shapes of the streams, as far as they matter; None if the checkpoint does not imply them.

        How many views a stream has matters where it is joined to others or along its channels, or each view
        has statistics of its own.
        """
        shapes, alone = {}, len(self.joined) == 1
        concat, axes = self._settings.get("crops") == "concat", self._state.get("axes")
        width = self._model.feature_dim if axes is None else len(axes)
        for name in self.streams:
            mean, required = self._state.get(f"{name}/mean"), self._model.requires.streams.get(name)
            views = self._views.get(name)
            if views is None and self._settings.get("normalize") == "zscore" and mean is not None:
                views = [str(view) for view in range(len(mean))]
            if mean is not None:
                dim = mean.shape[-1]
            elif required is not None:
                dim = required.dim
            elif alone and not (concat and views is None):
                dim = width // (len(views) if concat and views else 1)
            else:
                return None
            if views is None and name in self.joined and (concat or not alone):
                return None
            shapes[name] = StreamInfo(dim, tuple(views or ("0",)))
        return shapes

    def _shape(self, name: str, values: Features) -> StreamInfo:
        """Describe snippets of a stream, which must have the views of the training, where these are known."""
        views = self._views.get(name) or [str(view) for view in range(values.shape[1])]
        if len(views) != values.shape[1]:
            problem = f"{name} has {values.shape[1]} views, in the training {len(views)}"
            raise _wrong(values, problem, "Give the views of the training")
        return StreamInfo(values.shape[2], tuple(views))


def _wrong(values: Any, problem: str, remedy: str) -> WSVADError:
    return WSVADError("features", f"array of shape {list(np.shape(values))}", problem, remedy)
