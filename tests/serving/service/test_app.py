"""Requests to the service: what is answered, what is refused, and that nothing stays."""

import asyncio
import io
import json
import re
import socket
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.serving.service.conftest import Started
from tests.videos import VideoMaker
from wsvad_lightning import Detector
from wsvad_lightning.alarms import AlarmRule
from wsvad_lightning.serving.service.app import Limits, make_app
from wsvad_lightning.serving.service.scorer import MOST_SNIPPETS, Scorer

HERE = "http://127.0.0.1"
SHAPE = (6, 2, 10)  # snippets of the small model


def npy(values: Any) -> bytes:
    held = io.BytesIO()
    np.save(held, values)
    return held.getvalue()


def features(seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).random(SHAPE)


@pytest.fixture
def client(scorer: Scorer) -> TestClient:
    return TestClient(make_app(scorer, Limits(megabytes=1)), HERE)


def test_a_video_is_scored_as_from_python_and_deleted(
    client: TestClient, scorer: Scorer, trained: Path, make_video: VideoMaker, uploads: Path
) -> None:
    video = make_video("gate.mp4", 26)
    scorer.rule = AlarmRule(0, 0)
    answered = client.post("/score", content=video.read_bytes())
    assert answered.status_code == 200
    answer, expected = answered.json(), Detector.from_checkpoint(trained).score_video(video)
    scores = [snippet["score"] for snippet in answer["snippets"]]
    assert scores == pytest.approx(expected.scores.tolist(), abs=1e-6)
    spans = [(row["start_frame"], row["end_frame"]) for row in answer["snippets"]]
    assert spans == [(4 * t, min(4 * t + 4, 26)) for t in range(7)]
    assert [row["start_seconds"] for row in answer["snippets"]] == pytest.approx([0.4 * t for t in range(7)])
    (alarm,) = answer["alarms"]
    assert (alarm["start_frame"], alarm["end_frame"], alarm["end_seconds"]) == (0, 26, 2.6)
    assert (answer["kind"], answer["num_frames"], answer["seconds"]) == ("video", 26, 2.6)
    assert (answer["calibrated"], answer["threshold"], answer["events"]) == (False, 0, [])
    assert answer["notes"] == ["whether it is like the training videos is not known"]
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert list(uploads.iterdir()) == []


def test_features_are_scored(client: TestClient, trained: Path) -> None:
    expected = Detector.from_checkpoint(trained).score_features(features())
    archive = io.BytesIO()
    np.savez(archive, features=features())
    for body in (npy(features()), archive.getvalue()):
        answer = client.post("/score", content=body).json()
        scores = [snippet["score"] for snippet in answer["snippets"]]
        assert scores == pytest.approx(expected.scores.tolist(), abs=1e-6)
        assert (answer["kind"], answer["num_frames"], answer["seconds"]) == ("features", 24, 2.4)
    assert client.post("/score?fps=5", content=npy(features())).json()["seconds"] == 4.8


def bomb() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", npy(np.zeros((2, 10**6))))
    return held.getvalue()


FORM = {"content-type": "multipart/form-data; boundary=x"}
REFUSALS: dict[str, tuple[Any, dict[str, Any], int, str]] = {  # body, more, status, what the answer says
    "no video": (b"text", {}, 415, "cannot be decoded"),
    "a list of files": (b"#EXTM3U\n/etc/passwd\n", {}, 415, "is a list of other files"),
    "nothing": (b"", {}, 415, "the body is empty"),
    "a form": (b"--x--", {"headers": FORM}, 415, "forms are not taken: send the file itself"),
    "too large": (bytes(10**6 + 1), {}, 413, "more than 1 MB"),
    "no length, too large": (iter([bytes(600_000)] * 2), {}, 413, "more than 1 MB"),
    "objects": (npy(np.array([{}])), {}, 415, "cannot be read"),
    "an archive that unpacks": (bomb(), {}, 413, "unpacks to more than 1 MB"),
    "a damaged archive": (b"PK\x03\x04text", {}, 415, "cannot be read"),
    "two axes": (npy(np.zeros((3, 10))), {}, 422, "features must be [T, N, D]"),
    "other channels": (npy(np.zeros((3, 2, 5))), {}, 422, "channels"),
    "long": (npy(np.zeros((MOST_SNIPPETS + 1, 1, 1), np.int8)), {}, 413, "more than 20,000 snippets"),
    "no rate": (npy(features()), {"params": {"fps": "-1"}}, 422, "fps: Input should be greater than 0"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_no_video_is_refused_in_a_line(case: str, client: TestClient, uploads: Path) -> None:
    body, more, status, problem = REFUSALS[case]
    answered = client.post("/score", content=body, **more)
    assert answered.status_code == status
    assert problem in answered.json()["error"]
    assert len(answered.text.splitlines()) == 1
    assert str(uploads) not in answered.text
    assert list(uploads.iterdir()) == []


def test_frames_that_are_too_large_are_refused_before_one_is_decoded(
    client: TestClient, make_video: VideoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsvad_lightning.serving.service.scorer.MOST_PIXELS", 64 * 48 - 1)
    answered = client.post("/score", content=make_video("gate.mp4", 3).read_bytes())
    assert (answered.status_code, answered.json()["error"][:20]) == (413, "frames of 64 x 48 ar")


def test_a_model_without_a_recipe_takes_features_alone(scorer: Scorer, make_video: VideoMaker) -> None:
    alone = Scorer(scorer._detector, None, 10**6)
    client = TestClient(make_app(alone, Limits()), HERE)
    assert client.post("/score", content=make_video("gate.mp4", 3).read_bytes()).status_code == 415
    answer = client.post("/score", content=npy(features())).json()
    assert (answer["alarms"], answer["seconds"]) == (None, None)
    assert "the frame rate is not known" in answer["notes"][-1]
    assert client.post("/score?fps=25", content=npy(features())).json()["alarms"] is not None


def test_a_token_is_required_where_there_is_one(scorer: Scorer) -> None:
    client = TestClient(make_app(scorer, Limits(), token="süß"), "http://gate")
    for path in ("/score", "/metrics"):
        for given in (b"", "Bearer sueß".encode(), b"Basic x"):
            headers = {b"Authorization": given}
            answered = client.request("POST" if path == "/score" else "GET", path, headers=headers)
            assert (answered.status_code, answered.headers["www-authenticate"]) == (401, "Bearer")
    right = {b"Authorization": "Bearer süß".encode()}
    assert client.post("/score", content=npy(features()), headers=right).status_code == 200
    assert client.get("/health").json() == {"status": "ok"}
    page = client.get("/").text
    assert 'type="password" id="token"' in page
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_without_a_token_only_addresses_of_this_machine_are_answered(scorer: Scorer) -> None:
    app = make_app(scorer, Limits())
    for host, status in (("rebound.example", 403), ("localhost:8000", 200), ("[::1]:8000", 200)):
        assert TestClient(app, f"http://{host}").get("/metrics").status_code == status
    assert TestClient(app, HERE).get("/nowhere").json() == {"error": "Not Found"}


def test_what_is_not_scored_in_time_is_given_up(
    scorer: Scorer, make_video: VideoMaker, uploads: Path
) -> None:
    client = TestClient(make_app(scorer, Limits(seconds=1e-3)), HERE)
    answered = client.post("/score", content=make_video("gate.mp4", 200).read_bytes())
    assert answered.status_code in (408, 503)
    assert list(uploads.iterdir()) == []


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_slow_and_broken_uploads_leave_nothing(start: Started, uploads: Path) -> None:
    address = start(seconds=0.3)
    host, port = address.removeprefix("http://").split(":")
    head = b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n" + bytes(100)
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(head)
        assert b"408" in slow.recv(1000)
    broken = socket.create_connection((host, int(port)))
    broken.sendall(head)
    wait_for(lambda: list(uploads.iterdir()))
    broken.close()
    wait_for(lambda: not list(uploads.iterdir()))
    assert httpx.get(f"{address}/health").status_code == 200
    assert 'status="499"} 1.0' in httpx.get(f"{address}/metrics").text


def test_what_nobody_waits_for_is_given_up(start: Started, make_video: VideoMaker, uploads: Path) -> None:
    address, body = start(), make_video("long.mp4", 600).read_bytes()
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as client:
        client.sendall(
            b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        wait_for(
            lambda: f"wsvad_upload_bytes_total {float(len(body))!r}" in httpx.get(f"{address}/metrics").text
        )
    wait_for(lambda: 'status="499"} 1.0' in httpx.get(f"{address}/metrics").text)
    assert list(uploads.iterdir()) == []


async def posted(address: str, body: bytes) -> tuple[int, str, bytes]:
    """Post on a connection of its own, and give status, headers and body of the answer."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /score HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    headers, _, rest = answer.partition(b"\r\n\r\n")
    return int(headers.split()[1]), headers.decode().lower(), rest


def test_of_200_requests_at_once_none_is_lost(start: Started, uploads: Path) -> None:
    address, statuses = start(waiting=60), Counter[int]()
    bodies = [npy(features(i % 4)) for i in range(200)]
    before = memory_of(address)

    async def one(body: bytes) -> float:
        while True:
            status, headers, answer = await posted(address, body)
            statuses[status] += 1
            if status == 200:
                return float(json.loads(answer)["snippets"][0]["score"])
            assert "retry-after: 1" in headers
            await asyncio.sleep(0.3)

    async def everything() -> list[float]:
        return await asyncio.gather(*map(one, bodies))

    scores = asyncio.run(everything())
    assert scores == scores[:4] * 50
    assert statuses.keys() == {200, 429}
    assert statuses[200] == 200
    assert memory_of(address) - before < 100e6
    metrics = httpx.get(f"{address}/metrics").text
    assert 'wsvad_requests_total{path="/score",status="200"} 200.0' in metrics
    assert "wsvad_requests_inside 0.0" in metrics
    assert list(uploads.iterdir()) == []


def memory_of(address: str) -> float:
    found = re.search(
        r"^process_resident_memory_bytes (\S+)", httpx.get(f"{address}/metrics").text, re.MULTILINE
    )
    assert found
    return float(found[1])
