"""The pages of the service in a browser."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.browser import LOCAL, Opener, wait_until
from tests.serving.service.conftest import Started
from tests.videos import VideoMaker
from wsvad_lightning.alarms import AlarmRule
from wsvad_lightning.serving.record import Record
from wsvad_lightning.serving.service.scorer import Scorer

HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_video_is_sent_and_a_click_on_its_curve_goes_there(
    start: Started, scorer: Scorer, open_address: Opener, make_video: VideoMaker, uploads: Path
) -> None:
    scorer.rule = AlarmRule(0, 0)
    address = start()
    tab = open_address(f"{address}/", f"{LOCAL}|{address}/", "status of 415")
    text = uploads.parent / "notes.txt"
    text.write_text("no video")
    tab.set_input_files("#files", [str(make_video(f"{HOSTILE}.mp4", 40)), str(text)])
    tab.wait_for_selector("article[data-name*=onerror] .curve.js-plotly-plot")
    shown = tab.locator("article[data-name*=onerror]")
    assert shown.locator("h3").text_content() == f"{HOSTILE}.mp4"
    assert shown.locator(".facts").text_content().startswith("4.0 s, 40 frames · highest ")
    area = shown.locator(".curve .nsewdrag").bounding_box()
    tab.mouse.click(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    wait_until(tab, "document.querySelector('video').currentTime > 1.9")
    assert tab.evaluate("document.querySelector('video').currentTime") == pytest.approx(2.05, abs=0.11)
    assert shown.locator(".curve").get_attribute("aria-valuetext").endswith("· alarm")
    shown.locator("button.jump").click()
    wait_until(tab, "document.querySelector('video').currentTime < 0.2")
    refused = "document.querySelector('article[data-name^=notes] .facts').textContent"
    wait_until(tab, f"{refused} === 'cannot be decoded (Invalid data found when processing input)'")
    assert list(uploads.iterdir()) == []


def test_running_cameras_are_shown_with_the_pictures_of_their_alarms(
    start: Started, open_address: Opener, tmp_path: Path
) -> None:
    record = Record(tmp_path / "watch")
    record.write("start", "", alarm=0.5)
    for t in range(5):
        record.write("score", HOSTILE, seconds=t / 2, score=0.2 * t)
    picture = np.zeros((48, 64, 3), np.uint8)
    record.alarm(HOSTILE, picture, [picture] * 6, start=1.5, end=2.5, score=0.8)
    address = start(tmp_path / "watch")
    tab = open_address(f"{address}/cameras", f"{LOCAL}|{address}/")
    tab.wait_for_selector("#cameras .recent.js-plotly-plot")
    tab.wait_for_selector("#cameras img[src^=blob]")
    shown = tab.locator("#cameras article")
    assert shown.locator("h3").text_content() == HOSTILE
    assert shown.locator(".facts").text_content() == "running · score 0.800 at 2.0 s · 1 alarm · 0 gaps"
    assert shown.locator("figcaption").text_content() == "1.5 s to 2.5 s, 0.800"
    shown.locator("img").click()
    wait_until(tab, "document.querySelector('#cameras video')?.duration > 1")
    tab.emulate_media(color_scheme="dark")  # figures of the page are drawn again, those of cameras are not
    record.write("score", "yard", seconds=0.0, score=0.25)
    record.close()
    wait_until(tab, "document.querySelectorAll('#cameras article').length === 2")
    assert json.loads(tab.evaluate("JSON.stringify(data.videos)")) == []
