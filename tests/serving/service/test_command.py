"""`wsvad serve` as a process: its start, its end, and what stops it from starting."""

import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from tests.processes import Command, free_port
from tests.serving.service.test_app import wait_for
from tests.videos import VideoMaker
from wsvad_lightning.cli import main


def answers(address: str, path: str) -> str:
    try:
        return httpx.get(f"{address}{path}").text
    except httpx.TransportError:
        return ""


def test_sigterm_lets_the_running_request_be_answered(trained: Path, make_video: VideoMaker) -> None:
    port, body = free_port(), make_video("long.mp4", 400).read_bytes()
    address, statuses = f"http://127.0.0.1:{port}", list[int]()
    running = Command("serve", "--ckpt_path", str(trained), "--port", str(port))
    wait_for(lambda: answers(address, "/health"))
    post = threading.Thread(
        target=lambda: statuses.append(httpx.post(f"{address}/score", content=body, timeout=60).status_code)
    )
    post.start()
    wait_for(lambda: f"wsvad_upload_bytes_total {float(len(body))!r}" in answers(address, "/metrics"))
    running.send_signal(signal.SIGTERM)
    post.join()
    done = running.finish()
    assert statuses == [200]
    assert done.returncode == 143
    assert done.stderr.splitlines() == [f"serving at {address}", "stopped by SIGTERM"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--host", "0.0.0.0"], "WSVAD_TOKEN is required to listen at 0.0.0.0"),
        (["--port", "{port}"], "cannot be listened at on 127.0.0.1: address already in use"),
        (["--port", "70000"], "--port='70000': must be in 0 to 65535"),
        (["--host", "no.such.host.invalid"], "WSVAD_TOKEN is required to listen at no.such.host.invalid"),
        (["--timeout", "0"], "--timeout='0.0': must be more than 0"),
        (["--most_megabytes", "0"], "--most_megabytes='0': must be more than 0"),
        (["--watch", "nowhere"], "--watch='nowhere': no such folder"),
        (["--ckpt_path", "nowhere.ckpt"], "error: --ckpt_path='nowhere.ckpt': no such file"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    problem: str,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WSVAD_TOKEN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [argument.format(port=taken.getsockname()[1]) for argument in arguments]
        assert main(["serve", "--ckpt_path", str(trained), *given]) == 2
    shown = capsys.readouterr().err
    assert problem in shown
    assert len(shown.splitlines()) == 1
