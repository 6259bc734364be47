"""A service in a thread of the tests, with a small model."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wsvad_lightning import Detector
from wsvad_lightning.serving.service.app import Limits, make_app
from wsvad_lightning.serving.service.cameras import Cameras
from wsvad_lightning.serving.service.command import listening, server_of
from wsvad_lightning.serving.service.scorer import Scorer

Started = Callable[..., str]


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that uploads are written to."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def scorer(trained: Path, uploads: Path) -> Scorer:
    detector = Detector.from_checkpoint(trained)
    return Scorer(detector, detector.extractor(), 10**6)


@pytest.fixture
def start(scorer: Scorer) -> Iterator[Started]:
    """Starts a service, and gives its address."""
    running: list[tuple[Any, threading.Thread]] = []

    def started(watched: Path | None = None, **limits: Any) -> str:
        cameras = None if watched is None else Cameras(watched)
        server = server_of(make_app(scorer, Limits(**limits), cameras=cameras))
        listener = listening("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield started
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
