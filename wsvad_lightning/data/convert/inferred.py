"""What was taken from names, from which, and how often: said once, at the end."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from wsvad_lightning.data.convert.names import FEATURES, NUMBERED, Said
from wsvad_lightning.data.convert.source import Item
from wsvad_lightning.data.datasets.labels import Label

SHOWN = 8  # names in a line; the rest is counted


class Inferred:
    """Counts the videos of which something was taken from names."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[tuple[str, str]]] = {"label": Counter(), "split": Counter()}
        self._streams: Counter[tuple[str, str]] = Counter()

    def count(self, of_video: Mapping[str, Said[str] | Said[Label]], items: Iterable[Item]) -> None:
        """Count one video and its arrays."""
        for kind, said in of_video.items():
            self._counts[kind][str(said.what), _folded(said.by)] += 1
        by_name = {(item.stream, _folded(item.stream_by)) for item in items if item.stream != FEATURES}
        self._streams.update((stream, by) for stream, by in by_name if by)

    def lines(self) -> Sequence[str]:
        """One line a kind, such as ``split taken from names: train by "train" (3 videos)``."""
        kinds = {**self._counts, "stream": self._streams}
        return [f"{kind} taken from names: {_spell(counts)}" for kind, counts in kinds.items() if counts]


def _folded(by: str) -> str:
    """A name without its number, so that ``Abuse001_x264`` and ``Abuse002_x264`` are one."""
    numbered = NUMBERED.fullmatch(by)
    return f"{numbered[1]}…" if numbered else by


def _spell(counts: Counter[tuple[str, str]]) -> str:
    said = [f"{what} by {by!r} ({number})" for (what, by), number in counts.most_common(SHOWN)]
    more = len(counts) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")
