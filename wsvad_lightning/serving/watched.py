"""A source that is watched: from its frames to scores and alarms, as long as it is not interrupted."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.alarms import Alarm, AlarmRule, Alarms
from wsvad_lightning.data.loading.familiarity import LIMIT, SNIPPETS
from wsvad_lightning.extraction.live import Snippet, SnippetStream
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import Encoder
from wsvad_lightning.reporting.maps import same_everywhere, strongest_region
from wsvad_lightning.serving.clip import Clip
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.serving.record import Record, utc
from wsvad_lightning.serving.sources import Shown
from wsvad_lightning.serving.stream import ScoreStream, SnippetScore
from wsvad_lightning.video.live import CameraFrame, EvenRate

LATE = 1.0  # seconds that a camera may be behind for maps to be drawn

Region = tuple[int, int, int, int]


class Scored(NamedTuple):
    """A snippet whose score may still be to come.

    Attributes:
        start: seconds after the beginning of the source.
        end: seconds.
        frame: its first frame, counted from the beginning of the source.
        arrived: when its last frame came.
        picture: that frame.
    """

    start: float
    end: float
    frame: int
    arrived: float
    picture: NDArray[np.uint8]


class Peak(NamedTuple):
    """The highest snippet of an alarm.

    Attributes:
        score: of it.
        picture: its last frame.
        region: left, top, width and height in pixels of where it is strongest; None if that is not known.
    """

    score: float
    picture: NDArray[np.uint8]
    region: Region | None


@dataclass
class MapsOfAlarms:
    """Which scores have maps: the highest of an alarm so far, unless they would delay a late camera further.

    Attributes:
        release: score from which on there may be an alarm.
        live: whether it is a camera.
        arrived: when the latest frame came.
        highest: score since the latest one below ``release``.
    """

    release: float
    live: bool
    arrived: float = 0.0
    highest: float = -math.inf

    def __call__(self, score: float) -> bool:
        """Whether a snippet of some score has a map; asked once for each, in their order."""
        higher, high = score > self.highest, score >= self.release
        self.highest = max(self.highest, score) if high else -math.inf
        return high and higher and not (self.live and time.time() - self.arrived > LATE)


@dataclass
class Kit:
    """What all sources share.

    Attributes:
        detector: with the model.
        opened: a stream of scores, such as each source has its own.
        recipe: of its features.
        encoders: by name of the stream.
        rule: of alarms.
        record: where everything is written.
        calibration: of the scores; None if there is none that fits.
    """

    detector: Detector
    opened: ScoreStream
    recipe: ExtractionRecipe
    encoders: Mapping[str, Encoder]
    rule: AlarmRule
    record: Record

    def __post_init__(self) -> None:
        self.calibration = self.detector.calibration_of(self.opened)

    def scores(self, wants_map: Callable[[float], bool]) -> ScoreStream:
        """Open a stream of scores."""
        one = self.opened
        return ScoreStream(self.detector.model, one.preparation, one.window, one.look_ahead, wants_map)


@dataclass
class Counts:
    """What happened to a source so far.

    Attributes:
        frames: that were played.
        snippets: that were scored.
        alarms: that ended.
        gaps: interruptions.
        dropped: frames left out since they came too late.
        damaged: packets that could not be decoded.
    """

    frames: int = 0
    snippets: int = 0
    alarms: int = 0
    gaps: int = 0
    dropped: int = 0
    damaged: int = 0


class Run:
    """Frames of a source without a gap: from pictures to scores and alarms.

    Args:
        kit: what all sources share.
        watched: the source.
        rate: frames a second to play a camera at; None to take the frames of a file as they come.
        origin: seconds of the first frame after the beginning of the source.
    """

    def __init__(self, kit: Kit, watched: "Watched", rate: float | None, origin: float) -> None:
        self._kit, self._watched, self.origin = kit, watched, origin
        self._even = None if rate is None else EvenRate(rate)
        self._snippets = SnippetStream(kit.encoders, kit.recipe)
        self._maps = MapsOfAlarms(kit.rule.release, watched.live)  # not a method: a cycle would hold pictures
        self._scores, self._alarms = kit.scores(self._maps), Alarms(kit.rule)
        self._base, self._waiting = watched.counts.frames, deque[Scored]()
        self.end = origin
        self._peak: Peak | None = None
        self._clip = Clip()
        self._compared: list[dict[str, Any]] | None = [] if watched.compares else None

    def follows(self, shown: Shown) -> bool:
        """Whether a frame goes on after the latest one by the camera's time stamps."""
        return self._even is None or self._even.follows(shown.seconds)

    def add(self, shown: Shown) -> None:
        """Take a frame."""
        self._maps.arrived = shown.arrived
        frame = CameraFrame(shown.picture, shown.seconds)
        for due in [frame] if self._even is None else self._even.add(frame):
            self._play(due)

    def finish(self) -> None:
        """Score what is left, and end the alarm that has not ended."""
        for due in () if self._even is None else self._even.finish():
            self._play(due)
        self._take(self._snippets.finish(), None)
        for score in self._scores.close():
            self._give(score)
        self._alarm(self._alarms.close(self.end))

    def _play(self, due: CameraFrame) -> None:
        self._watched.counts.frames += 1
        self._clip.add(due.picture, due.stamp)
        self._take(self._snippets.add(due.picture, due.stamp), due.picture)

    def _take(self, snippets: Iterable[Snippet], picture: NDArray[np.uint8] | None) -> None:
        for snippet in snippets:
            if picture is None:
                picture = self._waiting[-1].picture if self._waiting else self._watched.picture
            self._watched.picture = picture
            start, end = self.origin + snippet.start, self.origin + snippet.end
            place = self._base + snippet.first_frame
            self._waiting.append(Scored(start, end, place, self._maps.arrived, picture))
            streams = {name: values[None] for name, values in snippet.features.items()}
            for score in self._scores.update(streams):
                self._give(score)
            self._compare(streams)

    def _give(self, score: SnippetScore) -> None:
        """Write down a score, and what follows from it."""
        scored, kit, watched = self._waiting.popleft(), self._kit, self._watched
        self.end = scored.end
        fields: dict[str, Any] = {}
        fields |= {"seconds": round(scored.start, 3), "frame": scored.frame, "score": round(score.score, 4)}
        if kit.calibration is not None:
            fields["calibrated"] = round(float(kit.calibration.calibrated(score.score)), 4)
        if score.class_scores is not None:
            names = ("normal", *kit.detector.classes)
            fields["class"] = names[int(score.class_scores.argmax())]
        if (region := _region(score.map, scored.picture)) is not None:
            fields["region"] = region
        if watched.live:
            fields |= {"time": utc(watched.began + scored.start)}
            fields |= {"delay": round(max(0.0, time.time() - scored.arrived), 3)}
        kit.record.write("score", watched.name, **fields)
        watched.counts.snippets += 1
        watched.latest = score.score, scored.start
        before = self._alarms.running
        self._alarm(self._alarms.update(scored.start, score.score))
        if before is None and self._alarms.running is not None:
            self._clip.begin()
        if not score.score >= kit.rule.release:
            self._peak = None
        elif self._peak is None or score.score > self._peak.score:
            self._peak = Peak(score.score, scored.picture, region)

    def _alarm(self, alarm: Alarm | None) -> None:
        if alarm is None:
            return
        watched = self._watched
        watched.counts.alarms += 1
        fields: dict[str, Any] = {"start": round(alarm.start, 3), "end": round(alarm.end, 3)}
        fields |= {"peak": round(alarm.peak_time, 3), "score": round(alarm.peak_score, 4)}
        if watched.live:
            fields["time"] = utc(watched.began + alarm.start)
        if self._peak is not None and self._peak.region is not None:
            fields["region"] = self._peak.region
        picture = self._peak.picture if self._peak else None
        self._kit.record.alarm(watched.name, picture, self._clip.end(), **fields)

    def _compare(self, streams: dict[str, Any]) -> None:
        """Say once whether a source is unlike the training, when enough of it was seen."""
        if self._compared is None:
            return
        self._compared.append(streams)
        if len(self._compared) < SNIPPETS:
            return
        joined = {name: np.concatenate([one[name] for one in self._compared]) for name in streams}
        novelty = self._scores.preparation.familiarity().novelty(joined)
        self._compared, self._watched.compares = None, False
        if novelty is not None and novelty > LIMIT:
            text = f"unlike the training videos, novelty {novelty:.1f}: scores may mean nothing"
            self._kit.record.write("note", self._watched.name, text=text)


@dataclass
class Watched:
    """A video or camera that is watched.

    Attributes:
        name: of it.
        live: whether it is a camera.
        began: when its first frame came; of a camera that was first tried in vain, when that began.
        counts: what happened so far.
        run: the frames since the last gap; None while there are none.
        picture: the latest one.
        latest: the latest score, and its seconds.
        gap: seconds at which the gap in hand began, and its reason; None if there is none.
        compares: whether it is still to be compared with the training.
        rate: frames a second that a camera is played at.
        over: whether it has ended.
    """

    name: str
    live: bool
    began: float = 0.0
    counts: Counts = field(default_factory=Counts)
    run: Run | None = None
    picture: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((2, 2, 3), np.uint8))
    latest: tuple[float, float] | None = None
    gap: tuple[float, str] | None = None
    compares: bool = True
    rate: float | None = None
    over: bool = False

    @property
    def state(self) -> str:
        """How it goes, in a few words."""
        if self.over:
            return "over"
        if self.gap is not None:
            return f"lost: {self.gap[1]}"
        return "waits" if self.run is None else "runs"


def _region(values: Tensor | None, picture: NDArray[np.uint8]) -> Region | None:
    """Where the map ``[h, w]`` of a snippet is strongest, in pixels; None where it says nothing."""
    if values is None or same_everywhere([values]):
        return None
    height, width, _ = picture.shape
    return strongest_region([(0, 1, values.numpy())], 0, 1, (width, height))
