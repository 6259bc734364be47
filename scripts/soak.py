"""How ``wsvad watch`` fares with cameras for minutes: memory, delay, and faults on the way.

Cameras are TCP servers of this process that send H.264 in MPEG-TS, each frame when it is due. ``watch`` is a
process of its own::

    python scripts/soak.py last.ckpt --minutes 30
    python scripts/soak.py last.ckpt --cameras 8 --minutes 3
    python scripts/soak.py last.ckpt --faults 1000 --minutes 30

Cuts, silences and jumps of the clock interrupt a camera. Each must lie in a gap that ``watch`` wrote; if not,
the exit status is 1. Damage and other sizes need not interrupt it.

Printed are the memory of ``watch`` over time, the delay from the arrival of a snippet's last frame to its
score, and the load of the machine meanwhile: on a machine with other work, delays say little.
"""

import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from jsonargparse import auto_cli

SIZES = ((360, 240), (240, 160))  # of frames; the second one after a change of resolution
FPS = 10
KEY = 10  # frames from one key frame to the next
FAULTS = ("cut", "damage", "silence", "jump", "size")
INTERRUPTING = ("cut", "silence", "jump")
SILENCE = 3.0  # seconds that `watch` waits for a frame
SHORT = 1_200  # frames of a film that faults interrupt anyway
JUMP = 300  # frames, of the clock
LOST = 2.0  # seconds that a fault takes on average, until frames come again
NEAR = 4.0  # seconds by which a camera and `watch` may differ: a stream is probed before it begins


@dataclass
class Film:
    """A camera's frames, encoded.

    Attributes:
        frames: bytes of each.
    """

    frames: list[bytes]


def encode(num_frames: int, size: tuple[int, int]) -> Film:
    """Encode squares that move over noise."""
    rng, held, frames = np.random.default_rng(0), io.BytesIO(), list[bytes]()
    width, height = size
    ground = rng.integers(60, 180, (height, width, 3)).astype(np.uint8)
    with av.open(held, "w", format="mpegts") as container:
        options = {"g": str(KEY), "bf": "0", "preset": "ultrafast", "tune": "zerolatency"}
        stream: Any = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(num_frames):
            picture = ground.copy()
            for k in range(4):
                x, y = (7 * t * (k + 1) // 2) % (width - 30), (40 * k + 3 * t) % (height - 30)
                picture[y : y + 30, x : x + 20] = 60 * k
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = t
            for packet in stream.encode(frame):
                container.mux(packet)
            frames.append(held.getvalue())
            held.seek(0)
            held.truncate()
    return Film(frames)


@dataclass
class Camera:
    """Sends films to whoever connects, with faults.

    Attributes:
        films: of each size.
        pause: frames from one fault to the next, on average; 0 for none.
        seed: of the faults.
        faults: when each came, in seconds after the first frame, and its kind.
    """

    films: list[Film]
    pause: float
    seed: int
    faults: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._rng, self._began = random.Random(self.seed), 0.0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"tcp://127.0.0.1:{self._server.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection, suppress(OSError):  # `watch` may hang up
                self._send(connection)

    def _send(self, connection: socket.socket) -> None:
        film, frame = self.films[0], 0
        due = time.monotonic()
        self._began = self._began or due
        while not hung_up(connection):
            data, fault = film.frames[frame], self._draw()
            if fault == "cut":
                connection.sendall(data[: len(data) // 2])
                return
            if fault == "damage":
                damaged = np.frombuffer(data, np.uint8).copy()
                damaged[self._rng.randrange(len(damaged)) :: 97] ^= 0xFF
                data = damaged.tobytes()
            if fault == "silence":
                due += SILENCE + 1
            if fault == "jump":
                frame = (frame + JUMP) % (len(film.frames) // KEY * KEY)
            if fault == "size":
                film = self.films[self._rng.randrange(len(self.films))]
            time.sleep(max(0.0, due - time.monotonic()))
            connection.sendall(data)
            due += 1 / FPS
            frame += 1
            if frame == len(film.frames):  # from the beginning: the clock goes back
                frame = 0
                self.faults.append((time.monotonic() - self._began, "jump"))

    def _draw(self) -> str:
        if not self.pause or self._rng.random() >= 1 / self.pause:
            return ""
        fault = self._rng.choice(FAULTS)
        self.faults.append((time.monotonic() - self._began, fault))
        return fault


def hung_up(connection: socket.socket) -> bool:
    """Whether nobody listens any more."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def soak(
    checkpoint: str,
    minutes: float = 30.0,
    cameras: int = 1,
    faults: int = 0,
    window: int = 64,
    record: str | None = None,
) -> None:
    """Watch cameras and print what came of it.

    Args:
        checkpoint: of motion features or others that carry their recipe.
        minutes: how long.
        cameras: how many.
        faults: about how many to make in that time, in all: cuts, damage, silence, jumps of the clock, other
            sizes.
        window: of snippets that are scored together.
        record: file for the memory of each second, in MB, which `scripts/draw_docs.py` draws.
    """
    length = int(60 * minutes * FPS) + 60 * FPS
    longest = SHORT if faults else 18_000
    films = [encode(min(length, longest), size) for size in SIZES[: 1 + bool(faults)]]
    pause = max(1.0, (cameras * 60 * minutes / faults - LOST) * FPS) if faults else 0.0
    served = [Camera(films, pause, seed) for seed in range(cameras)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "wsvad_lightning", "watch", *(camera.address for camera in served)]
        command += ["--ckpt_path", checkpoint, "--output", folder, "--window", str(window)]
        command += ["--silence", str(SILENCE), "--fps", str(FPS)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not Path(folder, "watch.jsonl").exists() and process.poll() is None:
            time.sleep(0.5)  # a start takes seconds
        end, memory, loads = time.monotonic() + 60 * minutes, list[float](), list[float]()
        started, worked = time.monotonic(), _processor_time(process.pid)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(1)
            memory.append(_resident(process.pid))
            loads.append(os.getloadavg()[0])
            if len(memory) % 30 == 0:
                print(f"{time.monotonic() - started:6.0f} s  {memory[-1]:7.1f} MB", flush=True)
        worked, lasted = _processor_time(process.pid) - worked, time.monotonic() - started
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        if not Path(folder, "watch.jsonl").exists():
            sys.exit(said)
        lines = [json.loads(line) for line in Path(folder, "watch.jsonl").read_text("utf-8").splitlines()]
    _report(lines, memory, loads, process.returncode, said)
    print(
        f"processor time: {worked:.0f} s in {lasted:.0f} s, {worked / lasted / cameras:.3f} a camera-second"
    )
    until = lasted - SILENCE - NEAR  # what came later may not have been noticed
    lost = [one for camera in served for one in unrecorded(camera, lines) if one[0] < until]
    print("faults", dict(Counter(kind for camera in served for _, kind in camera.faults)))
    print(f"interruptions without a gap: {lost}")
    if record is not None:
        text = json.dumps(
            {"cameras": cameras, "faults": sum(len(one.faults) for one in served), "memory": memory}
        )
        Path(record).write_text(text, "utf-8")
    if lost or "Traceback" in said:
        sys.exit(1)


def unrecorded(camera: Camera, lines: list[dict[str, Any]]) -> list[tuple[float, str]]:
    """Find the interruptions of a camera that lie in no gap."""
    gaps = [line for line in lines if line["kind"] == "gap" and line["source"] == camera.address]
    return [
        (at, kind)
        for at, kind in camera.faults
        if kind in INTERRUPTING and not any(gap["start"] - NEAR <= at <= gap["end"] + NEAR for gap in gaps)
    ]


def _report(
    lines: list[dict[str, Any]], memory: list[float], loads: list[float], status: int, said: str
) -> None:
    kinds = Counter(line["kind"] for line in lines)
    delays = [line["delay"] for line in lines if line["kind"] == "score"]
    ends = [line for line in lines if line["kind"] == "end"]
    print(f"exit status {status}, {said.strip().splitlines()[-1:]}, traceback: {'Traceback' in said}")
    print("lines", dict(kinds))
    print("gaps", dict(Counter(line["reason"] for line in lines if line["kind"] == "gap")))
    totals = {name: sum(line[name] for line in ends) for name in ("frames", "snippets", "dropped", "damaged")}
    print("totals", totals)
    if delays:
        half, high = np.percentile(delays, (50, 95))
        print(f"delay of {len(delays)} snippets: median {half:.3f} s, 95th percentile {high:.3f} s")
    third = len(memory) // 3
    if third:
        parts = [np.median(memory[k * third : (k + 1) * third]) for k in range(3)]
        print("memory, median of each third: " + ", ".join(f"{part:.1f}" for part in parts) + " MB")
    print(f"load of the machine: {np.mean(loads):.1f} on {os.cpu_count()} cores")


def _processor_time(pid: int) -> float:
    """Seconds that the processors have worked for a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    auto_cli(soak, as_positional=True)
