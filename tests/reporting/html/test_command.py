"""``wsvad report``, and its page in a browser."""

import json
import re
from pathlib import Path

import pytest

from tests.browser import Opener, wait_until
from tests.reporting.html.runs import HOSTILE, make_run
from tests.videos import VideoMaker
from wsvad_lightning.cli import main
from wsvad_lightning.files import write_json


@pytest.fixture
def open_page(open_address: Opener) -> Opener:
    """Opens a file."""
    return lambda path, **settings: open_address(path.as_uri(), **settings)


@pytest.fixture
def page(tmp_path: Path, make_video: VideoMaker) -> Path:
    """The report of a run of which one video is at hand."""
    video = make_video("clips/riot.mp4", num_frames=40)
    run = make_run(tmp_path / "run")
    assert main(["report", str(run), "-o", str(tmp_path / "a.html"), "--videos", str(video.parent)]) == 0
    return tmp_path / "a.html"


def test_a_click_goes_there_and_the_video_moves_the_cursor(page: Path, open_page: Opener) -> None:
    tab = open_page(page)
    own = "article[data-name=riot] .curve"
    curve = tab.locator(own)
    curve.scroll_into_view_if_needed()
    tab.wait_for_selector(f"{own}.js-plotly-plot")
    area = curve.locator(".nsewdrag").bounding_box()
    tab.mouse.click(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    wait_until(tab, "document.querySelector('video').currentTime > 1.9")
    assert tab.evaluate("document.querySelector('video').currentTime") == pytest.approx(2.05, abs=0.11)
    assert curve.get_attribute("aria-valuenow") in ("19", "20")
    curve.press("Home")
    wait_until(tab, "document.querySelector('video').currentTime < 0.1")
    curve.press("ArrowRight")
    tab.wait_for_selector(f"{own}[aria-valuetext='0.40 s · frame 4 · score 0.150']")
    curve.press("Enter")  # the highest score
    tab.wait_for_selector(f"{own}[aria-valuetext$='score 0.850 · riot']")
    tab.evaluate("document.querySelector('video').currentTime = 3.35")
    tab.wait_for_selector(f"{own}[aria-valuenow='33']")
    moved = tab.locator("article[data-name=riot] .cursor").bounding_box()["x"]
    assert moved == pytest.approx(area["x"] + area["width"] * 33.5 / 40, abs=2)


def test_failures_lead_to_their_curves_and_videos_are_found(page: Path, open_page: Opener) -> None:
    tab = open_page(page, color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    names = [article.get_attribute("data-name") for article in tab.locator("article").all()]
    assert names[-1] == "still"  # worst first
    link = tab.locator("#failures a[data-video='0'][data-frame='20']")
    assert link.text_content() == HOSTILE
    link.click()
    hostile = tab.locator("article").filter(has_text=HOSTILE).locator(".curve")
    assert hostile.get_attribute("aria-valuenow") == "20"
    assert tab.evaluate("document.activeElement.dataset.video") == hostile.get_attribute("data-video")
    tab.fill("#find", "calm")
    assert tab.locator("#shown").text_content() == "1 of 4"
    tab.fill("#find", "")
    tab.select_option("#order", "name")
    assert tab.locator("article").nth(1).get_attribute("data-name") == "calm"
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator(".plot.js-plotly-plot").count() == tab.locator(".plot").count() == 8
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()"
    assert tab.evaluate(ink) == "#ffffff"


def test_costs_that_are_nearly_equal_have_an_axis(tmp_path: Path, open_page: Opener) -> None:
    costs = {"rtfm": 23.0, "urdmu": 23.1, "s3r": 23.05}
    names = {"store": "ped2", "selection": "last", "split": 0, "seed": 0}
    results = [{**names, "method": m, "metrics": {"auc": 0.9}, "seconds": cost} for m, cost in costs.items()]
    write_json(results, tmp_path / "results.json")
    assert main(["report", str(tmp_path)]) == 0
    tab = open_page(tmp_path / "report.html")
    figure = tab.locator("[data-figure=cost]")
    figure.scroll_into_view_if_needed()
    figure.locator(".xtick").nth(1).wait_for()
    assert figure.locator(".xtick").all_text_contents() == ["20", "30"]
    names = figure.locator(".textpoint").all_text_contents()
    assert [name for name in names if name] == ["rtfm", "urdmu"]  # above and below; a third would cover one
    tab.set_viewport_size({"width": 688, "height": 900})  # a page of A4 without its margins
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    both = "[plot.querySelector('svg'), plot.parentElement].map((one) => one.getBoundingClientRect().width)"
    widths = tab.evaluate(f"[...document.querySelectorAll('.plot')].map((plot) => {both})")
    assert len(widths) == 2
    assert all(picture <= column for picture, column in widths), widths


def test_the_page_says_what_was_measured_and_escapes_what_it_is_given(page: Path) -> None:
    text = page.read_text("utf-8")
    for words in (
        "URDMU on mine, split 2 of s.json",
        "4 videos (2 abnormal, 2 normal)",
        "50.0 \N{EN DASH} 90.0",
        "seed 3",
    ):
        assert words in text
    assert "&lt;i&gt;no reason&lt;/i&gt;" in text
    assert "<img" not in text
    assert "<b>fall" not in text
    assert len(re.findall("</script>", text)) == 3  # data, plotly and the page's own
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert HOSTILE in [video["name"] for video in data["videos"]]
    assert 'src="clips/riot.mp4"' in text


def test_mistakes_are_one_line_and_leave_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, nothing = make_run(tmp_path / "run"), tmp_path / "nothing"
    nothing.mkdir()
    for args, problem in (
        ([nothing], "has no scores.csv and no videos.csv"),
        ([tmp_path / "nowhere"], "no such folder"),
        ([run, "-o", tmp_path / "a.pdf"], "is not an HTML file"),
        ([run, "--videos", nothing], "nothing"),
    ):
        assert main(["report", *map(str, args)]) == 2
        error = capsys.readouterr().err
        assert problem in error
        assert error.splitlines()[-1].startswith("error: ")
    assert not [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.pdf")]
