"""The script that puts load on wsvad, in small."""

import random
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from wsvad_lightning.data.store.remove import remove
from wsvad_lightning.video.reader import VideoReader

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = spec_from_file_location("load", ROOT / "scripts" / "load.py")
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules["load"] = module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


def test_commands_run_on_a_store(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.videos(count=10, steps=1) == 0
    shown = capsys.readouterr().out
    assert "A store of 10 videos" in shown
    assert "`test`, 2 videos" in shown


def test_kills_lose_nothing(script: Any, tmp_path: Path) -> None:
    working, rounds, problems = script.kill(script.extraction(tmp_path, 2), tmp_path, 2, random.Random(0))
    assert (working <= 2, rounds >= 1, problems) == (True, True, [])


def test_what_is_lost_or_damaged_is_found(script: Any, tmp_path: Path) -> None:
    victim, place = script.extraction(tmp_path, 2), tmp_path / "round"
    place.mkdir()
    assert script.apart(lambda: victim.run(place)).status == 0
    done, result = script.finished(place), victim.result(place)
    assert (sorted(done), victim.find_lost(place, done)) == (["00", "01"], [])
    remove(str(place / "store.h5"), ["00"])
    assert victim.find_lost(place, done) == ["00 is lost"]
    assert victim.result(place) != result
    content = (place / "store.h5").read_bytes()
    (place / "store.h5").write_bytes(content[:-16] + bytes(16))
    assert victim.find_lost(place, done) != ["00 is lost"]


def test_a_long_video_is_a_short_one_repeated(script: Any, tmp_path: Path) -> None:
    script.lengthen(script.film(tmp_path / "short.mp4", 15), tmp_path / "long.mp4", 4)
    reader = VideoReader(tmp_path / "long.mp4")
    frames = list(reader)
    assert (len(frames), reader.fps, reader.notes) == (60, 10, ())
    assert all((frames[t] == frames[t - 15]).all() for t in range(15, 60))


def test_memory_and_status_are_of_the_process(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    small, large = script.apart(lambda: 0), script.apart(lambda: len(b"x" * 300_000_000) > 0)
    assert (small.status, large.status) == (0, 1)
    assert large.memory - small.memory > 250_000_000
    assert script.show("both", [("small", small), ("large", large)]) == 1
    assert "large" in capsys.readouterr().out
