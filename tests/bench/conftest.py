"""The server that processes are forked from imports what all tests share, not what one comparison needs."""

from multiprocessing.forkserver import ensure_running

import pytest

import tests.processes  # noqa: F401  # which says what that is


@pytest.fixture(scope="session", autouse=True)
def _server() -> None:
    ensure_running()
