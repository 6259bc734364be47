"""The arrays of a video as the streams of a store: ``[T, N, D]`` each, all of one T."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.convert.arrays import Numbers
from wsvad_lightning.data.convert.layouts import Layout, axis_of, crop_axes, group_of, view_counts
from wsvad_lightning.data.convert.names import FEATURES, is_complete
from wsvad_lightning.data.convert.source import Item
from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid

Dtype = Literal["float16", "float32"]
Unequal = Literal["one", "last", "zeros"]
Crops = frozenset[int | None]


@dataclass(frozen=True)
class AudioClock:
    """When the rows of a stream are, against the snippets.

    Attributes:
        hop: seconds from one row of audio to the next.
        fps: frames a second of the video.
        grid: positions of the snippets.
    """

    hop: float
    fps: float
    grid: SnippetGrid

    def rows(self, num_snippets: int) -> NDArray[np.int64]:
        """The row that sounds in the middle of each snippet."""
        middles = (np.arange(num_snippets) * self.grid.stride + self.grid.length / 2) / self.fps
        return (middles / self.hop).astype(np.int64)


class StreamReader:
    """Reads the streams of one video after the other.

    Args:
        items: all arrays of the source; what they have in common decides how each is read.
        layout: the layout they are in.
        unequal: what becomes of a stream that has more or fewer rows than the features: ``one`` takes one
            row more or less, ``last`` any number, ``zeros`` any number and a missing stream too. Rows too
            many are dropped; missing ones are filled with the last row, or zeros.
        clock: aligns audio with the snippets by time; without it, row t belongs to snippet t.
        dtype: type of the values that come out.
    """

    def __init__(
        self, items: Sequence[Item], layout: Layout, unequal: Unequal, clock: AudioClock | None, dtype: Dtype
    ) -> None:
        self.layout, self.unequal, self.clock, self.dtype = layout, unequal, clock, np.dtype(dtype)
        self._axes = crop_axes(items)
        self._crops = _usual_crops(items)
        self._examples = {item.stream: item for item in reversed(items)}

    def read(self, items: Sequence[Item]) -> tuple[dict[str, Features], list[str]]:
        """Read a video.

        Args:
            items: its arrays, those of the stream ``features`` among them.

        Returns:
            ``[T, N, D]`` by stream, and what had to be done to make them of one length.

        Raises:
            WSVADError: if an array cannot be read, has another shape, or is not finite; if crops are missing
                or differ in length; if a stream is missing or of another length.
        """
        by_stream: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            by_stream[item.stream].append(item)
        features = self._read_stream(by_stream[FEATURES])
        streams, notes = {FEATURES: features}, []
        for name in sorted(self._crops.keys() - {FEATURES}):
            if by_stream[name]:
                rows = self._read_stream(by_stream[name])
            elif self.unequal == "zeros":
                rows = self._no_rows(name)
            else:
                remedy = "Give --unequal zeros to put zeros in its place"
                raise WSVADError("source", items[0].video, f"has no {name}", remedy)
            streams[name], note = self._align(name, rows, len(features), items[0].video)
            notes += [note] if note else []
        return streams, notes

    def _read_stream(self, items: Sequence[Item]) -> Features:
        """Join the crops of one stream."""
        stream, video, usual = items[0].stream, items[0].video, self._crops[items[0].stream]
        crops = frozenset(item.crop for item in items)
        if len(crops) < len(items):
            twice = Counter(item.crop for item in items).most_common(1)[0][0]
            problem = f"has the same crop in {' and '.join(str(i.file) for i in items if i.crop == twice)}"
            raise WSVADError("source", video, problem, "Remove one of the files")
        if not is_complete(crops) or crops != usual:
            lacks = f", without {_spell(usual - crops)}" if usual - crops else ""
            problem = f"has the crops {_spell(crops)} of {stream}{lacks} where most have {len(usual)}"
            raise WSVADError("source", video, problem, "Add the missing files")
        arrays = [self._read(item) for item in sorted(items, key=lambda item: _place(item.crop))]
        lengths = sorted({len(array) for array in arrays})
        if len(lengths) > 1:
            problem = f"has crops of {' and '.join(map(str, lengths))} snippets"
            raise WSVADError("source", video, problem, "Copy its files again")
        return np.concatenate(arrays, axis=1) if len(arrays) > 1 else arrays[0]

    def _no_rows(self, name: str) -> Features:
        """A stream of no snippets, otherwise of the shape that it has in other videos."""
        _, num_views, dim = self._read(self._examples[name]).shape
        return np.zeros((0, num_views * len(self._crops[name]), dim), self.dtype)

    def _read(self, item: Item) -> Features:
        """Read one array as ``[T, N, D]``."""
        values = item.array.read()
        shape = values.shape
        if values.dtype.kind not in "fiu":
            raise _broken(item, f"holds {values.dtype}, not numbers")
        while values.ndim > 3 and 1 in (len(values), values.shape[-1]):
            values = values[0] if len(values) == 1 else values[..., 0]
        if values.ndim == 3 and self._axis(item, values) == 0:
            values = values.swapaxes(0, 1)
        if values.ndim == 2:
            values = values[:, np.newaxis]
        if values.ndim != 3 or values.size == 0:
            raise _broken(item, f"is of shape {shape}, not [snippets, channels] or that with crops")
        if item.crop is not None and values.shape[1] != 1:
            raise _broken(item, f"is of shape {shape} where one crop is [snippets, channels]")
        if not np.isfinite(values).all():
            raise _broken(item, "holds NaN or infinite values")
        with np.errstate(over="ignore"):
            cast: Features = np.ascontiguousarray(values, self.dtype)
        if not np.isfinite(cast).all():
            raise _broken(item, f"has values up to {np.abs(values).max():.4g}, beyond {self.dtype}")
        return cast

    def _axis(self, item: Item, values: Numbers) -> int:
        """The axis of the crops."""
        voted, wanted = self._axes.get(group_of(item)), self.layout.crop_axis
        if self.layout.stated and wanted is not None:
            return wanted
        implied = axis_of(values.shape, view_counts(item.stream)) if voted is None else voted
        if wanted is not None and implied not in (None, wanted):
            problem = f"is of shape {values.shape}, which looks like [crops, snippets, channels]"
            raise _broken(item, problem, "Give --from mgfn, which reads both orders")
        axis = wanted if implied is None else implied
        if axis is None:
            problem = f"is of shape {values.shape}: either axis could be that of the crops"
            raise _broken(item, problem, "Give --from rtfm if it is [snippets, crops, channels]")
        return axis

    def _align(self, name: str, rows: Features, num_snippets: int, video: str) -> tuple[Features, str]:
        """Give every snippet its row, and say what was done for it; ``""`` if nothing."""
        by_time = self.clock is not None and name == "audio"
        places = self.clock.rows(num_snippets) if by_time and self.clock else np.arange(num_snippets)
        missing = int((places >= len(rows)).sum())
        extra = 0 if by_time else max(0, len(rows) - num_snippets)
        if self.unequal == "one" and max(missing, extra) > 1:
            problem = f"has {len(rows)} rows of {name} for {num_snippets} snippets"
            remedy = "Give --audio_hop to align audio by time, or --unequal last to cut or to fill"
            raise WSVADError("source", video, problem, remedy)
        if not missing:
            return rows[places], f"{name}: {extra} surplus rows dropped" if extra else ""
        aligned = np.zeros((num_snippets, *rows.shape[1:]), self.dtype)
        aligned[: num_snippets - missing] = rows[places[: num_snippets - missing]]
        if self.unequal != "zeros":
            aligned[num_snippets - missing :] = rows[-1]
        filler = "zeros" if self.unequal == "zeros" else "the last one"
        return aligned, f"{name}: {missing} missing rows filled with {filler}"


def _usual_crops(items: Iterable[Item]) -> dict[str, Crops]:
    """The crops that most videos have, by stream."""
    sets: dict[str, dict[str, set[int | None]]] = defaultdict(lambda: defaultdict(set))
    for item in items:
        sets[item.stream][item.video].add(item.crop)
    return {stream: _commonest(map(frozenset, of_video.values())) for stream, of_video in sets.items()}


def _commonest(sets: Iterable[Crops]) -> Crops:
    counts = Counter(sets)
    return max(counts, key=lambda crops: (counts[crops], len(crops)))


def _place(crop: int | None) -> int:
    """Crops are in the order of their numbers; one without a number comes first."""
    return -1 if crop is None else crop


def _spell(crops: Crops) -> str:
    return ", ".join("none" if crop is None else str(crop) for crop in sorted(crops, key=_place))


def _broken(item: Item, problem: str, remedy: str = "Remove the file or copy it again") -> WSVADError:
    return WSVADError("source", item.file, f"{item.array.name} {problem}", remedy)
