"""From the store to features as a method sees them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from wsvad_lightning.data.loading.transform import ALL_VIEWS, Crops, FeatureTransform, Normalize, Streams
from wsvad_lightning.data.store import Features, FeatureStore
from wsvad_lightning.errors import WSVADError


@dataclass(frozen=True)
class FeatureReader:
    """Reads the features of one video as a method sees them.

    Attributes:
        store: where they lie.
        transform: what is done to them, and to which streams.
    """

    store: FeatureStore
    transform: FeatureTransform

    def read(self, video_id: str, views: slice = ALL_VIEWS) -> Features:
        """Give the transformed features ``[T, N', D']``."""
        return self.transform(self.read_stored(video_id), views)

    def read_finite(self, video_id: str) -> Features:
        """Give them with all views.

        Raises:
            WSVADError: if they are not finite.
        """
        values = self.read(video_id)
        self.check_finite(video_id, values)
        return values

    def read_stored(self, video_id: str) -> Streams:
        """Give the streams before the transform, ``[T, N, D]`` each; nothing is copied."""
        return {name: self.store.read(video_id, name) for name in self.transform.streams}

    def read_finite_streams(self, video_ids: Iterable[str]) -> Iterator[Streams]:
        """Give the streams of videos before the transform.

        Raises:
            WSVADError: if they are not finite.
        """
        for video_id in video_ids:
            streams = self.read_stored(video_id)
            for features in streams.values():
                self.check_finite(video_id, features)
            yield streams

    def check_finite(self, video_id: str, values: Features) -> None:
        """Refuse values of which one is NaN or infinite.

        Raises:
            WSVADError: if so; names the video.
        """
        with np.errstate(invalid="ignore"):
            finite = np.isfinite(values.sum(dtype=np.float32))
        if not finite:
            raise WSVADError(
                "data.store",
                self.store.path,
                f"the features of {video_id} hold NaN or infinite values",
                "Extract this video again; `wsvad data verify` finds all such videos",
            )


class FeatureReaders:
    """The reader of the features, and those of further streams that batches carry.

    Args:
        store: where they lie.
        streams: the streams that make up the features, see :class:`FeatureTransform` for the rest.
        normalize: of all readers.
        clip: of all readers.
        crops: of the features.
        pca_dim: of the features.

    Attributes:
        features: the reader of the features.
        further: readers of further streams by name: normalised and clipped as the features are, with all
            their views.

    Raises:
        WSVADError: if the store lacks a stream.
    """

    def __init__(
        self,
        store: FeatureStore,
        streams: Sequence[str],
        normalize: Normalize,
        clip: float | None,
        crops: Crops,
        pca_dim: int | None,
    ) -> None:
        held = store.streams
        for name in streams:
            if name not in held:
                problem = f"{store.path} holds the streams {sorted(held)}"
                raise WSVADError("data.features", name, problem, "Choose among these, or extract the stream")
        self._store, self._scale = store, (normalize, clip)
        transform = FeatureTransform({name: held[name] for name in streams}, *self._scale, crops, pca_dim)
        self.features = FeatureReader(store, transform)
        self.further: dict[str, FeatureReader] = {}

    def carry(self, streams: Iterable[str]) -> None:
        """Read these streams, too, and no others than these and the features."""
        held = self._store.streams
        self.further = {
            name: FeatureReader(self._store, FeatureTransform({name: held[name]}, *self._scale))
            for name in streams
        }

    def fit(self, video_ids: Sequence[str]) -> None:
        """Compute the statistics that transforms lack from these videos."""
        for reader in (self.features, *self.further.values()):
            if reader.transform.needs_fit:
                reader.transform.fit(partial(reader.read_finite_streams, video_ids))

    def state_dict(self) -> dict[str, Tensor]:
        """Give the statistics of all streams."""
        readers = (*self.further.values(), self.features)
        states = [reader.transform.state_dict() for reader in readers]
        return {name: values for state in states for name, values in state.items()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Take over statistics.

        Raises:
            WSVADError: if they are those of features of another shape.
        """
        for stream, reader in self.further.items():
            own = {name: values for name, values in state_dict.items() if name.startswith(f"{stream}/")}
            reader.transform.load_state_dict(own)
            if stream not in self.features.transform.streams:
                state_dict = {name: values for name, values in state_dict.items() if name not in own}
        self.features.transform.load_state_dict(state_dict)
