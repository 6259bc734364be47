"""A person labels a video by the keyboard, in a browser."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser import LOCAL, Opener, wait_until
from tests.videos import VideoMaker
from wsvad_lightning.data.datasets.footage import find_videos
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.serving.labelling.app import make_app
from wsvad_lightning.serving.labelling.films import Films
from wsvad_lightning.serving.labelling.sheet import Sheet
from wsvad_lightning.serving.service.command import listening, server_of

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def address(tmp_path: Path, make_video: VideoMaker) -> Iterator[str]:
    """A page on two videos and a file that is none, whose table is ``videos.csv``."""
    make_video(f"clips/{HOSTILE}.mp4", 30)
    make_video("clips/yard.mp4", 20)
    (tmp_path / "clips" / "torn.mp4").write_bytes(b"torn")
    found, _ = find_videos(tmp_path / "clips")
    (tmp_path / "films").mkdir()
    films = Films([video.path for video in found], tmp_path / "films")
    server = server_of(make_app(Sheet(tmp_path / "videos.csv", found), films))
    listener = listening("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_a_person_labels_by_the_keyboard(address: str, open_address: Opener, tmp_path: Path) -> None:
    tab = open_address(f"{address}/", f"{LOCAL}|{address}/", "status of 422")
    tab.wait_for_selector("#desk[data-ready]", state="attached")
    assert tab.locator("#name").text_content() == HOSTILE

    def press(*keys: str, until: str) -> None:
        for key in keys:
            tab.keyboard.press(key)
        wait_until(tab, until)

    def at(frame: int) -> str:
        return f"document.getElementById('at').textContent.startsWith('Frame {frame} of')"

    tab.fill("#class", "fall")
    tab.keyboard.press("Enter")
    press("Shift+ArrowRight", until=at(10))
    press("i", "ArrowRight", until=at(11))
    press("o", until="document.querySelectorAll('#marks tr').length === 1")
    press("ArrowRight", until=at(12))
    press("g", until="document.querySelectorAll('#marks tr').length === 2")
    known = read_annotations(tmp_path / "videos.csv")[HOSTILE]
    assert (known.label, known.intervals, known.classes) == (1, ((10, 12),), ("fall",))
    assert (known.glances, known.num_frames) == ((12,), 30)
    press("u", until="document.querySelectorAll('#marks tr').length === 1")
    assert read_annotations(tmp_path / "videos.csv")[HOSTILE].glances == ()
    tab.locator("#marks button").click()
    wait_until(tab, at(10))
    press("Backspace", until="document.querySelectorAll('#marks tr').length === 0")
    press("ArrowDown", until="document.getElementById('name').textContent === 'torn'")
    wait_until(tab, "document.getElementById('state').textContent.includes('torn.mp4')")
    press("i", "o", "a", until="document.getElementById('count').textContent === '2 of 3 labelled'")
    known = read_annotations(tmp_path / "videos.csv")["torn"]
    assert (known.label, known.intervals, known.num_frames) == (1, None, None)  # its frames are not counted
    press("ArrowDown", until="document.getElementById('desk').dataset.ready === ''")
    press("n", until="document.getElementById('count').textContent === '3 of 3 labelled'")
    tab.select_option("#part", "test")
    wait_until(tab, "document.getElementById('state').textContent === 'yard saved.'")
    known = read_annotations(tmp_path / "videos.csv")["yard"]
    assert (known.label, known.num_frames, known.split) == (0, 20, "test")


def test_pages_of_others_and_odd_requests_get_a_line(address: str, tmp_path: Path) -> None:
    assert httpx.get(f"{address}/videos", headers={"Host": "stranger.example"}).status_code == 403
    assert httpx.get(f"{address}/films/7").json() == {"error": "no such video"}
    refused = httpx.put(f"{address}/videos/0", content=json.dumps({"label": "odd"}))
    assert refused.status_code == 422
    assert "must have label" in refused.json()["error"]
    assert httpx.put(f"{address}/videos/0", content=b"{").status_code == 422
    assert not (tmp_path / "videos.csv").exists()
