"""Files, folders and cameras are scored as they run; what goes wrong is written down, and stops nothing."""

import gc
import io
import json
import signal
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.processes import Command
from tests.videos import VideoMaker
from wsvad_lightning import Detector
from wsvad_lightning.alarms import AlarmRule
from wsvad_lightning.calibration import KEY, Calibration, as_entry
from wsvad_lightning.checkpoint import CHECKSUMS_KEY, read_checkpoint
from wsvad_lightning.cli import main
from wsvad_lightning.files import write_tensors
from wsvad_lightning.reporting.maps import read_maps, same_everywhere, strongest_region
from wsvad_lightning.serving import sources
from wsvad_lightning.serving.extractor import Extractor
from wsvad_lightning.serving.record import Record
from wsvad_lightning.serving.sources import Begin, End, Note, Shown, Source
from wsvad_lightning.serving.watch import Watcher
from wsvad_lightning.serving.watched import Kit, Watched

FRAMES = 24  # of a connection: fewer than wait, so that none is left out


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "watch.jsonl"
    written = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in written]


def of_kind(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if line["kind"] == kind]


def test_a_file_gets_the_scores_of_its_features(
    trained: Path, make_video: VideoMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video("gate.mp4", 26)
    recipe = trained.parents[3] / "recipe.yaml"
    assert main(["extract", str(video), str(tmp_path / "gate.h5"), "--config", str(recipe)]) == 0
    (whole,) = Detector.from_checkpoint(trained).score_store(tmp_path / "gate.h5").values()
    capsys.readouterr()
    assert main(["watch", str(video), "--ckpt_path", str(trained), "--alarm", "0"]) == 0
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    start, *scores, alarm, end = written
    assert start["exact"]
    assert [line["score"] for line in scores] == pytest.approx(whole.scores.tolist(), abs=1e-4)
    assert [(line["frame"], line["seconds"]) for line in scores] == [(4 * t, 4 * t / 10) for t in range(7)]
    assert (alarm["kind"], alarm["start"], alarm["end"]) == ("alarm", 0.0, 2.6)
    assert (end["kind"], end["frames"], end["snippets"], end["alarms"]) == ("end", 26, 7, 1)


def test_lines_of_an_alarm_say_where_as_predict_does(
    trained: Path, make_video: VideoMaker, tmp_path: Path
) -> None:
    video, folder = make_video("gate.mp4", 26, width=66, height=50), tmp_path / "out"
    where = ["--ckpt_path", str(trained), "--output"]
    assert main(["watch", str(video), *where, str(folder), "--alarm", "0"]) == 0
    assert main(["predict", "--videos", str(video), *where, str(tmp_path), "--name", "whole"]) == 0
    (path,) = (tmp_path / "whole").glob("version_0/maps.h5")
    maps = read_maps(path, "gate")
    runs = [[(0, 1, values)] for values in maps]
    regions = [list(strongest_region(run, 0, 1, (66, 50))) for run in runs]
    flat = [same_everywhere([torch.from_numpy(values)]) for values in maps]
    found = of_kind(folder, "score")
    before = np.maximum.accumulate([-1.0, *(line["score"] for line in found[:-1])])
    for line, highest, own, says_nothing in zip(found, before, regions, flat, strict=True):
        if line["score"] != highest:  # written are four digits, which hide who is higher
            expected = None if says_nothing or line["score"] < highest else own
            assert line.get("region") == expected
    assert [33, 0, 33, 50] in [line.get("region") for line in found]
    highest = max(found, key=lambda line: line["score"])
    (alarm,) = of_kind(folder, "alarm")
    assert alarm.get("region") == highest.get("region")
    calm = ["--alarm", str(highest["score"] + 0.01)]
    assert main(["watch", str(video), *where, str(tmp_path / "calm"), *calm]) == 0
    assert not [line for line in lines(tmp_path / "calm") if "region" in line]


def changed(checkpoint: Path, path: Path, **entries: object) -> Path:
    """Write a checkpoint with other entries, without those that are None."""
    read = {**read_checkpoint(checkpoint), **entries}
    write_tensors({name: value for name, value in read.items() if value is not None}, path)
    return path


def test_the_calibrated_rule_is_used(trained: Path, make_video: VideoMaker, tmp_path: Path) -> None:
    numbers = {"promised": 1.0, "videos": 1, "hours": 10.0, "alarms": 0}
    rule = Calibration(0.01, 0.0, 0.0, 0.0, **numbers, levels=[0.0, 1.0], shares=[0.0, 1.0])  # type: ignore[arg-type]  # numbers
    entries = {KEY: as_entry(rule), CHECKSUMS_KEY: None}
    checkpoint = changed(trained, tmp_path / "calibrated.ckpt", **entries)
    where = ["--ckpt_path", str(checkpoint), "--output", str(tmp_path / "out")]
    assert main(["watch", str(make_video("gate.mp4", 9)), *where]) == 0
    start, *scores, alarm, _ = lines(tmp_path / "out")
    assert start["alarm"] == 0.01
    assert [line["calibrated"] for line in scores] == [line["score"] for line in scores]
    assert (alarm["start"], alarm["end"]) == (0.0, 0.9)


def test_a_promise_holds_on_the_videos_it_was_found_on_where_windows_are_scored(
    trained: Path, make_video: VideoMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "1"]
    where = ["--data.store", str(trained.parents[3] / "train.h5"), "--output", str(tmp_path), "--name", "m"]
    assert main(["fit", "--config", "ucf_urdmu.yaml", *small, *where]) == 0
    checkpoint = str(tmp_path / "m" / "version_0" / "checkpoints" / "last.ckpt")
    normal = [str(make_video(f"normal/{frames}.mp4", frames)) for frames in (9, 22, 30)]
    store, recipe = str(tmp_path / "normal.h5"), str(trained.parents[3] / "recipe.yaml")
    assert main(["extract", str(tmp_path / "normal"), store, "--config", recipe]) == 0
    rule = ["--false_alarms_per_hour", "4000", "--pause", "0", "--window", "3"]  # two alarms in six seconds
    assert main(["calibrate", "--ckpt_path", checkpoint, "--data.store", store, *rule]) == 0
    model = Detector.from_checkpoint(checkpoint).model
    assert model.calibration is not None
    assert (found := model.streamed_calibration) is not None
    assert (found.window, found.look_ahead, found.videos) == (3, 0, 3)
    assert found.threshold != model.calibration.threshold
    watched = ["watch", *normal, "--ckpt_path", checkpoint, "--output", str(tmp_path / "out")]
    assert main(watched) == 0
    (start,), ends = of_kind(tmp_path / "out", "start"), of_kind(tmp_path / "out", "end")
    assert (start["alarm"], start["window"], start["exact"]) == (found.threshold, 3, False)
    assert sum(end["alarms"] for end in ends) == found.alarms == 2
    assert found.bound <= 4000
    capsys.readouterr()
    assert main([*watched, "--window", "4"]) == 2
    expected = (
        "--window='4, look-ahead 0': scores otherwise than windows of 3, look-ahead 0, on which the alarm"
    )
    assert expected in capsys.readouterr().err
    assert main([*watched[:-1], str(tmp_path / "chosen"), "--window", "4", "--alarm", "0.9"]) == 0
    assert "calibrated" not in of_kind(tmp_path / "chosen", "score")[0]


def test_a_checkpoint_without_a_recipe_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = changed(trained, tmp_path / "other.ckpt", provenance=None, **{CHECKSUMS_KEY: None})
    assert main(["watch", str(tmp_path), "--ckpt_path", str(checkpoint)]) == 2
    shown = capsys.readouterr().err
    assert "does not say how its features were extracted. Train on features that" in shown


class Receiver(BaseHTTPRequestHandler):
    received: list[Any] = []  # noqa: RUF012  # what the class is for

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_an_alarm_has_a_picture_and_is_posted(trained: Path, make_video: VideoMaker, tmp_path: Path) -> None:
    video, folder = make_video("gate.mp4", 12, width=66, height=50), tmp_path / "out"
    where = ["--ckpt_path", str(trained), "--output", str(folder), "--alarm", "0"]
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/alarms"
        assert main(["watch", str(video), *where, "--webhook", address]) == 0
        server.shutdown()
    (alarm,) = of_kind(folder, "alarm")
    assert Receiver.received == [alarm]
    with Image.open(folder / alarm["picture"]) as picture:
        assert picture.size == (66, 50)
    with av.open(folder / alarm["clip"]) as clip:
        shown = list(clip.decode(video=0))
    assert (len(shown), shown[0].width, shown[0].height) == (6, 66, 50)  # of 1.2 s, five a second
    assert main(["watch", str(video), *where, "--webhook", address]) == 0  # nobody listens any more
    (note,) = of_kind(folder, "note")
    assert "was not posted" in note["text"]


def transport_stream(
    texture: np.ndarray, num_frames: int, first: int = 0, size: tuple[int, int] = (64, 48)
) -> bytes:
    """H.264 in MPEG-TS, as cameras send it."""
    held = io.BytesIO()
    with av.open(held, "w", format="mpegts") as container:
        stream: Any = container.add_stream(
            "libx264", rate=10, options={"g": "8", "bf": "0", "preset": "ultrafast"}
        )
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for t in range(first, first + num_frames):
            picture = np.ascontiguousarray(np.roll(texture, -t, axis=1)[: size[1], : size[0]])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = t
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return held.getvalue()


@contextmanager
def camera(sent: list[bytes]) -> Iterator[str]:
    """A TCP server that sends one thing after the other, each to a connection of its own, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for data in sent:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_camera_is_watched_until_a_signal_whatever_happens(
    trained: Path, texture: np.ndarray, tmp_path: Path
) -> None:
    whole = transport_stream(texture, FRAMES)
    damaged = np.frombuffer(whole, np.uint8).copy()
    damaged[len(whole) // 2 : -len(whole) // 4 : 40] ^= 0xFF
    resized = transport_stream(texture, FRAMES // 2) + transport_stream(texture, 8, FRAMES // 2, (96, 64))
    folder = tmp_path / "out"
    with camera([whole, damaged.tobytes(), resized]) as address:
        secret = address.replace("//", "//door:secret@")
        where = ["--ckpt_path", str(trained), "--output", str(folder)]
        running = Command("watch", secret, *where, "--silence", "2")
        wait_for(lambda: len([n for n in of_kind(folder, "note") if "interrupted" in n["text"]]) == 3)
        running.send_signal(signal.SIGTERM)
        done = running.finish()
    assert (done.returncode, done.stderr.strip().split("\n")[-1]) == (143, "stopped by SIGTERM")
    written = lines(folder)
    assert written[0]["sources"] == [address]
    assert "secret" not in json.dumps(written)
    scores, gaps, end = of_kind(folder, "score"), of_kind(folder, "gap"), written[-1]
    frames = [line["frame"] for line in scores]
    assert frames == list(range(0, end["frames"], 4))
    assert end["frames"] >= 2 * FRAMES + FRAMES // 2
    assert all(line["seconds"] < later["seconds"] for line, later in pairwise(scores))
    assert [gap["reason"] for gap in gaps] == ["the stream ended"] * 3
    assert all(gap["start"] <= gap["end"] for gap in gaps)
    assert (end["kind"], end["gaps"], end["dropped"], end["snippets"]) == ("end", 3, 0, len(scores))
    assert end["damaged"] > 0
    assert sum("64 x 48, 96 x 64" in note["text"] for note in of_kind(folder, "note")) == 1


@pytest.fixture
def watcher(trained: Path, tmp_path: Path) -> Iterator[Watcher]:
    """Writes into the folder of the test."""
    extractor, detector = Extractor.of_checkpoint(trained), Detector.from_checkpoint(trained)
    record, rule = Record(tmp_path), AlarmRule(0, 0)
    kit = Kit(detector, detector.stream(), extractor.recipe, extractor.encoders, rule, record)
    yield Watcher(kit, None)
    record.close()


def test_the_gap_of_a_camera_that_is_not_reached_begins_with_the_command(
    watcher: Watcher, tmp_path: Path
) -> None:
    door, yard = (Idle(name, threading.Event(), live=True) for name in ("door", "yard"))
    for camera in (door, yard):
        watcher.take(camera, End("no route to host"))
    watcher.take(door, Begin("door", live=True, rate=10))
    watcher.take(door, Shown(np.zeros((48, 64, 3), np.uint8), 0.0, time.time() + 30))
    time.sleep(0.01)  # the record has milliseconds
    watcher.finish()
    gaps = {line["source"]: (line["start"], line["end"]) for line in of_kind(tmp_path, "gap")}
    assert gaps["door"] == (0, pytest.approx(30, abs=5))
    assert gaps["yard"][0] == 0 < gaps["yard"][1]


def test_what_an_interruption_ends_is_freed_at_once(watcher: Watcher) -> None:
    door = Idle("door", threading.Event(), live=True)
    watcher.take(door, Begin("door", live=True, rate=10))
    for t in range(9):
        watcher.take(door, Shown(np.full((48, 64, 3), 20 * t, np.uint8), t / 10, time.time()))
    gc.disable()  # which would free what refers to itself, some day
    try:
        run = weakref.ref(watcher.watched[door].run)
        watcher.take(door, End("the stream ended"))
        assert run() is None
    finally:
        gc.enable()


RTSP_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
server.set_address("127.0.0.1")
server.set_service("0")
factory.set_launch(f"( filesrc location={sys.argv[1]} ! tsdemux ! h264parse ! rtph264pay name=pay0 )")
server.get_mount_points().add_factory("/gate", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"


@pytest.fixture
def rtsp(texture: np.ndarray, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """GStreamer's RTSP server with a video of two seconds, and its address."""
    (tmp_path / "gate.ts").write_bytes(transport_stream(texture, 2 * FRAMES))
    command = ["/usr/bin/python3", "-c", RTSP_SERVER, str(tmp_path / "gate.ts")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        if not port:
            pytest.skip(f"GStreamer's RTSP server is missing: apt-get install {PACKAGES}")
        try:
            yield server, f"rtsp://127.0.0.1:{port}/gate"
        finally:
            server.kill()


def test_an_rtsp_server_is_watched_until_it_dies(
    rtsp: tuple[subprocess.Popen[str], str], trained: Path, tmp_path: Path
) -> None:
    server, address = rtsp
    folder = tmp_path / "out"
    where = ["--ckpt_path", str(trained), "--output", str(folder)]
    running = Command("watch", address, *where, "--silence", "5")
    wait_for(lambda: len(of_kind(folder, "gap")) == 1)  # it ended, and began anew
    server.kill()
    wait_for(lambda: len([n for n in of_kind(folder, "note") if "interrupted" in n["text"]]) == 2)
    running.send_signal(signal.SIGTERM)
    done = running.finish()
    assert (done.returncode, done.stderr.strip().split("\n")[-1]) == (143, "stopped by SIGTERM")
    (end,) = of_kind(folder, "end")
    assert end["frames"] > 2 * FRAMES
    assert [line["frame"] for line in of_kind(folder, "score")] == list(range(0, end["frames"], 4))
    assert (end["gaps"], end["dropped"]) == (len(of_kind(folder, "gap")), 0)
    assert end["gaps"] == 2


class Idle(Source):
    """A source that is filled by hand."""

    def run(self) -> None:
        pass


def test_frames_that_cannot_wait_are_dropped_counted_and_leave_a_gap() -> None:
    source, picture = Idle("door", threading.Event(), live=True), np.zeros((2, 2, 3), np.uint8)
    source.put(Begin("door", live=True, rate=10))
    source.put(Note("door", "kept"))
    for t in range(sources.MOST_WAITING + 5):
        source.put(Shown(picture, t / 10, 0.0))
    note, end, begin, *shown = source.take()
    assert note == Note("door", "kept")
    assert isinstance(end, End)
    assert begin == Begin("door", live=True, rate=10)
    assert len(shown) + end.dropped == sources.MOST_WAITING + 5


def test_the_live_view_shows_what_runs_what_is_lost_and_what_is_over() -> None:
    watcher = Watcher(SimpleNamespace(rule=AlarmRule(0.5, 0.4), record=Record(None)), None)  # type: ignore[arg-type]  # of a kit
    door, gate = (Idle(name, threading.Event(), live=True) for name in ("door", "[red]gate" + 90 * "y"))
    watcher.take(door, End("connection refused"))
    watcher.watched[gate] = Watched(gate.name, live=False, latest=(0.75, 1.6))
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(watcher.table())
    watcher.take(gate, End(""))
    console.print(watcher.table())
    shown = console.export_text()
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert "lost: connection refused" in shown
    before, after = [line.split("y…")[1].split() for line in shown.splitlines() if "[red]gatey" in line]
    assert before == ["waits", "0.750", "█" * 6, "1.6", "s", "0", "0", "0"]
    assert after[0] == "over"


def test_new_files_of_a_folder_are_read_once_each(
    make_video: VideoMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SETTLED", 0.05)
    make_video("in/a.mp4", 3)
    folder, came = sources.Folder(tmp_path / "in", None, threading.Event()), list[sources.Item]()
    folder.start()

    def ended(count: int) -> bool:
        came.extend(folder.take())
        return sum(isinstance(item, End) for item in came) == count

    wait_for(lambda: ended(1))
    make_video("in/deep/b.mp4", 2)
    (tmp_path / "in" / "c.mp4").write_bytes(b"no video")
    wait_for(lambda: ended(3))
    folder.stop.set()
    folder.join()
    begun = [item.name for item in came if isinstance(item, Begin)]
    assert sorted(begun) == ["a.mp4", "c.mp4", "deep/b.mp4"]
    assert sum(isinstance(item, Shown) for item in came) == 5
    assert [item.broken for item in came if isinstance(item, End)].count(True) == 1


def test_a_file_that_cannot_be_read_is_noted(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    where = ["--ckpt_path", str(trained), "--output", str(tmp_path / "out")]
    assert main(["watch", str(tmp_path / "a.mp4"), *where]) == 1
    assert "1 of 1 sources could not be read" in capsys.readouterr().err
    assert [line["kind"] for line in lines(tmp_path / "out")] == ["start", "note", "end"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere.mp4"], "source='nowhere.mp4': no such file, folder or device"),
        (["ftp://me:secret@a/b"], "source='ftp://a/b': ftp:// is not known. Give rtsp://"),
        (["{}", "{}"], "is the name of two sources"),
        (["{}", "--silence", "0"], "--silence='0.0': must be more than 0"),
        (["{}", "--fps", "0"], "--fps='0.0': must be more than 0"),
        (["{}", "--webhook", "file:///etc/passwd"], "is not a web address"),
        (["{}", "--alarm", "nan"], "must be a number"),
        (["{}", "--window", "2", "--look_ahead", "2"], "must be longer than the look-ahead"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], problem: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(trained.parents[3] / "videos" / "n1.mp4")
    given = [argument.format(video) for argument in arguments]
    assert main(["watch", *given, "--ckpt_path", str(trained)]) == 2
    shown = capsys.readouterr()
    assert problem in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""
