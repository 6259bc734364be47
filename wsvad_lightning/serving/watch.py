"""``wsvad watch``: scores and alarms of files, growing folders and cameras while they run."""

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live
from rich.table import Table

from wsvad_lightning.alarms import Alarm, AlarmRule, Alarms
from wsvad_lightning.data.loading.familiarity import LIMIT, SNIPPETS
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.live import Snippet, SnippetStream
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import Encoder
from wsvad_lightning.serving.command import ALARM
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.serving.extractor import Extractor
from wsvad_lightning.serving.record import Record, utc
from wsvad_lightning.serving.sources import Begin, End, Item, Note, Shown, Source, open_source, start_all
from wsvad_lightning.serving.stream import Preparation, ScoreStream, SnippetScore
from wsvad_lightning.video.live import CameraFrame, EvenRate

BEAT = 0.5  # seconds after which the live view and sources that ended are looked at again
ENDING = 3.0  # seconds that the threads have to end
DIFFERS = 0.02  # part by which a frame rate is another one


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


@dataclass
class Kit:
    """What all sources share.

    Attributes:
        detector: with the model.
        preparation: of its features; the checkpoint is read once.
        recipe: of its features.
        encoders: by name of the stream.
        rule: of alarms.
        record: where everything is written.
        window: see :meth:`Detector.stream`.
        look_ahead: see :meth:`Detector.stream`.
    """

    detector: Detector
    preparation: Preparation
    recipe: ExtractionRecipe
    encoders: Mapping[str, Encoder]
    rule: AlarmRule
    record: Record
    window: int | None
    look_ahead: int | None

    def scores(self) -> ScoreStream:
        """Open a stream of scores."""
        return ScoreStream(self.detector.model, self.preparation, self.window, self.look_ahead)


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
        self._scores, self._alarms = kit.scores(), Alarms(kit.rule)
        self._base, self._waiting = watched.counts.frames, deque[Scored]()
        self._arrived, self.end = 0.0, origin
        self._peak: tuple[float, NDArray[np.uint8]] | None = None
        self._compared: list[dict[str, Any]] | None = [] if watched.compares else None

    def follows(self, shown: Shown) -> bool:
        """Whether a frame goes on after the latest one by the camera's time stamps."""
        return self._even is None or self._even.follows(shown.seconds)

    def add(self, shown: Shown) -> None:
        """Take a frame."""
        self._arrived = shown.arrived
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
        self._take(self._snippets.add(due.picture, due.stamp), due.picture)

    def _take(self, snippets: Iterable[Snippet], picture: NDArray[np.uint8] | None) -> None:
        for snippet in snippets:
            if picture is None:
                picture = self._waiting[-1].picture if self._waiting else self._watched.picture
            self._watched.picture = picture
            start, end = self.origin + snippet.start, self.origin + snippet.end
            place = self._base + snippet.first_frame
            self._waiting.append(Scored(start, end, place, self._arrived, picture))
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
        if (calibration := kit.detector.calibration) is not None:
            fields["calibrated"] = round(float(calibration.calibrated(score.score)), 4)
        if score.class_scores is not None:
            names = ("normal", *kit.detector.classes)
            fields["class"] = names[int(score.class_scores.argmax())]
        if watched.live:
            fields |= {"time": utc(watched.began + scored.start)}
            fields |= {"delay": round(max(0.0, time.time() - scored.arrived), 3)}
        kit.record.write("score", watched.name, **fields)
        watched.counts.snippets += 1
        watched.latest = score.score, scored.start
        ended = self._alarms.update(scored.start, score.score)
        self._alarm(ended)
        if not score.score >= kit.rule.release:
            self._peak = None
        elif self._peak is None or score.score > self._peak[0]:
            self._peak = score.score, scored.picture

    def _alarm(self, alarm: Alarm | None) -> None:
        if alarm is None:
            return
        watched = self._watched
        watched.counts.alarms += 1
        fields: dict[str, Any] = {"start": round(alarm.start, 3), "end": round(alarm.end, 3)}
        fields |= {"peak": round(alarm.peak_time, 3), "score": round(alarm.peak_score, 4)}
        if watched.live:
            fields["time"] = utc(watched.began + alarm.start)
        self._kit.record.alarm(watched.name, self._peak[1] if self._peak else None, **fields)

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
        began: when its first frame came.
        counts: what happened so far.
        run: the frames since the last gap; None while there are none.
        picture: the latest one.
        latest: the latest score, and its seconds.
        gap: seconds at which the gap in hand began, and its reason; None if there is none.
        compares: whether it is still to be compared with the training.
        noted: notes that are given once.
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


class Watcher:
    """Scores what sources give; one for all of them.

    Args:
        kit: what they share.
        fps: frames a second to play cameras at; None for the rate that each states.

    Attributes:
        broken: files that could not be read.
    """

    def __init__(self, kit: Kit, fps: float | None) -> None:
        self._kit, self._fps, self.broken = kit, fps, 0
        self.watched: dict[Source, Watched] = {}

    def take(self, source: Source, item: Item) -> None:
        """Take what a source gives."""
        if isinstance(item, Begin):
            self._begin(source, item)
        elif isinstance(item, Note):
            self._kit.record.write("note", item.name, text=item.text)
        elif isinstance(item, Shown):
            self._show(self.watched[source], item)
        else:
            self._end(source, item)

    def finish(self) -> None:
        """End everything that is watched."""
        for source in list(self.watched):
            self._interrupt(self.watched[source], "")
            self._close(self.watched.pop(source))

    def table(self) -> Table:
        """Show how it goes."""
        table = Table("source", "score", "", "at", "alarms", "gaps", "dropped", title="wsvad watch")
        for watched in self.watched.values():
            score, seconds = watched.latest or (math.nan, 0.0)
            bar = "█" * round(20 * min(max(score, 0.0), 1.0)) if watched.latest else ""
            high = bool(watched.latest) and score >= self._kit.rule.release
            counts = watched.counts
            numbers = (f"{seconds:.1f} s", counts.alarms, counts.gaps, counts.dropped)
            style = "red" if high else "green"
            shown = f"{score:.3f}" if watched.latest else "…"
            table.add_row(watched.name, shown, f"[{style}]{bar:<20}[/]", *map(str, numbers))
        return table

    def _begin(self, source: Source, begin: Begin) -> None:
        watched = self.watched.get(source)
        if watched is None or watched.name != begin.name:
            watched = self.watched[source] = Watched(begin.name, begin.live)
        if not begin.live:
            return
        rate = self._fps or begin.rate or None
        if rate != watched.rate:
            watched.rate = rate
            self._note_rate(watched, begin.rate)

    def _note_rate(self, watched: Watched, stated: float) -> None:
        trained, text = self._kit.recipe.fps, None
        if self._fps and abs(stated - self._fps) > DIFFERS * self._fps:
            text = f"{stated:g} frames a second are played at {self._fps:g}, by their time stamps"
        elif trained is None and not self._fps:
            text = f"{stated:g} frames a second are taken as they are: the training's rate is not recorded"
        if text:
            self._kit.record.write("note", watched.name, text=text)

    def _show(self, watched: Watched, shown: Shown) -> None:
        if watched.run is not None and not watched.run.follows(shown):
            self._interrupt(watched, "time stamps jump")
        if watched.run is None:
            origin = 0.0
            if watched.live:
                watched.began = watched.began or shown.arrived
                origin = max(shown.arrived - watched.began, watched.gap[0] if watched.gap else 0.0)
            self._close_gap(watched, origin)
            watched.run = Run(self._kit, watched, watched.rate if watched.live else None, origin)
        watched.run.add(shown)

    def _end(self, source: Source, end: End) -> None:
        watched = self.watched.get(source)
        if watched is None:  # a camera that was never reached
            watched = self.watched[source] = Watched(source.name, live=True)
        watched.counts.dropped += end.dropped
        watched.counts.damaged += end.damaged
        if end.broken:
            self.broken += 1
            self._kit.record.write("note", watched.name, text=f"cannot be read: it {end.reason}")
        self._interrupt(watched, end.reason)
        if not watched.live:
            self._close(self.watched.pop(source))

    def _interrupt(self, watched: Watched, reason: str) -> None:
        """End the run in hand; of a camera, a gap begins."""
        if watched.run is not None:
            watched.run.finish()
            if watched.live and reason:
                watched.gap = watched.run.end, reason
                self._kit.record.write("note", watched.name, text=f"interrupted: {reason}")
            watched.run = None
        elif watched.live and reason and watched.gap is None:
            watched.gap = 0.0, reason
            self._kit.record.write("note", watched.name, text=f"not reached: {reason}")

    def _close_gap(self, watched: Watched, until: float) -> None:
        if watched.gap is not None:
            start, reason = watched.gap
            watched.gap, watched.counts.gaps = None, watched.counts.gaps + 1
            fields = {"start": round(start, 3), "end": round(max(start, until), 3), "reason": reason}
            self._kit.record.write("gap", watched.name, **fields)

    def _close(self, watched: Watched) -> None:
        if watched.gap is not None:
            self._close_gap(watched, time.time() - watched.began if watched.began else 0.0)
        self._kit.record.write("end", watched.name, **vars(watched.counts))


def watch(
    sources: list[str],
    *,
    ckpt_path: str,
    output: str | None = None,
    window: int | None = None,
    look_ahead: int | None = None,
    fps: float | None = None,
    alarm: float | None = None,
    silence: float = 10.0,
    webhook: str | None = None,
    weights: str | None = None,
) -> int:
    """Score files, folders that grow and cameras while they run, until they end or a signal comes.

    Args:
        sources: videos, folders of videos, rtsp://…, rtsps://…, tcp://… and devices such as /dev/video0.
        ckpt_path: checkpoint of the model, which carries the recipe of its features.
        output: folder for watch.jsonl and a picture of each alarm; without it, lines go to standard output.
        window: snippets that are scored together, where scores depend on the whole video; 64 by default.
        look_ahead: snippets that a score waits for; 0 by default.
        fps: frames a second to play sources at; by default those of the training, where it played videos at
            a constant rate, else all frames.
        alarm: score from which on there is an alarm; by default what `wsvad calibrate` found, else 0.5.
        silence: seconds without a frame after which a camera counts as lost and is connected anew.
        webhook: web address that gets each alarm by POST.
        weights: of the backbone, where the checkpoint names but does not bring them.
    """
    if not silence > 0:
        raise WSVADError("--silence", silence, "must be more than 0", "Give seconds")
    extractor = Extractor.of_checkpoint(ckpt_path, weights)
    recipe = replace(extractor.recipe, fps=fps or extractor.recipe.fps)
    detector = Detector.from_checkpoint(ckpt_path)
    opened = detector.stream(window, look_ahead)
    rule = AlarmRule(ALARM if alarm is None else alarm, release=ALARM if alarm is None else alarm)
    if alarm is None and detector.calibration is not None:
        rule = detector.calibration.rule
    ready = threading.Event()
    record = Record(None if output is None else Path(output), webhook)
    kit = Kit(detector, opened.preparation, recipe, extractor.encoders, rule, record, window, look_ahead)
    watcher = Watcher(kit, recipe.fps)
    threads = start_all(sources, lambda given: open_source(given, recipe.fps, silence, ready))
    settings = {"window": opened.window, "look_ahead": opened.look_ahead, "exact": opened.exact}
    record.write("start", "", sources=[one.name for one in threads], alarm=rule.threshold, **settings)
    try:
        with _live_view(output) as view:
            _loop(threads, watcher, ready, view)
    finally:
        for thread in threads:
            thread.stop.set()
        watcher.finish()
        for thread in threads:
            thread.join(ENDING / len(threads))
        record.close()
    return int(watcher.broken > 0)


def _loop(threads: list[Source], watcher: Watcher, ready: threading.Event, view: Live | None) -> None:
    """Score until all sources are over."""
    going = list(threads)
    while going:
        ready.wait(BEAT)
        ready.clear()
        over = [thread for thread in going if not thread.is_alive()]
        for thread in going:
            for item in thread.take():
                watcher.take(thread, item)
        going = [thread for thread in going if thread not in over]
        if view is not None:
            view.update(watcher.table())


def _live_view(output: str | None) -> Any:
    """A table on the terminal, unless lines go there."""
    console = Console(stderr=True)
    shown = console.is_terminal and (output is not None or not sys.stdout.isatty())
    return Live(console=console, transient=True, refresh_per_second=4) if shown else nullcontext()
