import errno
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tests.data.store.store_cases import file_size_limit
from tests.videos import VideoMaker, write_stamped
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.verify import verify
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction import encode as encode_module
from wsvad_lightning.extraction.backbones.flow import flow_statistics, measure_motion
from wsvad_lightning.extraction.command import extract, find_videos
from wsvad_lightning.extraction.encode import encode_video
from wsvad_lightning.extraction.encoders import FrameEncoder, build_encoder
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.streams import FrameWindow, StreamSpec
from wsvad_lightning.parsing import parse_function
from wsvad_lightning.signals import Stopped
from wsvad_lightning.types import UNKNOWN
from wsvad_lightning.video.film import decoder_version
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.views import parse_views

MOTION = StreamSpec("motion", "flow_statistics", size=32)
SPELT = [replace(MOTION, name=f"patches_{grid}", view=grid) for grid in ("2x3", "3x5")]
PATCHES = StreamSpec("patches_1x2", "flow_histogram", view="1x2", size=32)


@pytest.fixture
def videos(make_video: VideoMaker) -> Path:
    """Three videos in a folder and its subfolder."""
    make_video("videos/quiet.mp4", 20)
    make_video("videos/more/fight.avi", 13, codec="mpeg4", fps=25)
    return make_video("videos/late.mp4", 9).parent


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "annotations.csv"
    path.write_text(
        "video,label,num_frames,intervals,split\n"
        "quiet,normal,20,,train\n"
        "fight,fighting,,2-6;8-13,test\n"
        "late.mp4,abnormal,9,,train\n"
    )
    return path


def run(videos: Path, output: Path, table: Path | None = None, **options: Any) -> int:
    settings = {"streams": [MOTION], "snippet_length": 8, "annotations": table and str(table), **options}
    return extract(str(videos), str(output), **settings)


def test_what_is_in_the_store_afterwards(videos: Path, table: Path, tmp_path: Path) -> None:
    output = tmp_path / "store.h5"
    assert run(videos, output, table, streams=[MOTION, PATCHES], snippet_stride=4, frame_stride=2) == 0
    store = FeatureStore(output)
    assert list(store) == ["fight", "late", "quiet"]
    assert (store.streams["patches_1x2"].dim, store.streams["patches_1x2"].views) == (34, ("r0c0", "r0c1"))
    fight = store["fight"]
    assert fight.annotation == VideoAnnotation(
        "fight", 1, ("fighting",), 13, intervals=((2, 6), (8, 13)), split="test", frame_size=(64, 48)
    )
    assert (fight.num_frames, fight.fps, fight.num_snippets) == (13, 25.0, 3)
    assert store["late"].annotation.intervals is None
    kept = store.provenance
    assert (kept.snippet_length, kept.snippet_stride, kept.frame_stride) == (8, 4, 2)
    assert (kept.backbone, kept.pooling, kept.tail) == ("flow_statistics+flow_histogram", "mean", "keep")
    assert kept.decoder == f"{decoder_version()}, frames upright"
    recipe = json.loads(kept.preprocessing)
    assert recipe["dtype"] == "float32"
    assert recipe["streams"]["patches_1x2"]["view"] == "1x2"


def test_what_the_store_holds_is_reported(
    videos: Path, table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "store.h5"
    assert run(videos / "late.mp4", output) == 0
    assert caplog.messages[-1] == f"{output} holds 1 video: 1 new; 1 stream"
    for counts in ("2 new, 1 was there", "0 new, 3 were there"):
        assert run(videos, output, table, update=True) == 0
        assert caplog.messages[-1] == f"{output} holds 3 videos: {counts}; 1 stream; 1 class"
    assert run(videos, tmp_path / "other.h5", streams=[MOTION, PATCHES]) == 0
    assert caplog.messages[-1] == f"{tmp_path / 'other.h5'} holds 3 videos: 3 new; 2 streams"
    (videos / "text.mp4").write_text("no video")
    caplog.clear()
    assert run(videos / "text.mp4", tmp_path / "none.h5", skip_broken=True) == 1
    assert "holds" not in caplog.text


def test_features_are_pooled_over_the_frames_of_each_snippet(videos: Path, tmp_path: Path) -> None:
    output = tmp_path / "store.h5"
    assert run(videos / "quiet.mp4", output, snippet_stride=6, frame_stride=2, dtype="float16") == 0
    frames = np.stack(list(VideoReader(videos / "quiet.mp4", step=2)))
    motion = measure_motion(torch.from_numpy(frames).permute(0, 3, 1, 2), 32)
    each = flow_statistics(torch.cat([motion[:1], motion]), parse_views("full")[0])
    expected = torch.stack([each[start : start + 4].mean(0) for start in (0, 3, 6)])
    features = FeatureStore(output).read("quiet", "motion")
    assert features.dtype == np.float16
    np.testing.assert_allclose(features[:, 0], expected, rtol=2e-3, atol=1e-3)


def test_the_default_stream_is_the_network_on_whole_frames(make_video: VideoMaker, tmp_path: Path) -> None:
    path = make_video("walk.mp4", 3)
    assert extract(str(path), str(tmp_path / "store.h5")) == 0
    store = FeatureStore(tmp_path / "store.h5")
    assert store.read("walk").shape == (1, 1, 1280)
    assert store["walk"].annotation == VideoAnnotation(
        "walk", UNKNOWN, num_frames=3, split="predict", frame_size=(64, 48)
    )


@pytest.mark.parametrize("batch_size", [1, 3, 19, 20, 21])
def test_the_result_does_not_depend_on_the_batch_size(batch_size: int, make_video: VideoMaker) -> None:
    path = make_video("walk.mp4", 20)
    specs = [MOTION, StreamSpec("diffs", input="diff", size=32)]
    encoders = {spec.name: build_encoder(spec, torch.device("cpu")) for spec in specs}
    recipe = SnippetRecipe(length=6, stride=4)
    with (
        encode_video(path, encoders, recipe, 8) as expected,
        encode_video(path, encoders, recipe, batch_size) as got,
    ):
        assert (got.num_frames, got.fps) == (20, 10.0)
        for name in encoders:
            assert got.streams[name].shape[0] == recipe.num_snippets(20)
            np.testing.assert_allclose(got.streams[name][:], expected.streams[name][:], rtol=1e-3, atol=1e-4)


def test_nothing_moves_in_a_video_of_one_frame(make_video: VideoMaker) -> None:
    encoders = {"motion": build_encoder(MOTION, torch.device("cpu"))}
    with encode_video(make_video("still.mp4", 1), encoders, SnippetRecipe()) as video:
        motion = video.streams["motion"]
        assert motion.shape == (1, 1, 10)
        assert np.abs(motion[:]).max() < 1e-4


def test_every_video_is_decoded_once_and_not_again(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    class CountingReader(VideoReader):
        def __init__(self, path: str | Path, step: int = 1, resample: float | None = None) -> None:
            decoded.append(Path(path).stem)
            super().__init__(path, step, resample)

    monkeypatch.setattr(encode_module, "VideoReader", CountingReader)
    for _ in range(2):
        assert run(videos, tmp_path / "store.h5", streams=[MOTION, PATCHES]) == 0
        assert sorted(decoded) == ["fight", "late", "quiet"]


def test_a_store_takes_features_of_one_recipe_only(videos: Path, tmp_path: Path) -> None:
    assert run(videos / "late.mp4", tmp_path / "store.h5") == 0
    with pytest.raises(WSVADError, match="snippet_stride"):
        run(videos, tmp_path / "store.h5", snippet_stride=2)
    with pytest.raises(WSVADError, match="preprocessing"):
        run(videos, tmp_path / "store.h5", streams=[StreamSpec("motion", "flow_statistics", size=48)])


def test_what_is_odd_is_named_and_recorded(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stamped(videos / "phone.mp4", [0.0, 0.1])
    content = bytearray((videos / "phone.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 20] = struct.pack(">5i", 0, 65536, 0, -65536, 0)
    (videos / "phone.mp4").write_bytes(content)
    assert run(videos, tmp_path / "store.h5") == 0
    assert "note: phone: turned upright, by 90 degrees clockwise\n" in capsys.readouterr().err
    store = FeatureStore(tmp_path / "store.h5")
    assert store["phone"].notes == ("turned upright, by 90 degrees clockwise",)
    assert store["quiet"].notes == ()


def test_a_lost_end_is_named_and_not_broken(make_video: VideoMaker, tmp_path: Path, capsys: Any) -> None:
    path = make_video("gate.mp4", 40, options={"movflags": "faststart"}, encoder={"g": "5"})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert run(path, tmp_path / "store.h5") == 0
    record = FeatureStore(tmp_path / "store.h5")["gate"]
    assert 5 < record.num_frames < 40
    assert f"{record.num_frames} frames where the header states 40" in record.notes[-1]
    assert all(f"note: gate: {note}\n" in capsys.readouterr().err for note in record.notes[-1:])
    table = tmp_path / "table.csv"
    table.write_text("video,label,num_frames\ngate,normal,40\n")
    with pytest.raises(WSVADError, match="40 frames are annotated and the video has"):
        run(path, tmp_path / "other.h5", table)


def test_a_broken_video_stops_the_run_and_what_was_done_stays(
    videos: Path, table: Path, tmp_path: Path
) -> None:
    whole = (videos / "quiet.mp4").read_bytes()
    (videos / "quiet.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WSVADError, match=r"quiet\.mp4"):
        run(videos, tmp_path / "store.h5", table)
    assert list(FeatureStore(tmp_path / "store.h5")) == ["fight", "late"]
    (videos / "quiet.mp4").write_bytes(whole)
    assert run(videos, tmp_path / "store.h5", table) == 0
    assert list(FeatureStore(tmp_path / "store.h5")) == ["fight", "late", "quiet"]


def test_broken_videos_are_skipped_on_demand_and_named(
    videos: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "late.mp4").write_text("not a video")
    table.write_text(table.read_text().replace("quiet,normal,20", "quiet,normal,21"))
    assert run(videos, tmp_path / "store.h5", table, skip_broken=True) == 1
    assert list(FeatureStore(tmp_path / "store.h5")) == ["fight"]
    reported = capsys.readouterr().err
    assert "late.mp4" in reported
    assert "21 frames are annotated and the video has 20" in reported


def test_weights_that_no_stream_needs_are_refused(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="weights='w.pt': no stream has a backbone that needs any"):
        run(videos, tmp_path / "store.h5", weights="w.pt")


def test_a_link_to_nowhere_is_a_broken_video(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "gone.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    assert run(videos, tmp_path / "store.h5", skip_broken=True) == 1
    assert "gone.mp4" in capsys.readouterr().err


def test_a_variable_frame_rate_is_noted_and_resampled_on_demand(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamps = [0.0, 0.1, 0.2, 0.9, 1.0]
    write_stamped(videos / "jerky.mp4", stamps)
    assert run(videos, tmp_path / "all.h5") == 0
    assert "note: jerky: variable frame rate" in capsys.readouterr().err
    kept = FeatureStore(tmp_path / "all.h5")["jerky"]
    assert (kept.num_frames, kept.fps) == (5, 4.0)
    assert run(videos, tmp_path / "even.h5", fps=20.0) == 0
    assert "note" not in capsys.readouterr().err
    even = FeatureStore(tmp_path / "even.h5")
    assert {name: (even[name].num_frames, even[name].fps) for name in even} == {
        "fight": (10, 20.0),  # 13 frames at 25 a second
        "jerky": (25, 20.0),
        "late": (18, 20.0),
        "quiet": (40, 20.0),
    }
    assert json.loads(even.provenance.preprocessing)["fps"] == 20.0


@pytest.fixture
def cameras(tmp_path: Path, make_video: VideoMaker) -> Path:
    """Videos of one name in two folders; the table names them by paths of its own."""
    for camera, frames in (("gate", 9), ("yard", 12)):
        make_video(f"cameras/{camera}/0001.mp4", frames)
    make_video("cameras/gate/x.mp4", 9)
    make_video("cameras/gate/x.avi", 12, codec="mpeg4")
    return tmp_path / "cameras"


def lengths(store: Path) -> dict[str, int]:
    opened = FeatureStore(store)
    return {name: opened[name].num_frames for name in opened}


ONE_SUFFIX = {"gate/0001": 9, "yard/0001": 12}


def test_videos_of_one_name_are_told_apart(cameras: Path, tmp_path: Path) -> None:
    assert run(cameras, tmp_path / "all.h5") == 0
    assert lengths(tmp_path / "all.h5") == {**ONE_SUFFIX, "gate/x.avi": 12, "gate/x.mp4": 9}
    rows = "video,label,split\n/data/gate/0001.mp4,normal,train\n/data/yard/0001.mp4,fall,test\n"
    (tmp_path / "table.csv").write_text(rows)
    assert run(cameras, tmp_path / "two.h5", tmp_path / "table.csv") == 0
    store = FeatureStore(tmp_path / "two.h5")
    assert {name: store[name].annotation.classes for name in store} == {
        "gate/0001": (),
        "yard/0001": ("fall",),
    }
    rows = "video,label\ncameras/gate/0001.mp4,normal\ncameras/yard/0001.mp4,normal\n"
    (tmp_path / "paths.csv").write_text(rows)
    assert run(tmp_path / "paths.csv", tmp_path / "paths.h5") == 0
    assert list(FeatureStore(tmp_path / "paths.h5")) == ["cameras/gate/0001", "cameras/yard/0001"]


def test_a_row_that_may_mean_several_videos_is_refused_with_their_names(
    cameras: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("video,label\n0001.mp4,normal\n")
    with pytest.raises(WSVADError, match=r"video '0001\.mp4': may mean gate/0001, yard/0001\. Name"):
        run(cameras, tmp_path / "store.h5", tmp_path / "table.csv")
    assert not (tmp_path / "store.h5").exists()


def test_names_of_files_that_are_no_text_or_in_another_form(make_video: VideoMaker, tmp_path: Path) -> None:
    whole = make_video("videos/a.mp4", 9)
    names = [b"caf\xe9.mp4", b"new\nline.mp4", "u\u0308ber.mp4".encode(), b"n" * 250 + b".mp4", b"x..mp4"]
    for name in names:
        shutil.copy(os.fsencode(whole), os.fsencode(whole.parent) + b"/" + name)
    (tmp_path / "table.csv").write_text("video,label\nüber.mp4,normal\n", "utf-8")
    assert run(whole.parent, tmp_path / "one.h5", tmp_path / "table.csv") == 0
    assert list(FeatureStore(tmp_path / "one.h5")) == ["über"]
    assert run(whole.parent, tmp_path / "store.h5") == 0
    assert set(FeatureStore(tmp_path / "store.h5")) == {
        "a",
        "caf%E9",
        "new%0Aline",
        "über",
        "n" * 250,
        "x.",
    }
    (tmp_path / "list.csv").write_text("video\nvideos/über.mp4\n", "utf-8")
    assert [Path(video.path).exists() for video in find_videos(tmp_path / "list.csv")] == [True]


def relabel(videos: Path, table: Path) -> None:
    table.write_text(table.read_text().replace("late.mp4,abnormal,9,,train", "late.mp4,fall,9,,test"))


def replace_the_file(videos: Path, table: Path) -> None:
    write_stamped(videos / "late.mp4", [t / 10 for t in range(14)])
    table.write_text(table.read_text().replace("late.mp4,abnormal,9", "late.mp4,abnormal,14"))


@pytest.mark.parametrize(
    ("change", "listed", "error"),
    [
        (
            relabel,
            "late: classes fall in the table, none in the store; split test in the table, train in the store",
            "holds 1 video with another label or split than now: late. Give --update",
        ),
        (replace_the_file, "late: another file", "holds 1 video with another file than now"),
    ],
)
def test_what_has_changed_is_listed_and_taken_on_demand(
    change: Callable[[Path, Path], None],
    listed: str,
    error: str,
    videos: Path,
    table: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = tmp_path / "store.h5"
    assert run(videos, output, table) == 0
    before, written = FeatureStore(output), output.read_bytes()
    change(videos, table)
    with pytest.raises(WSVADError, match=error):
        run(videos, output, table)
    assert listed in "\n".join(caplog.messages)
    assert output.read_bytes() == written
    assert run(videos, output, table, update=True) == 0
    assert run(videos, output, table) == 0
    assert run(videos, tmp_path / "fresh.h5", table) == 0
    now, fresh = FeatureStore(output), FeatureStore(tmp_path / "fresh.h5")
    assert [now[name].annotation for name in now] == [fresh[name].annotation for name in fresh]
    assert now.checksum() == fresh.checksum()
    assert now["late"] != before["late"]
    assert now["quiet"].annotation == before["quiet"].annotation


def test_a_changed_file_keeps_its_label_where_no_table_is_given(
    videos: Path, table: Path, tmp_path: Path
) -> None:
    output = tmp_path / "store.h5"
    assert run(videos, output, table) == 0
    replace_the_file(videos, table)
    assert run(videos, output, update=True) == 0
    late = FeatureStore(output)["late"]
    assert (late.num_frames, late.annotation.label, late.annotation.split) == (14, 1, "train")


def test_a_file_that_was_touched_moved_or_gone_is_no_change(
    videos: Path, table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "store.h5"
    assert run(videos, output, table) == 0
    os.utime(videos / "late.mp4", (1, 1))
    (videos / "moved").mkdir()
    (videos / "quiet.mp4").rename(videos / "moved" / "quiet.mp4")
    caplog.clear()
    assert run(videos, output, table) == 0
    assert "3 videos: 0 new, 3 were there" in caplog.messages[-1]
    assert "also holds" not in caplog.text
    (videos / "late.mp4").unlink()
    table.write_text("\n".join(line for line in table.read_text().splitlines() if "late" not in line))
    assert run(videos, output, table) == 0
    assert f"wsvad data remove {output} late" in caplog.text


def test_the_size_of_frames_is_that_of_the_file_whatever_the_table_says_later(
    videos: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "store.h5"
    assert run(videos, output, table) == 0
    header, *rows = table.read_text().splitlines()
    sizes = ["32,24" if row.startswith("fight") else "," for row in rows]
    lines = [f"{header},width,height", *map(",".join, zip(rows, sizes, strict=True))]
    table.write_text("\n".join(lines).replace("quiet,normal", "quiet,fall"))
    assert run(videos, output, table, update=True) == 0
    store = FeatureStore(output)
    assert {store[name].annotation.frame_size for name in store} == {(64, 48)}
    assert store["quiet"].annotation.classes == ("fall",)
    assert verify(str(output), str(table)) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "frames of 32 x 24 in the annotations, 64 x 48 in the store" in shown


def test_a_store_keeps_the_name_of_a_video_when_another_of_that_name_comes(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    output = tmp_path / "store.h5"
    folder = make_video("cameras/gate/0001.mp4", 9).parent.parent
    assert run(folder, output) == 0
    make_video("cameras/yard/0001.mp4", 12)
    assert run(folder, output) == 0
    assert lengths(output) == {"0001": 9, "yard/0001": 12}
    (tmp_path / "table.csv").write_text("video,label\ngate/0001.mp4,normal\nyard/0001.mp4,fall\n")
    assert run(folder, output, tmp_path / "table.csv", update=True) == 0
    assert [FeatureStore(output)[name].annotation.label for name in ("0001", "yard/0001")] == [0, 1]


def test_a_label_that_does_not_fit_costs_its_video_only(videos: Path, table: Path, tmp_path: Path) -> None:
    output = tmp_path / "store.h5"
    assert run(videos, output, table) == 0
    text = table.read_text().replace("fighting,,2-6;8-13", "fighting,,2-99")
    table.write_text(text.replace("quiet,normal", "quiet,fall"))
    assert run(videos, output, table, update=True, skip_broken=True) == 1
    store = FeatureStore(output)
    assert store["quiet"].annotation.classes == ("fall",)
    assert store["fight"].annotation.intervals == ((2, 6), (8, 13))


def test_a_store_that_does_not_record_files_is_read(
    videos: Path, table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "store.h5"
    assert run(videos, output, table) == 0
    with h5py.File(output, "r+") as file:
        for group in file["videos"].values():
            for name in [name for name in group.attrs if name.startswith("source")]:
                del group.attrs[name]
    replace_the_file(videos, table)
    table.write_text(table.read_text().replace("abnormal,14", "abnormal,9"))
    assert run(videos, output, table) == 0
    assert "fight, late, quiet the store does not record the file" in caplog.text


def test_a_table_names_videos_anywhere(videos: Path, table: Path, tmp_path: Path) -> None:
    rows = "video,label\nvideos/more/fight.avi,fighting\n" + f"{videos / 'late.mp4'},unknown\n"
    (tmp_path / "list.csv").write_text(rows)
    assert run(tmp_path / "list.csv", tmp_path / "store.h5") == 0
    store = FeatureStore(tmp_path / "store.h5")
    assert {name: store[name].annotation.label for name in store} == {"fight": 1, "late": UNKNOWN}
    assert run(tmp_path / "list.csv", tmp_path / "other.h5", tmp_path / "list.csv") == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("video,label\n", "has no rows"),
        ("camera,label\nlate,normal\n", "lacks the column 'video'"),
        ("video,label\nabsent.mp4,normal\n", r"not there: .*absent\.mp4"),
    ],
)
def test_a_table_without_videos_is_refused(rows: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(rows)
    with pytest.raises(WSVADError, match=message):
        run(tmp_path / "list.csv", tmp_path / "store.h5")
    assert not list(tmp_path.glob("store*"))


def test_an_encoder_that_fails_stops_the_decoding(make_video: VideoMaker) -> None:
    class Failing(FrameEncoder):
        views: tuple[str, ...] = ("full",)
        recipe: dict[str, Any] = {}  # noqa: RUF012

        def encode(self, window: FrameWindow) -> torch.Tensor:
            raise RuntimeError("no memory")

    path = make_video("walk.mp4", 100)
    with (
        pytest.raises(RuntimeError, match="no memory"),
        encode_video(path, {"failing": Failing()}, SnippetRecipe()),
    ):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_another_frame_count_than_annotated_names_both(videos: Path, table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text().replace("quiet,normal,20", "quiet,normal,21"))
    with pytest.raises(WSVADError, match=r"quiet.*21 frames are annotated and the video has 20"):
        run(videos, tmp_path / "store.h5", table)
    assert "quiet" not in FeatureStore(tmp_path / "store.h5")


def lose_a_video(videos: Path, _table: Path) -> None:
    (videos / "quiet.mp4").unlink()


def name_a_video_twice(videos: Path, _table: Path) -> None:
    (videos / "more" / "quiet.avi").write_bytes((videos / "more" / "fight.avi").read_bytes())


def lose_all_videos(videos: Path, _table: Path) -> None:
    for path in videos.rglob("*.*"):
        path.rename(path.with_suffix(".txt"))


def lose_the_folder(videos: Path, _table: Path) -> None:
    videos.rename(videos.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lose_a_video, "lacks quiet of the annotations"),
        (name_a_video_twice, r"video 'quiet': may mean more/quiet, quiet\.mp4\. Name the video by its path"),
        (lose_all_videos, "holds no videos"),
        (lose_the_folder, "no such file or folder"),
    ],
)
def test_videos_that_do_not_fit_the_table_are_named(
    mistake: Callable[[Path, Path], None], message: str, videos: Path, table: Path, tmp_path: Path
) -> None:
    mistake(videos, table)
    with pytest.raises(WSVADError, match=message):
        run(videos, tmp_path / "store.h5", table)
    assert not list(tmp_path.glob("store*"))


def test_videos_that_the_table_does_not_name_are_left_out(
    videos: Path, table: Path, make_video: VideoMaker, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        make_video(f"videos/{folder}/other.mp4", 5)
    assert run(videos, tmp_path / "store.h5", table) == 0
    assert "other" not in FeatureStore(tmp_path / "store.h5")


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"snippet_stride": 0}, "snippet_stride"),
        ({"streams": []}, "streams"),
        ({"streams": [MOTION, MOTION]}, "streams"),
        ({"fps": 0.0}, "fps"),
        ({"fps": float("inf")}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"weights": "weights.pth"}, "weights"),
        ({"annotations": "absent.csv"}, "annotations"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(
    options: dict[str, Any], argument: str, videos: Path, tmp_path: Path
) -> None:
    with pytest.raises(WSVADError) as error:
        run(videos, tmp_path / "store.h5", **options)
    assert error.value.argument == argument
    assert not list(tmp_path.glob("store*"))


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A job of SLURM, the third of an array; gives what it is asked to do."""
    values = {"ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "3", "JOB_ID": "7", "JOB_NAME": "extract"}
    zeros = {"NODEID": "0", "PROCID": "0", "LOCALID": "0", "NTASKS": "1"}
    for name, value in {**values, **zeros}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    asked: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command))
    return asked


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_it_at_once_and_the_same_command_continues(
    signum: int,
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slurm: list[list[str]],
) -> None:
    calls: list[int] = []

    def measure(frames: torch.Tensor, size: int) -> torch.Tensor:
        calls.append(len(frames))
        if len(calls) == 3:  # the first batch of the last video
            os.kill(os.getpid(), signum)
        return measure_motion(frames, size)

    with monkeypatch.context() as patched:
        patched.setattr("wsvad_lightning.extraction.streams.measure_motion", measure)
        with pytest.raises(Stopped, match=str(128 + signum)) as stopped:
            run(videos, tmp_path / "store.h5")
    assert stopped.value.said == f"stopped by {signal.Signals(signum).name}; the same command continues"
    assert list(FeatureStore(tmp_path / "store.h5")) == ["fight", "late"]
    assert run(videos, tmp_path / "store.h5") == 0
    assert len(FeatureStore(tmp_path / "store.h5")) == 3
    assert slurm == ([["scontrol", "requeue", "7_3"]] if signum == signal.SIGUSR1 else [])


def test_missing_decoder_is_reported_before_anything_is_written(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(WSVADError, match=r"wsvad-lightning\[video\]"):
        run(videos, tmp_path / "store.h5", skip_broken=True)
    assert not list(tmp_path.glob("store*"))


def test_the_command_line_takes_streams_from_yaml(videos: Path, tmp_path: Path) -> None:
    config = tmp_path / "motion.yaml"
    config.write_text(
        "snippet_length: 8\nsnippet_stride: 4\nstreams:\n"
        "  - {name: motion, backbone: flow_statistics, size: 32}\n"
        "  - {name: grid, backbone: flow_histogram, view: 2x2, size: 32}\n"
    )
    output = tmp_path / "store.h5"
    assert (
        extract(**parse_function("extract", extract, [str(videos), str(output), "--config", str(config)]))
        == 0
    )
    store = FeatureStore(output)
    assert store.provenance.snippet_stride == 4
    assert {name: len(stream.views) for name, stream in store.streams.items()} == {"motion": 1, "grid": 4}


def test_snippets_that_the_whole_video_does_not_fill_are_left_out(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    path = make_video("walk.mp4", 11)  # the snippet at 8 has both its samples, 8 and 10, and lacks frame 11
    options: dict[str, Any] = {"snippet_length": 4, "frame_stride": 2, "tail": "drop"}
    assert extract(str(path), str(tmp_path / "store.h5"), streams=[MOTION], **options) == 0
    assert FeatureStore(tmp_path / "store.h5")["walk"].num_snippets == 2


def test_a_full_disk_is_no_fault_of_the_video(make_video: VideoMaker, tmp_path: Path) -> None:
    make_video("videos/walk.mp4", 60)
    options: dict[str, Any] = {"streams": [MOTION], "snippet_length": 1, "skip_broken": True}
    with file_size_limit(2000), pytest.raises(WSVADError, match=os.strerror(errno.EFBIG)) as error:
        extract(str(tmp_path / "videos"), str(tmp_path / "store.h5"), **options)
    assert error.value.argument == "output"
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


PEAK_MEMORY = """
import resource, sys
import torch
from wsvad_lightning.extraction.encoders import FrameEncoder
from wsvad_lightning.extraction.command import find_videos
from wsvad_lightning.extraction.job import extract_videos
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import StreamSpec

class Wide(FrameEncoder):
    views, recipe = tuple("0123456789"), {"backbone": "wide"}

    def encode(self, window):
        return torch.ones(len(window.rgb), 10, 2048)

class Recipe(ExtractionRecipe):
    def build_encoders(self, device):
        return {"features": Wide()}

torch.set_num_threads(1)
recipe = Recipe((StreamSpec(),), SnippetRecipe(1, 1))
for video in sys.argv[1:]:
    extract_videos(find_videos(video), f"{video}.h5", recipe)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_does_not_grow_with_the_length_of_a_video(make_video: VideoMaker, tmp_path: Path) -> None:
    videos = [make_video(f"{t}.mp4", t, height=96, width=128, codec="mpeg4") for t in (100, 600)]
    command = [sys.executable, "-c", PEAK_MEMORY, *map(str, videos)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    short, long = map(int, output.split())
    assert FeatureStore(tmp_path / "600.mp4.h5").read("600").shape == (600, 10, 2048)
    frames = 500 * 96 * 128 * 3 // 2**20  # MiB that the additional frames take; their features take 39
    assert long - short < frames / 2


def test_patch_grids_add_the_patches_of_the_first_stream(make_video: VideoMaker, tmp_path: Path) -> None:
    path = make_video("walk.mp4", 9)
    assert extract(str(path), str(tmp_path / "store.h5"), streams=[MOTION], patch_grids="2x3,3x5") == 0
    assert extract(str(path), str(tmp_path / "spelt.h5"), streams=[MOTION, *SPELT]) == 0
    store = FeatureStore(tmp_path / "store.h5")
    assert {name: len(info.views) for name, info in store.streams.items()} == {
        MOTION.name: 1,
        "patches_2x3": 6,
        "patches_3x5": 15,
    }
    assert store.checksum() == FeatureStore(tmp_path / "spelt.h5").checksum()


@pytest.mark.parametrize("grids", ["2x", "full", "2x3,", "0x3"])
def test_a_grid_that_is_none_is_refused(grids: str, make_video: VideoMaker, tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="is not a grid"):
        extract(str(make_video("walk.mp4", 9)), str(tmp_path / "store.h5"), patch_grids=grids)
