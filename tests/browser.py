"""A Chromium of the machine, for pages; tests that need it are skipped where there is none."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
LOCAL = r"file:|data:|blob:"

Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on the path to open pages with")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_address(browser: Any) -> Iterator[Opener]:
    """Opens a page, and fails if it reports an error, or asks for other addresses than those of a pattern."""
    pages: list[Any] = []
    wrong: list[str] = []

    def opened(address: str, asks: str = LOCAL, says: str = "$^", **settings: Any) -> Any:
        page = browser.new_page(viewport={"width": 1200, "height": 900}, **settings)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda line: wrong.extend(
                [line.text] if line.type in ("error", "warning") and not re.search(says, line.text) else []
            ),
        )
        page.on("request", lambda one: wrong.extend([] if re.match(asks, one.url) else [one.url]))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.set_default_timeout(120_000)  # of a machine that does much else
        pages.append(page)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for page in pages:
        page.close()
    assert not wrong, wrong


def wait_until(tab: Any, condition: str) -> None:
    """Playwright's own waiting evaluates text in the page, which the page's policy forbids."""
    for _ in range(1200):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(100)
    raise AssertionError(condition)
