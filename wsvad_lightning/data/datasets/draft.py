"""What the files of a benchmark say of its videos, put together by name, with what was repaired."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.captions import Caption
from wsvad_lightning.data.datasets.names import canonical_id
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.timeline import Event, Interval, join


class Repair(NamedTuple):
    """A defect of the official files, and what was done about it.

    Attributes:
        what: the defect and the repair, the same words for all videos.
        where: video or file.
    """

    what: str
    where: str


@dataclass
class _Facts:
    """What is known of a video so far, and which file said it first."""

    label: int | None = None
    classes: tuple[str, ...] | None = None
    num_frames: int | None = None
    intervals: tuple[Interval, ...] | None = None
    events: tuple[Event, ...] | None = None
    split: str | None = None
    frame_size: tuple[int, int] | None = None
    regions: str | None = None
    glances: tuple[int, ...] | None = None
    said_by: dict[str, Path] = field(default_factory=dict)


class Draft:
    """Annotations in the making.

    Attributes:
        repairs: what was wrong with the files and handled.
        inferred: what the files do not say in so many words, and by what it is known; of which videos.
        left_out: files of the given folders that were not read.
        captions: texts of what happens in the videos.
    """

    def __init__(self) -> None:
        self.repairs: list[Repair] = []
        self.inferred: dict[str, set[str]] = {}
        self.left_out: list[Path] = []
        self.captions: set[Caption] = set()
        self._videos: dict[str, _Facts] = {}

    def repair(self, what: str, where: str) -> None:
        """Note a defect that is handled."""
        self.repairs.append(Repair(what, where))

    def infer(self, what: str, video_id: str) -> None:
        """Note what is known of a video, and by what."""
        self.inferred.setdefault(what, set()).add(video_id)

    def describe(self, caption: Caption, source: Path) -> None:
        """Add a text of a part of a video, once.

        Raises:
            WSVADError: if the part is empty or reversed.
        """
        if not 0 <= caption.start < caption.end < math.inf:
            problem = f"describes {caption.video_id} from {caption.start:g} to {caption.end:g} seconds"
            raise WSVADError("sources", source, problem, "Give start < end")
        self.captions.add(caption._replace(text=" ".join(caption.text.split())))

    def add(
        self,
        video: str,
        source: Path,
        *,
        label: int | None = None,
        classes: tuple[str, ...] | None = None,
        num_frames: int | None = None,
        intervals: Iterable[Interval] | None = None,
        events: Iterable[Event] | None = None,
        split: str | None = None,
        frame_size: tuple[int, int] | None = None,
        regions: Path | None = None,
        glances: Sequence[int] | None = None,
    ) -> None:
        """Add what a file says of a video; None where it says nothing.

        Args:
            video: its name, or a path.
            source: the file.
            label: 0 normal, 1 abnormal.
            classes: anomaly classes, the dominant one first.
            num_frames: frames of the video.
            intervals: anomalous frames ``[start, end)``, in any order.
            events: the same with the class of each; they may overlap. Of a video that has both, the intervals
                decide which frames are anomalous.
            split: ``train``, ``val`` or ``test``.
            frame_size: width and height of the frames.
            regions: file or folder that says where in the frames the anomalies are.
            glances: frames that a person marked inside anomalies.

        Raises:
            WSVADError: if another file says otherwise.
        """
        joined = None if intervals is None else tuple(join(intervals))
        named = None if events is None else tuple(sorted(events))
        places = None if regions is None else str(regions)
        marked = None if glances is None else tuple(glances)
        said = _Facts(label, classes, num_frames, joined, named, split, frame_size, places, marked)
        video_id = canonical_id(video)
        facts = self._videos.setdefault(video_id, _Facts())
        for name in (entry.name for entry in fields(_Facts) if entry.name != "said_by"):
            new, old = getattr(said, name), getattr(facts, name)
            if new is None or new == old:
                continue
            if old is not None:
                problem = f"says {name} {new} of {video_id}, and {facts.said_by[name]} says {old}"
                raise WSVADError("sources", source, problem, "Give files that belong together")
            setattr(facts, name, new)
            facts.said_by[name] = source

    def finish(self, sources: Sequence[Path] = ()) -> dict[str, VideoAnnotation]:
        """Give the annotations by name, in the order of the names; ends after the last frame are clipped.

        Args:
            sources: that were read, for the message.

        Raises:
            WSVADError: if there are none, or what is said of a video does not fit together.
        """
        if not self._videos:
            given = ", ".join(map(str, sources))
            raise WSVADError("sources", given, "hold no file of this benchmark", "Give its annotation files")
        return {video_id: self._annotate(video_id, facts) for video_id, facts in sorted(self._videos.items())}

    def _annotate(self, video_id: str, facts: _Facts) -> VideoAnnotation:
        if facts.label is None:
            raise WSVADError("video", video_id, "no file gives its label", "Give the list that names it")
        events, last = self._settle_events(video_id, facts), facts.num_frames
        intervals = facts.intervals or () if events is None else tuple((e.start, e.end) for e in events)
        interval_classes = tuple(event.name for event in events or ())
        for start, end in intervals:
            if last is not None and start >= last:
                problem = f"the interval {start}-{end} lies after its {counted(last, 'frame')}"
                raise WSVADError("video", video_id, problem, "Correct the interval or the number of frames")
            if last is not None and end > last:
                self.repair("end after the last frame, clipped", f"{video_id} {start}-{end} of {last}")
        return VideoAnnotation(
            video_id,
            facts.label,
            tuple(dict.fromkeys([*(facts.classes or ()), *interval_classes])),
            last,
            tuple((start, min(end, last or end)) for start, end in intervals) or None,
            facts.split,
            interval_classes,
            frame_size=facts.frame_size,
            regions=facts.regions,
            glances=facts.glances or (),
        )

    def _settle_events(self, video_id: str, facts: _Facts) -> tuple[Event, ...] | None:
        """Leave out the events outside of the intervals; what is left must have the same frames."""
        if facts.events is None or facts.intervals is None:
            return facts.events
        kept = tuple(
            event
            for event in facts.events
            if any(start <= event.start and event.end <= end for start, end in facts.intervals)
        )
        for event in facts.events:
            if event not in kept:
                where = f"{video_id} {event.start}-{event.end}:{event.name}"
                self.repair("class of normal frames, left out", where)
        if tuple(join((event.start, event.end) for event in kept)) != facts.intervals:
            problem = f"gives classes of other frames of {video_id} than {facts.said_by['intervals']}"
            raise WSVADError("sources", facts.said_by["events"], problem, "Give files that belong together")
        return kept


def files_of(sources: Sequence[Path], patterns: Sequence[str], draft: Draft) -> list[Path]:
    """The files to read: those given, and those of given folders that fit one of the patterns.

    Args:
        sources: files and folders.
        patterns: of file names, without regard to case.
        draft: notes the files of folders that fit none.

    Raises:
        WSVADError: if the file or folder does not exist.
    """
    files: list[Path] = []
    for source in sources:
        if not source.exists():
            raise WSVADError("sources", source, "no such file or folder", "Correct the path")
        if source.is_file():
            files.append(source)
            continue
        inside = sorted(path for path in source.iterdir() if path.is_file() and path.name[0] != ".")
        fitting = [path for path in inside if any(fnmatch(path.name.lower(), p.lower()) for p in patterns)]
        files += fitting
        draft.left_out += [path for path in inside if path not in fitting]
    return files


def find_inside(sources: Sequence[Path], pattern: str) -> Iterator[Path]:
    """The sources, and what is inside of them at any depth, with names that fit a pattern.

    Args:
        sources: files and folders.
        pattern: of names.

    Raises:
        WSVADError: if the file or folder does not exist.
    """
    for source in sources:
        if not source.exists():
            raise WSVADError("sources", source, "no such file or folder", "Correct the path")
        if source.match(pattern):
            yield source
        if source.is_dir():
            yield from sorted(path for path in source.rglob(pattern) if path.name[0] != ".")
