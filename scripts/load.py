"""Put load on wsvad: a store of many videos, kills at random moments, a video of hours.

::

    python scripts/load.py videos --count 5000
    python scripts/load.py kills --extractions 100 --trainings 100
    python scripts/load.py hours --hours 3

Every command runs in a process of its own, forked from this one, through :func:`wsvad_lightning.cli.main`.
Its peak memory is what the operating system counted, with the libraries that this process had loaded. The
exit status is 1 if anything was lost, failed or took too much memory.
"""

import contextlib
import io
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from jsonargparse import auto_cli
from rich.progress import Progress, track
from rich.table import Table

from wsvad_lightning.checkpoint import CHECKSUMS_KEY, read_checkpoint
from wsvad_lightning.cli import COMMANDS, load, main
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.data.store import FeatureStore, StoreWriter
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.data.store.verify import verify
from wsvad_lightning.runs.checkpoints import WholeCheckpoints
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.video.writer import write_video

MOST_MEMORY = 2 * 10**9  # bytes that a video of any length may take
NOT_COMPARED = ("wsvad_config", "callbacks", "hyper_parameters")  # entries of checkpoints with paths
QUIET = ("--trainer.enable_progress_bar", "false")
WIDTH, HEIGHT = 160, 120  # of videos
LOOP = 600  # frames that a long video repeats

Task = Callable[[], object]


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        status: 0 if all is right; negative where a signal ended it.
        seconds: that it took.
        busy: seconds of them that it computed, on all cores.
        memory: its peak in bytes (resident set).
    """

    status: int
    seconds: float
    busy: float
    memory: int


def apart(task: Task, patience: float | None = None) -> Ended:
    """Run a task in a forked process.

    Args:
        task: gives 0 or nothing if all is right.
        patience: seconds after which the process is killed by SIGKILL; None for any time.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            _be_child(task, said.fileno())
        if patience is not None:
            time.sleep(max(0.0, began + patience - time.monotonic()))
            os.kill(child, signal.SIGKILL)  # its number is its own until it is waited for
        _, status, usage = os.wait4(child, 0)
        code, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - began
        ended = Ended(code, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        if ended.status > 0:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
    return ended


def _be_child(task: Task, said: int) -> None:
    status = 1
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        status = int(task() or 0)  # type: ignore[call-overload]  # what main gives
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def warm_up() -> None:
    """Load all libraries once, in place of once a process."""
    torch.set_num_threads(1)
    for command in COMMANDS:
        load(command)


def show(title: str, rows: Sequence[tuple[str, Ended]]) -> int:
    """Print what was measured; give 1 if anything failed, else 0."""
    table = Table("task", "seconds", "of CPU", "peak memory", "status", title=title)
    for name, ended in rows:
        times = (f"{ended.seconds:.1f}", f"{ended.busy:.1f}")
        table.add_row(name, *times, f"{ended.memory / 1e6:,.0f} MB", str(ended.status))
    open_console().print(table)
    return int(any(ended.status for _, ended in rows))


# ------------------------------------------------------------------------------------------ many videos


def videos(count: int = 5000, steps: int = 20) -> int:
    """Write a store of many small videos, open and verify it, train on it and test.

    Args:
        count: videos, a multiple of 10: eight of ten are for training, half of each part is abnormal.
        steps: of the training.

    Returns:
        1 if a command failed.
    """
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        store, output = Path(name, "store.h5"), Path(name, "runs")
        sizes = {"train": count * 2 // 5, "test": count // 10, "dim": 64, "lengths": (8, 40)}
        fit = ["fit", "--config", "ucf_urdmu.yaml", "--data.store", str(store), "--model.hidden_dim", "32"]
        fit += ["--data.segments", "32", "--trainer.max_steps", str(steps), "--output", str(output), *QUIET]
        last = output / "ucf_urdmu" / "version_0" / "checkpoints" / "last.ckpt"
        test = ["test", "--ckpt_path", str(last), *QUIET]
        tasks: dict[str, Task] = {
            "libraries alone": lambda: 0,
            "write": lambda: make_store(store, **sizes) and 0,  # type: ignore[arg-type]  # of several types
            "open": lambda: len(FeatureStore(store)) != count,
            "`data verify`": partial(main, ["data", "verify", str(store)]),
            f"`fit`, {steps} steps of 64 bags": partial(main, fit),
            f"`test`, {2 * (count // 10)} videos": partial(main, test),
        }
        rows = [(task, apart(run)) for task, run in track(tasks.items(), "videos", transient=True)]
    return show(f"A store of {count:,} videos", rows)


# ------------------------------------------------------------------------------------------------ kills


@dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        command: its arguments, from the folder of a round and from what is finished there.
        noted: class and method of what is finished with each call of it.
        describe: a line for a call, from the arguments of the method.
        find_lost: what is lost or damaged in the folder of a round, from what had been finished there.
        result: what two rounds have in common if they end the same.
    """

    command: Callable[[Path, Sequence[str]], list[str]]
    noted: tuple[type, str]
    describe: Callable[..., str]
    find_lost: Callable[[Path, Sequence[str]], list[str]]
    result: Callable[[Path], Mapping[str, Any]]

    def run(self, place: Path) -> int:
        """Run the command, and note in a journal what is finished."""
        owner, name = self.noted
        original, journal = getattr(owner, name), place / "journal"

        def noting(this: Any, *args: Any, **settings: Any) -> Any:
            given = original(this, *args, **settings)
            with journal.open("a") as lines:
                lines.write(f"{self.describe(*args)}\n")
            return given

        setattr(owner, name, noting)  # this process is a fork and ends with the command
        return main(self.command(place, finished(place)))


def finished(place: Path) -> list[str]:
    """What a command has finished in the folder of a round."""
    journal = place / "journal"
    return journal.read_text().splitlines() if journal.exists() else []


def kills(extractions: int = 100, trainings: int = 100, seed: int = 0) -> int:
    """Kill extraction and training again and again, at any moment, and continue.

    A round begins with nothing. Its command is killed and started again until it ends by itself; then the
    next round begins. After each kill, all that had been finished is looked for. At the end of a round the
    result is compared with that of a command that was left alone. The files of both are kept if they differ.

    Args:
        extractions: kills of extraction.
        trainings: kills of training.
        seed: of the moments.

    Returns:
        1 if anything was lost or is different.
    """
    warm_up()
    rng, lost = random.Random(seed), list[str]()
    table = Table("command", "kills", "at work", "rounds", "lost or different", title="Kills (SIGKILL)")
    for name, make, count in (("extract", extraction, extractions), ("fit", training, trainings)):
        with tempfile.TemporaryDirectory() as folder:
            working, rounds, problems = kill(make(Path(folder)), Path(folder), count, rng)
        table.add_row(name, *map(str, (count, working, rounds, len(problems))))
        lost += problems
    open_console().print(table)
    sys.stdout.writelines(f"{problem}\n" for problem in lost)
    return int(bool(lost))


def kill(victim: Victim, folder: Path, count: int, rng: random.Random) -> tuple[int, int, list[str]]:
    """Kill a command; give kills after something new was finished, rounds, and what was wrong."""
    (folder / "whole").mkdir()
    alone = apart(partial(victim.run, folder / "whole"))
    expected, problems = victim.result(folder / "whole"), list[str]()
    killed = working = rounds = known = 0
    begun = False
    with Progress(transient=True) as progress:
        task = progress.add_task("kills", total=count)
        while killed < count or begun:  # the last round ends by itself
            place = folder / f"round{rounds}"
            place.mkdir(exist_ok=True)
            patience = rng.uniform(0, alone.seconds) if killed < count else None
            ended = apart(partial(victim.run, place), patience)
            done = finished(place)
            problems += [f"{place.name}: {problem}" for problem in victim.find_lost(place, done)]
            if ended.status == -signal.SIGKILL:
                begun, killed, working, known = True, killed + 1, working + (len(done) > known), len(done)
                progress.update(task, completed=killed)
                continue
            if ended.status or victim.result(place) != expected:
                kept = Path(tempfile.mkdtemp(prefix="kills-"))
                for name in ("whole", place.name):
                    shutil.copytree(folder / name, kept / name)
                problems.append(
                    f"{place.name}: ended with status {ended.status} and another result, see {kept}"
                )
            begun, rounds, known = False, rounds + 1, 0
    return working, rounds, problems


def extraction(folder: Path, count: int = 16) -> Victim:
    """``extract`` of small videos, a store a round."""
    for number in range(count):
        film(folder / "videos" / f"{number:02d}.mp4", 20, seed=number)

    def lost(place: Path, done: Sequence[str]) -> list[str]:
        if not done:
            return []
        with contextlib.redirect_stdout(io.StringIO()) as said:
            damaged = verify(str(place / "store.h5"))
        missing = sorted({*done} - {*FeatureStore(place / "store.h5")})
        return [*([said.getvalue()] if damaged else []), *(f"{name} is lost" for name in missing)]

    def result(place: Path) -> Mapping[str, Any]:
        store = FeatureStore(place / "store.h5")
        left = sorted(path.name for path in place.iterdir())
        return {"files": left, **{video_id: store[video_id].checksum for video_id in store}}

    def command(place: Path, done: Sequence[str]) -> list[str]:
        return ["extract", str(folder / "videos"), str(place / "store.h5"), "--config", "extract/motion.yaml"]

    noted = (StoreWriter, "add")
    return Victim(command, noted, lambda annotation, *_: annotation.video_id, lost, result)


def training(folder: Path, steps: int = 25) -> Victim:
    """``fit`` of a small method that draws noise, with a checkpoint a step."""
    store = make_store(folder / "store.h5", dim=16, train=3, test=2, lengths=(4, 8))

    def last(done: Sequence[str]) -> Path:
        return Path(done[-1].split(" ", 1)[1])

    def lost(place: Path, done: Sequence[str]) -> list[str]:
        if not done:
            return []
        try:
            step = read_checkpoint(last(done))["global_step"]
        except ValueError as error:
            return [str(error)]
        return [] if step >= int(done[-1].split()[0]) else [f"{last(done)} is of step {step}"]

    def result(place: Path) -> Mapping[str, Any]:
        written: dict[str, str] = read_checkpoint(last(finished(place)))[CHECKSUMS_KEY]
        return {name: checksum for name, checksum in written.items() if name not in NOT_COMPARED}

    def command(place: Path, done: Sequence[str]) -> list[str]:
        fit = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
        fit += ["--model.hidden_dim", "8", "--trainer.max_steps", str(steps), "--save_every_steps", "1"]
        resumed = ["--ckpt_path", str(last(done))] if done else []
        return [*fit, "--output", str(place), *QUIET, *resumed]

    noted = (WholeCheckpoints, "save_checkpoint")
    return Victim(command, noted, lambda saved, path, *_: f"{saved['global_step']} {path}", lost, result)


# ------------------------------------------------------------------------------------------------ hours


def hours(hours: float = 3.0, fps: int = 10, maps: bool = False) -> int:
    """Extract a long video, and score it by a method that short ones have trained.

    Args:
        hours: length of the video.
        fps: frames a second.
        maps: whether to say where in the frame as well, by one more scoring for each of 24 patches.

    Returns:
        1 if a command failed, or took more than 2 GB.
    """
    warm_up()
    frames = math.ceil(hours * 3600 * fps / LOOP) * LOOP
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        long, table, store = folder / "long.mp4", folder / "table.csv", str(folder / "shorts.h5")
        shorts = [VideoAnnotation(f"short{number}", number % 2, split="train") for number in range(4)]
        for number, short in enumerate(shorts):
            film(folder / "shorts" / f"{short.video_id}.mp4", 100, seed=number)
        write_annotations(table, {short.video_id: short for short in shorts})
        motion, output = ["--config", "extract/motion.yaml"], ["--output", str(folder / "runs"), *QUIET]
        prepare = ["extract", str(folder / "shorts"), store, "--annotations", str(table), *motion]
        fit = ["fit", "--config", "ped2_urdmu.yaml", "--data.store", store, "--trainer.max_steps", "2"]
        last = folder / "runs" / "ped2_urdmu" / "version_0" / "checkpoints" / "last.ckpt"
        predict = ["predict", "--ckpt_path", str(last), "--videos", str(long), "--maps", str(maps).lower()]
        tasks: dict[str, Task] = {
            "libraries alone": lambda: 0,
            "render": partial(lengthen, film(folder / "loop.mp4", LOOP, fps), long, frames // LOOP),
            "`extract`, four short ones": partial(main, prepare),
            "`fit`, two steps on these": partial(main, [*fit, *output]),
            "`extract`": partial(main, ["extract", str(long), str(folder / "long.h5"), *motion]),
            f"`predict --maps {str(maps).lower()}`": partial(main, [*predict, *output]),
        }
        rows = [(task, apart(run)) for task, run in track(tasks.items(), "hours", transient=True)]
    failed = show(f"A video of {frames:,} frames of {WIDTH} x {HEIGHT}", rows)
    return int(failed or max(ended.memory for _, ended in rows) > MOST_MEMORY)


def film(path: Path, num_frames: int, fps: int = 10, seed: int = 0) -> Path:
    """Make a video, H.264, of a bright square that wanders over a texture; give its path."""
    rng = np.random.default_rng(seed)
    texture = np.kron(
        rng.integers(40, 160, (HEIGHT // 8, WIDTH // 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8)
    )
    path.parent.mkdir(exist_ok=True)
    with write_video(path, fps=fps) as video:
        for frame in range(num_frames):
            picture, x, y = texture.copy(), (2 * frame + 7 * seed) % (WIDTH - 16), frame // 9 % (HEIGHT - 16)
            picture[y : y + 16, x : x + 16] = 230
            video.write(picture)
    return path


def lengthen(short: Path, path: Path, times: int) -> None:
    """Repeat the packets of a video: to encode hours would take long."""
    with av.open(path, "w") as target:
        copy = None
        for number in range(times):
            with av.open(short) as source:
                track = source.streams.video[0]
                copy = copy or target.add_stream_from_template(track)
                begin = number * (track.duration or 0)
                for packet in source.demux(track):
                    if packet.pts is not None and packet.dts is not None:  # the last one is empty
                        packet.pts, packet.dts, packet.stream = packet.pts + begin, packet.dts + begin, copy
                        target.mux(packet)


if __name__ == "__main__":
    sys.exit(auto_cli([videos, kills, hours]))
