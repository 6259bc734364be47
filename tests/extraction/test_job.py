"""Several processes extract into one store: every video once, whoever dies on the way."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.extraction import ranks
from tests.processes import SERVER, free_port
from tests.videos import VideoMaker
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.extraction.job import Processes

WORLD = 3
NAMES = ["a", "b", "c", "d", "e"]  # rank 0 has a and d, rank 1 has b and e, rank 2 has c


@pytest.fixture
def videos(make_video: VideoMaker) -> Path:
    for i, name in enumerate(NAMES):
        make_video(f"videos/{name}.mp4", 5 + i)
    return make_video("videos/a.mp4", 5).parent


def run_ranks(videos: Path, output: Path, **options: Any) -> list[int | None]:
    """Run all ranks to their end and give their exit codes; one that is to die has an argument of its own."""
    dying, full, port = options.pop("dying", {}), options.pop("full", {}), free_port()
    started = []
    for rank in range(WORLD):
        given = {**options, "dies_at": dying.get(rank, ""), "full_at": full.get(rank, "")}
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


def test_killed_processes_are_started_again_and_the_store_is_that_of_one_process(
    videos: Path, tmp_path: Path
) -> None:
    output, alone = tmp_path / "store.h5", tmp_path / "alone.h5"
    first = run_ranks(videos, output, dying={1: "e"})
    assert first[1] == -signal.SIGKILL
    assert first[0] == first[2] == 2
    assert "another one has died" in Path(f"{output}.error0").read_text()
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


@pytest.mark.parametrize("numbers", [{"devices": 0}, {"num_nodes": 0}])
def test_nobody_cannot_work(numbers: dict[str, int]) -> None:
    with pytest.raises(WSVADError, match="Give 1 or more"):
        Processes(**numbers)  # type: ignore[arg-type]
