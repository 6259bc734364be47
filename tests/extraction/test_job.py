"""Several processes extract into one store: every video once, whoever dies on the way."""

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.extraction import ranks
from tests.processes import SERVER, Command, free_port, run_command, save_script
from tests.videos import VideoMaker
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.extraction.job import Display, Processes

WORLD = 3
NAMES = ["a", "b", "c", "d", "e"]  # rank 0 has a and d, rank 1 has b and e, rank 2 has c


@pytest.fixture
def videos(make_video: VideoMaker) -> Path:
    for i, name in enumerate(NAMES):
        make_video(f"videos/{name}.mp4", 5 + i)
    return make_video("videos/a.mp4", 5).parent


def run_ranks(videos: Path, output: Path, **options: Any) -> list[int | None]:
    """Run all ranks to their end and give their exit codes; one that is to die has an argument of its own."""
    dying, full, stopped = (options.pop(what, {}) for what in ("dying", "full", "stopped"))
    port = free_port()
    started = []
    for rank in range(WORLD):
        given = {**options, "dies_at": dying.get(rank, ""), "full_at": full.get(rank, "")}
        given["stops_at"] = stopped.get(rank, "")
        process = SERVER.Process(
            target=ranks.run_rank, args=(rank, WORLD, port, videos, output), kwargs=given
        )
        process.start()
        started.append(process)
    for process in started:
        process.join(timeout=120)
    return [process.exitcode for process in started]


def encoded(output: Path) -> list[str]:
    """The videos that were encoded and not lost, by all ranks in all runs."""
    return sorted(line for path in output.parent.glob("*.rank*") for line in path.read_text().split())


def said_by_one(output: Path) -> str:
    """The line of the only process that said one; it is removed."""
    (path,) = output.parent.glob("*.error*")
    said = path.read_text()
    path.unlink()
    return said


def test_killed_processes_are_started_again_and_the_store_is_that_of_one_process(
    videos: Path, tmp_path: Path
) -> None:
    output, alone = tmp_path / "store.h5", tmp_path / "alone.h5"
    first = run_ranks(videos, output, dying={1: "e"})
    assert first[1] == -signal.SIGKILL
    assert all(first)
    assert "another one has died" in said_by_one(output)
    assert set(FeatureStore(output)) == set(NAMES) - {"e"}
    assert run_ranks(videos, output) == [0, 0, 0]
    assert encoded(output) == NAMES
    assert extract(str(videos), str(alone), streams=[ranks.STREAM]) == 0
    assert FeatureStore(output).checksum() == FeatureStore(alone).checksum()
    assert not Path(f"{output}.parts").exists()


def test_broken_videos_of_all_processes_are_reported_by_the_first(videos: Path, tmp_path: Path) -> None:
    (videos / "b.mp4").write_text("no video")
    (videos / "c.mp4").write_text("no video")
    output = tmp_path / "store.h5"
    assert run_ranks(videos, output) == [2, 0, 0]
    assert "b.mp4" in Path(f"{output}.error0").read_text()
    assert set(FeatureStore(output)) == {"a", "d"}  # the process that met b has stopped
    assert run_ranks(videos, output, skip_broken=True) == [1, 0, 0]
    assert set(FeatureStore(output)) == {"a", "d", "e"}
    assert encoded(output) == ["a", "d", "e"]


def test_a_full_disk_of_one_process_is_reported_by_the_first(videos: Path, tmp_path: Path) -> None:
    output = tmp_path / "store.h5"
    assert run_ranks(videos, output, full={1: "e"}) == [2, 0, 0]
    said = Path(f"{output}.error0").read_text()
    assert os.strerror(errno.EFBIG) in said
    assert said.startswith("output=")
    assert set(FeatureStore(output)) == set(NAMES) - {"e"}


def test_a_signal_to_one_process_ends_all_and_the_same_command_continues(
    videos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "store.h5"
    ended = run_ranks(videos, output, stopped={1: "e"})
    assert ended[1] == 143
    assert all(ended)
    assert said_by_one(output) == "stopped by SIGTERM; the same command continues"
    assert set(FeatureStore(output)) == set(NAMES) - {"e"}
    assert run_ranks(videos, output) == [0, 0, 0]
    assert encoded(output) == NAMES


def test_a_signal_to_the_first_process_ends_those_that_it_started(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    for name in NAMES:
        make_video(f"videos/{name}.mp4", 150)
    extract_all = ["extract", "videos", "store.h5", "--config", "extract/motion.yaml"]
    process = Command(
        *extract_all, "--trainer.accelerator", "cpu", "--trainer.devices", "2", cwd=save_script(tmp_path)
    )
    parts = tmp_path / "store.h5.parts"
    while process.process.is_alive() and not [*parts.glob("*.h5")]:
        time.sleep(0.02)
    number = process.process.pid
    started = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    process.send_signal(signal.SIGTERM)
    done = process.finish()
    assert done.returncode == 143, done.stderr
    assert done.stderr.splitlines()[-1] == "stopped by SIGTERM; the same command continues"
    assert started
    assert not [one for one in started if Path(f"/proc/{one}").exists()]
    kept = {path.name for path in parts.glob("*.h5")}
    assert 1 <= len(kept) < len(NAMES)
    assert run_command(*extract_all, cwd=tmp_path).stderr.count(f"{len(NAMES) - len(kept)} new") == 1
    assert main(["data", "verify", str(tmp_path / "store.h5")]) == 0
    assert {*FeatureStore(tmp_path / "store.h5")} == {*NAMES}


@pytest.mark.parametrize(("frames", "shown"), [(500, "0.25 frames/s, "), (50_000, "25 frames/s, ")])
def test_a_slow_extraction_shows_its_speed_too(frames: int, shown: str) -> None:
    display = Display(1, 1, visible=False)
    (task,) = display._progress.tasks
    assert task.fields["speed"] == ""  # until it is known
    display._began -= 2000  # so that the time of this test does not count
    display.count(frames)
    assert task.fields["speed"] == shown
    display.stop()


@pytest.mark.parametrize("numbers", [{"devices": 0}, {"num_nodes": 0}])
def test_nobody_cannot_work(numbers: dict[str, int]) -> None:
    with pytest.raises(WSVADError, match="Give 1 or more"):
        Processes(**numbers)  # type: ignore[arg-type]
