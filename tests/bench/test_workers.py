"""Tasks in processes of their own: what fails, dies or is interrupted does not touch the rest."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import SERVER
from wsvad_lightning.bench.workers import work_off, write_output_to


def work(task: str) -> str:
    """Do what a task says."""
    what, _, path = task.partition(" ")
    if what == "fail":
        raise RuntimeError("reported in a line")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "print":
        write_output_to(Path(path))
        sys.stdout.write("from Python\n")
        sys.stdout.flush()
        os.system("echo from a program")
        sys.stderr.write("a warning\n")
    if what == "see":
        Path(f"{path}{os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        wait_until(lambda: len(list(Path(path).parent.iterdir())) == 2)
    if what == "wait":
        Path(path).touch()
        time.sleep(60)
    return f"done by {os.getpid()}"


def test_a_failing_task_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert work_off(["good", "fail", "well"], work, jobs=2) == [("fail", "reported in a line")]
    printed = capsys.readouterr().out
    assert "fail: FAILED" in printed
    assert "good: done by " in printed
    assert "well: done by " in printed
    assert f"done by {os.getpid()}" not in printed
    assert "3/3" in printed


def test_a_dying_process_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    ((task, error),) = work_off(["die", "good"], work, jobs=1)
    assert task == "die"
    assert "killed" in error
    assert "good: done by " in capsys.readouterr().out


def test_what_a_task_prints_is_in_its_file_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.txt"
    assert work_off([f"print {log}"], work, jobs=1) == []
    assert log.read_text() == "from Python\nfrom a program\na warning\n"
    captured = capfd.readouterr()
    assert "from" not in captured.out
    assert captured.err == ""


def test_each_of_several_processes_sees_a_gpu_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    assert work_off([f"see {tmp_path}/{task}" for task in "ab"], work, jobs=2) == []
    assert sorted(seen.read_text() for seen in tmp_path.iterdir()) == ["3", "GPU-5"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_end_from_outside_ends_the_processes_too(kind: signal.Signals, tmp_path: Path) -> None:
    started, outlet = tmp_path / "started", tmp_path / "outlet"
    os.mkfifo(outlet)
    process = SERVER.Process(target=work_for_ever, args=(outlet, f"wait {started}"))
    process.start()
    with os.fdopen(os.open(outlet, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        wait_until(started.exists)
        assert process.pid is not None
        os.kill(process.pid, kind)
        process.join(timeout=20)
        assert process.exitcode is not None
        os.set_blocking(reader.fileno(), True)
        reader.read()  # ends when the last process that could write to it has ended


def work_for_ever(outlet: Path, task: str) -> None:
    """Be a process that works off a task; it and all that it starts have the outlet for standard error."""
    with outlet.open("w") as writer:
        os.dup2(writer.fileno(), 2)
    work_off([task], work, jobs=1)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
