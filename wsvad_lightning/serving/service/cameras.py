"""Running cameras, by what ``wsvad watch --output FOLDER`` writes: read on from where the last look ended."""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.serving.record import LINES, PICTURES

MOST_READ = 4_000_000  # bytes of the record that the first look reads
MOST_CAMERAS = 64  # that are shown, the latest ones: a folder that grows has ever more files
MOST_SCORES, MOST_ALARMS = 600, 8  # of a camera, the latest ones
LONGEST = 200  # letters of a name or note


@dataclass
class Camera:
    """What is known of a source.

    Attributes:
        name: of it.
        state: ``waiting`` until its first score, ``running``, ``ended``.
        scores: the latest ones, with their seconds.
        alarms: the latest ones, as written.
        alarm_count: so far.
        gaps: interruptions so far.
        kind: the class of the latest score.
        note: the latest one.
    """

    name: str
    state: str = "waiting"
    scores: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_SCORES))
    alarms: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_ALARMS))
    alarm_count: int = 0
    gaps: int = 0
    kind: str = ""
    note: str = ""

    def take(self, line: dict[str, Any]) -> None:
        """Take a line of the record."""
        if line["kind"] == "score":
            self.state, self.kind = "running", text_of(line.get("class"))
            self.scores.append((number_of(line.get("seconds")), number_of(line.get("score"))))
        elif line["kind"] == "alarm":
            self.alarm_count += 1
            files = {name: Path(text_of(line.get(name))).name for name in ("picture", "clip")}
            numbers = {name: number_of(line.get(name)) for name in ("start", "end", "score")}
            self.alarms.append({**numbers, **files})
        elif line["kind"] == "gap":
            self.gaps += 1
        elif line["kind"] == "note":
            self.note = text_of(line.get("text"))
        elif line["kind"] == "end":
            self.state = "ended"

    def described(self) -> dict[str, Any]:
        """Give it as plain values."""
        seconds, score = self.scores[-1] if self.scores else (None, None)
        latest = {"score": score, "seconds": seconds, "class": self.kind, "note": self.note}
        counts = {"alarm_count": self.alarm_count, "gaps": self.gaps}
        lists = {"scores": list(self.scores), "alarms": list(self.alarms)}
        return {"name": self.name, "state": self.state, **latest, **counts, **lists}


class Cameras:
    """Follows the record of ``wsvad watch``, whose lines are data; any thread may ask.

    Args:
        folder: its ``--output``.

    Raises:
        WSVADError: if there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise WSVADError("--watch", folder, "no such folder", "Give the --output of `wsvad watch`")
        self._folder, self._lock = folder, threading.Lock()
        self._restart()

    def state(self) -> dict[str, Any]:
        """Give what is known of all cameras, as plain values."""
        with self._lock:
            age = self._read()
            cameras = [camera.described() for camera in self._cameras.values()]
        return {"alarm": self._alarm, "age": age, "cameras": cameras}

    def file_of_alarm(self, name: str) -> Path | None:
        """Find a picture or clip of an alarm; None if there is none of this name in the folder."""
        pictures = (self._folder / PICTURES).resolve()
        path = (pictures / name).resolve()
        return path if path.parent == pictures and path.is_file() and not name.startswith(".") else None

    def _restart(self) -> None:
        self._cameras: dict[str, Camera] = {}
        self._alarm: float | None = None
        self._at, self._rest = 0, b""

    def _read(self) -> float | None:
        """Read what was written since, and give the seconds since the record changed."""
        try:
            with (self._folder / LINES).open("rb") as file:
                size = file.seek(0, 2)
                if size < self._at:  # another record
                    self._restart()
                skips = size - self._at > MOST_READ
                file.seek(size - MOST_READ if skips else self._at)
                read = file.read(size - file.tell())
                self._at = size
            changed = (self._folder / LINES).stat().st_mtime
        except OSError:
            return None
        if skips:  # the first of these lines is not whole
            self._rest, read = b"", read.partition(b"\n")[2]
        *lines, self._rest = (self._rest + read).split(b"\n")
        self._rest = self._rest[:MOST_READ]
        for line in lines:
            self._take(line)
        return max(0.0, time.time() - changed)

    def _take(self, text: bytes) -> None:
        try:
            line = json.loads(text)
            kind, name = line["kind"], text_of(line["source"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if kind == "start":
            self._cameras.clear()
            self._alarm = number_of(line.get("alarm"))
            return
        camera = self._cameras.pop(name, None) or Camera(name)
        camera.take(line)
        self._cameras[name] = camera  # the latest come last
        if len(self._cameras) > MOST_CAMERAS:
            del self._cameras[next(iter(self._cameras))]


def number_of(value: Any) -> float:
    """A number of the record; 0 for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else 0.0


def text_of(value: Any) -> str:
    """A text of the record, not too long."""
    return value[:LONGEST] if isinstance(value, str) else ""
