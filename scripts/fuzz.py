"""Damage every kind of file that wsvad reads, and run wsvad on it: one line, a finding or a result is right.

A traceback, a crash of the interpreter, a hang, and more than one line for a mistake are failures. Each is
kept, with its command, in a folder of its own::

    python scripts/fuzz.py runs/fuzz --seconds 600
    python scripts/fuzz.py runs/fuzz --kinds checkpoints --count 300 --seed 1

Every command runs in a process of its own, forked from this one, through :func:`wsvad_lightning.cli.main`.
"""

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch
from fuzz_kinds import TRACEBACK, Kind, Task, make_kinds
from jsonargparse import auto_cli

from wsvad_lightning.cli import COMMANDS, load, main

HANG = 300  # seconds that a command may take, on a busy machine too
MEMORY = 6 * 2**30  # bytes of addresses that a command may take on top of what is loaded


def run_apart(command: Sequence[str] | Task, folder: Path) -> str:
    """Run a command in a forked process; give what is wrong with how it ended, nothing if all is right."""
    child = os.fork()
    if not child:
        _run(command, folder)
    end, status = time.monotonic() + HANG, 0
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return f"it runs for more than {HANG} seconds"
    code = os.waitstatus_to_exitcode(status)
    text = (folder / "stderr").read_text("utf-8", "replace")
    errors = text.count("error: ")
    if code < 0:
        return f"it crashes by signal {-code}"
    if code == TRACEBACK or "Traceback (most recent call last)" in text:
        return f"it ends in a traceback: {text.strip().splitlines()[-1][:150]}"
    if code not in (0, 1, 2) or (code == 2 and errors != 1):
        return f"it ends with status {code} and {errors} errors"
    return ""


def _run(command: Sequence[str] | Task, folder: Path) -> None:
    """Be the process that runs a command."""
    with (folder / "stderr").open("w") as errors, (folder / "stdout").open("w") as output:
        os.dup2(errors.fileno(), 2)
        os.dup2(output.fileno(), 1)
    loaded = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (loaded + MEMORY, resource.RLIM_INFINITY))
    os.chdir(folder)
    code = TRACEBACK
    try:
        code = command() if callable(command) else main(command)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fuzz(
    output: str,
    seconds: float = 600.0,
    count: int = 300,
    kinds: list[str] | None = None,
    seed: int = 0,
) -> int:
    """Damage files and run wsvad on them.

    Args:
        output: folder for what fails.
        seconds: time for all.
        count: mutations of each kind, at most.
        kinds: of files, all by default.
        seed: of the mutations; the number of a case and the seed make it again.

    Returns:
        1 if anything failed.
    """
    torch.set_num_threads(1)
    for command in COMMANDS:
        load(command)  # once, in place of once a case
    end, failures = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        known = make_kinds(base)
        chosen = kinds or list(known)
        tried = dict.fromkeys(chosen, 0)
        for number in range(count):
            for kind in chosen:
                if time.monotonic() < end:
                    tried[kind] += 1
                    failures += not _try(known[kind], kind, number, seed, base, Path(output))
        sys.stdout.write(f"{tried}: {failures} failures\n")
    return int(failures > 0)


def _try(kind: Kind, name: str, number: int, seed: int, base: Path, output: Path) -> bool:
    """Run one case; keep it if it fails."""
    rng = random.Random(f"{name} {number} {seed}")
    work = base / "case"
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(base / "out", ignore_errors=True)
    (base / "out").mkdir()
    work.mkdir()
    path = work / f"damaged{kind.source.suffix}"
    (shutil.copytree if kind.source.is_dir() else shutil.copy)(kind.source, path)
    with contextlib.suppress(Exception):  # a mutation that cannot be made leaves what there is
        kind.mutate(path, rng)
    command = kind.command(path, number)
    problem = run_apart(command, work)
    if problem:
        kept = output / f"{name}_{seed}_{number}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(work, kept)
        said = f"task of {name}" if callable(command) else f"wsvad {' '.join(command)}"
        (kept / "command.txt").write_text(f"{said}\n{problem}\n")
        sys.stdout.write(f"{kept}: {problem}\n")
        sys.stdout.flush()
    return not problem


if __name__ == "__main__":
    sys.exit(auto_cli(fuzz))
