"""Writers that are killed, for real, lose the video in hand and nothing else."""

import itertools
import random
import shutil
import signal
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from tests.data.store.store_cases import (
    CHANGED,
    OTHER,
    assert_whole,
    change,
    change_until,
    make_streams,
    write_missing,
    write_store,
    write_until,
)
from tests.processes import SERVER
from wsvad_lightning.data.store import FeatureStore

NUMBERS = range(40)
State = frozenset[tuple[str, bytes | None]]  # kinds and contents of files, None for a folder


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Checksum of the store that nobody interrupted."""
    return FeatureStore(write_store(tmp_path_factory.mktemp("whole") / "store.h5", NUMBERS)).checksum()


def start_writer(path: Path, numbers: list[int], journal: Path) -> BaseProcess:
    process = SERVER.Process(target=write_missing, args=(path, numbers, journal))
    process.start()
    return process


def read_journal(journal: Path) -> list[str]:
    """Names of the videos that a writer has written: it notes each when ``add`` has returned."""
    return journal.read_text().split() if journal.exists() else []


def wait_for(process: BaseProcess, journal: Path, count: int) -> None:
    while len(read_journal(journal)) < count and process.is_alive():
        time.sleep(0.002)


def kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def test_a_writer_killed_again_and_again_loses_nothing(tmp_path: Path, expected: str) -> None:
    path, chance, written = tmp_path / "store.h5", random.Random(0), set[str]()
    for attempt in range(16):
        journal = tmp_path / f"journal{attempt}"
        process = start_writer(path, list(NUMBERS), journal)
        joining = attempt >= 10  # the first ten are killed while they write, the others while they join
        wait_for(process, journal, len(NUMBERS) if joining else 3 * attempt + 1)
        time.sleep(0.004 * (attempt - 10) if joining else chance.uniform(0, 0.01))
        kill(process)
        assert joining or process.exitcode == -signal.SIGKILL
        written |= set(read_journal(journal))
        store = FeatureStore(path)
        assert written <= set(store)
        assert_whole(store)
    write_missing(path, NUMBERS)
    assert FeatureStore(path).checksum() == expected
    assert [file.name for file in tmp_path.iterdir() if "store" in file.name] == ["store.h5"]


def test_a_kill_before_any_change_of_a_file_loses_nothing(tmp_path: Path) -> None:
    """Two videos are added to a store of one, and the writer is killed at its first step, its second, …"""
    whole = FeatureStore(write_store(tmp_path / "whole.h5", [0, 1, 2])).checksum()
    start, verified = write_store(tmp_path / "start.h5", [0]), set[State]()
    for step in itertools.count():
        path, journal = tmp_path / f"step{step}" / "store.h5", tmp_path / f"journal{step}"
        path.parent.mkdir()
        shutil.copy(start, path)
        process = SERVER.Process(target=write_until, args=(path, [0, 1, 2], journal, step))
        process.start()
        process.join()
        assert {"video00", *read_journal(journal)} <= set(FeatureStore(path))
        if (left := state_of(path.parent)) not in verified:
            assert_whole(FeatureStore(path))
            write_missing(path, [0, 1, 2])
            assert FeatureStore(path).checksum() == whole
            assert [file.name for file in path.parent.iterdir()] == ["store.h5"]
            verified.add(left)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert step > 15


def test_a_kill_before_any_change_of_a_file_leaves_videos_as_they_were_or_will_be(tmp_path: Path) -> None:
    """A video is annotated anew, one replaced and one removed; each step may be the last."""
    start = write_store(tmp_path / "start.h5", [0, 1, 2])
    change(Path(shutil.copy(start, tmp_path / "end.h5")))
    end = FeatureStore(tmp_path / "end.h5")
    assert list(end) == ["video00", "video01"]
    assert end["video00"].annotation == replace(CHANGED, num_frames=16)
    np.testing.assert_array_equal(end.read("video01"), make_streams(OTHER)["features"])
    before, after, verified = contents(start), contents(tmp_path / "end.h5"), set[State]()
    for step in itertools.count():
        path = tmp_path / f"step{step}" / "store.h5"
        path.parent.mkdir()
        shutil.copy(start, path)
        process = SERVER.Process(target=change_until, args=(path, step))
        process.start()
        process.join()
        if (left := state_of(path.parent)) not in verified:
            found = contents(path)
            for name, content in found.items():
                assert content in [known[name] for known in (before, after) if name in known]
            assert "video02" in found or found["video01"] == after["video01"]
            change(path)
            assert contents(path) == after
            assert [file.name for file in path.parent.iterdir()] == ["store.h5"]
            verified.add(left)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert step > 15


def state_of(folder: Path) -> State:
    """What a killed writer left: two steps between which no file changed leave the same."""
    return frozenset(
        (path.suffix, path.read_bytes() if path.is_file() else None) for path in folder.rglob("*")
    )


def contents(path: Path) -> dict[str, tuple[object, ...]]:
    """What is known of each video of a store, and its features."""
    store = FeatureStore(path)
    return {
        name: (
            record.annotation,
            record.num_snippets,
            record.fps,
            {stream: store.read(name, stream).tobytes() for stream in record.streams},
        )
        for name, record in ((name, store[name]) for name in store)
    }


def test_writers_at_work_together(tmp_path: Path, expected: str) -> None:
    """Three write overlapping parts of one store, each in its own order, and a fourth is killed."""
    path, chance = tmp_path / "store.h5", random.Random(0)
    orders = [chance.sample(NUMBERS, k=count) for count in (20, 30, 40, 40)]
    journals = [tmp_path / f"journal{index}" for index in range(4)]
    *writers, victim = [start_writer(path, *given) for given in zip(orders, journals, strict=True)]
    wait_for(victim, journals[-1], 3)
    kill(victim)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    write_missing(path, NUMBERS)  # joins the parts where the one that was killed would have been the last
    store = FeatureStore(path)
    assert_whole(store)
    assert store.checksum() == expected
    assert [file.name for file in tmp_path.iterdir() if "store" in file.name] == ["store.h5"]
