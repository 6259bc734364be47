"""``wsvad watch``: scores and alarms of files, growing folders and cameras while they run."""

import sys
import threading
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wsvad_lightning.alarms import AlarmRule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.live import SnippetStream
from wsvad_lightning.runs.trained import scoring_method
from wsvad_lightning.serving.command import ALARM
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.serving.extractor import Extractor
from wsvad_lightning.serving.record import Record
from wsvad_lightning.serving.sources import Begin, End, Item, Note, Shown, Source, open_source, start_all
from wsvad_lightning.serving.stream import ScoreStream
from wsvad_lightning.serving.watched import Kit, Run, Watched

BEAT = 0.5  # seconds after which the live view and sources that ended are looked at again
ENDING = 3.0  # seconds that the threads have to end
SHOWN, BAR = 8, 8  # sources that are over in the live view, and letters of its bars
DIFFERS = 0.02  # part by which a frame rate is another one


class Watcher:
    """Scores what sources give; one for all of them.

    Args:
        kit: what they share.
        fps: frames a second to play cameras at; None for the rate that each states.

    Attributes:
        broken: files that could not be read.
    """

    def __init__(self, kit: Kit, fps: float | None) -> None:
        self._kit, self._fps, self.broken, self._started = kit, fps, 0, time.time()
        self.watched: dict[Source, Watched] = {}
        self._ended = deque[Watched](maxlen=SHOWN)

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
        table = Table(title="wsvad watch", expand=True, box=box.SIMPLE_HEAD)
        table.add_column("source", no_wrap=True, overflow="ellipsis", ratio=2)
        table.add_column("state", no_wrap=True, overflow="ellipsis", ratio=3)
        table.add_column("score", justify="right")
        table.add_column("", width=BAR)
        for name in ("at", "alarms", "gaps", "dropped"):
            table.add_column(name, justify="right", no_wrap=True)
        for watched in (*self._ended, *self.watched.values()):
            score, seconds = watched.latest or (0.0, 0.0)
            high, counts = score >= self._kit.rule.release, watched.counts
            bar = Text("█" * round(BAR * min(max(score, 0.0), 1.0)), "red" if high else "green")
            shown = (f"{score:.3f}", bar, f"{seconds:.1f} s") if watched.latest else ("", "", "")
            numbers = map(str, (counts.alarms, counts.gaps, counts.dropped))
            table.add_row(Text(watched.name), Text(watched.state), *shown, *numbers)
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
            watched.began, watched.gap = self._started, (0.0, reason)
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
        watched.over = True
        self._ended.append(watched)


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
    model: str | None = None,
) -> int:
    """Score files, folders that grow and cameras while they run, until they end or a signal comes.

    Args:
        sources: videos, folders of videos, rtsp://…, rtsps://…, tcp://… and devices such as /dev/video0.
        ckpt_path: checkpoint of the model, which carries the recipe of its features.
        output: folder for watch.jsonl and a picture of each alarm; without it, lines go to standard output.
        window: snippets that are scored together, where scores depend on the whole video; by default what
            `wsvad calibrate` took, else 64.
        look_ahead: snippets that a score waits for; by default what `wsvad calibrate` took, else 0.
        fps: frames a second to play sources at; by default those of the training, where it played videos at
            a constant rate, else all frames.
        alarm: score from which on there is an alarm; by default what `wsvad calibrate` found, else 0.5.
        silence: seconds without a frame after which a camera counts as lost and is connected anew.
        webhook: web address that gets each alarm by POST.
        weights: of the backbone, where the checkpoint names but does not bring them.
        model: method of one's own that the checkpoint is of, by name or import path.
    """
    if not silence > 0:
        raise WSVADError("--silence", silence, "must be more than 0", "Give seconds")
    if fps is not None and not fps > 0:
        raise WSVADError("--fps", fps, "must be more than 0", "Give frames a second")
    extractor = Extractor.of_checkpoint(ckpt_path, weights)
    recipe = replace(extractor.recipe, fps=fps or extractor.recipe.fps)
    SnippetStream(extractor.encoders, recipe)  # refuses streams of sound before a camera is connected
    detector = Detector.from_checkpoint(ckpt_path, scoring_method(model))
    opened = detector.stream(window, look_ahead)
    rule = rule_of(detector, opened, alarm)
    ready = threading.Event()
    record = Record(None if output is None else Path(output), webhook)
    kit = Kit(detector, opened, recipe, extractor.encoders, rule, record)
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
    if watcher.broken:
        where = "the notes above say why" if output is None else f"{output}/watch.jsonl says why"
        sys.stderr.write(f"{watcher.broken} of {len(threads)} sources could not be read: {where}\n")
    return int(watcher.broken > 0)


def rule_of(detector: Detector, stream: ScoreStream, alarm: float | None) -> AlarmRule:
    """Say when scores of a stream are an alarm.

    Args:
        detector: with the model.
        stream: of such scores.
        alarm: score from which on there is one; None for the calibrated rule, or 0.5 without one.

    Raises:
        WSVADError: if the rule was found on other scores than those of the stream.
    """
    if alarm is not None or detector.calibration is None:
        score = ALARM if alarm is None else alarm
        return AlarmRule(score, release=score)
    if (found := detector.calibration_of(stream)) is not None:
        return found.rule
    known, of_stream = detector.model.streamed_calibration, f"{stream.window}, look-ahead {stream.look_ahead}"
    of_known = (
        "whole videos" if known is None else f"windows of {known.window}, look-ahead {known.look_ahead}"
    )
    problem = f"scores otherwise than {of_known}, on which the alarm threshold was found"
    raise WSVADError("--window", of_stream, problem, "Run `wsvad calibrate` with these, or give --alarm")


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
    return Live(console=console, refresh_per_second=4) if shown else nullcontext()
