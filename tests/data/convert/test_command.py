"""What the command does beyond the layouts: annotations, frames, streams of other lengths, mistakes."""

import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.data.convert.miniatures import TEN, UCF, c2fpl, features_of, save, save_crops, tevad, urdmu, values
from tests.data.convert.run import convert, convert_until, reasons, run
from tests.processes import SERVER
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.verify import verify
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Event

C3D = Path(os.environ.get("WSVAD_DATA", "")) / "data" / "annotations" / "ucf_crime" / "c3d_samples"
needs_data = pytest.mark.skipif(not os.environ.get("WSVAD_DATA"), reason="WSVAD_DATA names no data")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three videos of 7, 12 and 33 snippets, `[T, 10, 6]` each."""
    for video, held in features_of(UCF, 10).items():
        save(tmp_path / "source" / f"{video}_i3d.npy", held["features"])
    return tmp_path / "source"


def write_table(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["video,label,num_frames,intervals,split", *rows]) + "\n")
    return str(path)


# ------------------------------------------------------------------------------ annotations and frames


def test_annotations_tell_all(source: Path, tmp_path: Path) -> None:
    rows = (
        "Abuse001_x264,Abuse,120,16-48;60-120,test",
        "Normal_Videos001,normal,,,train",  # found without _x264
        "Arson001_x264,Arson,,,train",
    )
    table = write_table(tmp_path / "videos.csv", *rows)
    store = convert(source, tmp_path / "store.h5", "--annotations", table)
    assert set(store) == {"Abuse001_x264", "Normal_Videos001"}
    abuse = store["Abuse001_x264"]
    assert (abuse.num_frames, abuse.annotation.intervals) == (120, ((16, 48), (60, 120)))
    assert abuse.annotation.classes == ("Abuse",)
    assert (store["Normal_Videos001"].num_frames, abuse.annotation.split) == (192, "test")
    reported = {
        entry["video"]: (entry["status"], entry["reason"]) for entry in reasons(tmp_path / "store.h5")
    }
    assert reported["RoadAccidents002_x264"] == ("skipped", "not in the annotations")
    assert reported["Arson001_x264"] == ("missing", "annotated, but has no file")


def test_times_in_annotations_need_the_frame_rate(source: Path, tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("video,label,start (s),end (s)\nAbuse001_x264,Abuse,1,0:03\n")
    with pytest.raises(WSVADError, match="fps is required: the annotations give times"):
        convert(source, tmp_path / "store.h5", "--annotations", str(table))
    store = convert(source, tmp_path / "store.h5", "--annotations", str(table), "--fps", "25")
    assert store["Abuse001_x264"].annotation.intervals == ((25, 75),)


def test_annotations_go_before_names(source: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "videos.csv", "Abuse001_x264,normal,,,")
    store = convert(source, tmp_path / "store.h5", "--annotations", table)
    assert store["Abuse001_x264"].annotation.label == 0
    (entry,) = [entry for entry in reasons(tmp_path / "store.h5") if entry["status"] == "used"]
    assert entry["reason"].startswith("normal in the annotations, abnormal by list or name")


@pytest.mark.parametrize(
    ("num_frames", "frames", "kept"),
    [
        ("112", "exact", 112),
        ("127", "exact", 127),  # T = floor(n / 16)
        ("97", "exact", 97),  # T = ceil(n / 16)
        ("127", "covered", 112),
        ("128", "covered", 112),  # features that end one snippet early
        ("97", "covered", 97),
        ("", "exact", 112),
    ],
)
def test_frames(num_frames: str, frames: str, kept: int, source: Path, tmp_path: Path) -> None:
    last = int(num_frames or 112)
    table = write_table(tmp_path / "videos.csv", f"Abuse001_x264,Abuse,{num_frames},5-20;90-{last},test")
    store = convert(source, tmp_path / "store.h5", "--annotations", table, "--frames", frames)
    record = store["Abuse001_x264"]
    assert (record.num_frames, record.num_snippets) == (kept, 7)
    assert record.annotation.intervals == ((5, 20), (90, kept))
    assert verify(str(tmp_path / "store.h5")) == 0


@pytest.mark.parametrize(("frames", "kept"), [("exact", (5, 111)), ("covered", (5, 111))])
def test_glances_are_kept_up_to_the_last_frame(
    frames: str, kept: tuple[int, ...], source: Path, tmp_path: Path
) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("video,label,num_frames,glances\nAbuse001_x264,Abuse,,5;111\n")
    store = convert(source, tmp_path / "store.h5", "--annotations", str(table), "--frames", frames)
    assert store["Abuse001_x264"].annotation.glances == kept


def test_intervals_keep_their_classes_where_frames_are_dropped(source: Path, tmp_path: Path) -> None:
    row = "Abuse001_x264,Abuse,127,5-20:Riot;113-127;90-127:Abuse,test"
    table = write_table(tmp_path / "videos.csv", row)
    store = convert(source, tmp_path / "store.h5", "--annotations", table, "--frames", "covered")
    assert store["Abuse001_x264"].annotation.events == (Event(5, 20, "Riot"), Event(90, 112, "Abuse"))


@pytest.mark.parametrize(
    ("num_frames", "frames", "reported"),
    [
        ("128", "exact", "7 snippets cover 112 frames, 128 are annotated. Give --frames covered"),
        ("96", "exact", "7 snippets cover 112 frames, 96 are annotated. Correct --snippet_stride"),
        ("96", "covered", "7 snippets cover 112 frames, 96 are annotated"),
        ("161", "covered", "7 snippets cover 112 frames, 161 are annotated. Correct --snippet_stride"),
    ],
)
def test_frames_that_do_not_fit_are_a_finding(
    num_frames: str, frames: str, reported: str, source: Path, tmp_path: Path
) -> None:
    rows = (f"Abuse001_x264,Abuse,{num_frames},5-20,test", "Normal_Videos001_x264,normal,,,train")
    table = write_table(tmp_path / "videos.csv", *rows)
    options = ["--annotations", table, "--frames", frames, "--skip_broken", "true"]
    store = convert(source, tmp_path / "store.h5", *options, status=1)
    assert set(store) == {"Normal_Videos001_x264"}
    (entry,) = [entry for entry in reasons(tmp_path / "store.h5") if entry["status"] == "broken"]
    assert entry["video"] == "Abuse001_x264"
    assert reported in entry["reason"]


def test_what_happened_to_many_is_reported_once(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"{video},normal,{16 * snippets + 3},,test" for video, snippets in UCF.items() if "Normal" in video
    ]
    rows += [
        f"{video},abnormal,{16 * snippets + 5},,test" for video, snippets in UCF.items() if "N" not in video
    ]
    table = write_table(tmp_path / "videos.csv", *rows, "Arson001_x264,Arson,,,test")
    convert(source, tmp_path / "store.h5", "--annotations", table, "--frames", "covered")
    shown = [line.split("│")[1:4] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    reported = [tuple(cell.strip() for cell in cells) for cells in shown]
    assert ("used", "3", "3") in reported
    assert ("missing", "0", "1") in reported


def test_an_unknown_length_reaches_to_the_last_interval(source: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "videos.csv", "Abuse001_x264,Abuse,,5-120,test")
    record = convert(source, tmp_path / "store.h5", "--annotations", table)["Abuse001_x264"]
    assert record.num_frames == 120


def test_segments_of_whole_videos_have_no_frames(tmp_path: Path) -> None:
    for video in ("Abuse001_x264", "Normal_Videos001_x264"):
        save(tmp_path / "source" / f"{video}.npy", values(video, 32, 10).swapaxes(0, 1))
    rows = ("Abuse001_x264,Abuse,2729,100-200,train", "Normal_Videos001_x264,normal,512,,train")
    table = write_table(tmp_path / "videos.csv", *rows)
    store = convert(tmp_path / "source", tmp_path / "store.h5", "--annotations", table, from_="mgfn")
    abuse, normal = store["Abuse001_x264"], store["Normal_Videos001_x264"]
    assert (abuse.num_frames, abuse.annotation.intervals, abuse.annotation.classes) == (512, None, ("Abuse",))
    assert (normal.num_frames, normal.annotation.intervals) == (512, ())
    reported = {entry["video"]: entry["reason"] for entry in reasons(tmp_path / "store.h5")}
    assert "32 segments of the whole video" in reported["Abuse001_x264"]
    assert reported["Normal_Videos001_x264"] == ""


@needs_data
def test_real_c3d_segments(tmp_path: Path) -> None:
    one = convert(C3D / "Explosion025_x264.txt", tmp_path / "one.h5", "--backbone", "c3d")
    ten = convert(C3D / "sample_videos_c3d.npz", tmp_path / "ten.h5", from_="sultani")
    assert one.provenance.source.endswith("sultani")
    assert len(ten) == 10
    features = one.read("Explosion025_x264")
    assert features.shape == (32, 1, 4096)
    np.testing.assert_allclose(features, ten.read("Explosion025_x264"), atol=5e-7)
    assert ten.classes == ("Explosion", "RoadAccidents", "Shooting", "Shoplifting")
    assert sum(ten[video].annotation.label == 0 for video in ten) == 2


# ------------------------------------------------------------------------- streams of other lengths


def make_audio(folder: Path, snippets: int, rows: int) -> Path:
    """A video of so many snippets; row r of its audio holds r + 1."""
    save_crops(folder / "RGB", "a__#1_label_A", values("a", snippets, 5), TEN[:5])
    audio = np.repeat(np.arange(1, rows + 1, dtype=np.float32)[:, np.newaxis], 4, axis=1)
    save(folder / "vggish" / "a__#1_label_A__vggish.npy", audio)
    return folder


@pytest.mark.parametrize(
    ("rows", "unequal", "expected", "note"),
    [
        (4, "one", [1, 2, 3, 4], ""),
        (3, "one", [1, 2, 3, 3], "audio: 1 missing rows filled with the last one"),
        (5, "one", [1, 2, 3, 4], "audio: 1 surplus rows dropped"),
        (2, "last", [1, 2, 2, 2], "audio: 2 missing rows filled with the last one"),
        (9, "last", [1, 2, 3, 4], "audio: 5 surplus rows dropped"),
        (2, "zeros", [1, 2, 0, 0], "audio: 2 missing rows filled with zeros"),
    ],
)
def test_unequal_streams(rows: int, unequal: str, expected: list[int], note: str, tmp_path: Path) -> None:
    source = make_audio(tmp_path / "source", 4, rows)
    store = convert(source, tmp_path / "store.h5", "--unequal", unequal, "--split", "train")
    assert store.read("a__#1_label_A", "audio")[:, 0, 0].tolist() == expected
    assert {entry["reason"] for entry in reasons(tmp_path / "store.h5")} == {note}


def test_audio_is_aligned_by_time(tmp_path: Path) -> None:
    """Snippets of 16 frames at 24 a second have their middles at 1/3, 1, 5/3, … seconds."""
    source = make_audio(tmp_path / "source", 6, 5)
    options = ["--audio_hop", "0.96", "--fps", "24", "--split", "train"]
    store = convert(source, tmp_path / "store.h5", *options)
    assert store.read("a__#1_label_A", "audio")[:, 0, 0].tolist() == [1, 2, 2, 3, 4, 4]
    assert {entry["reason"] for entry in reasons(tmp_path / "store.h5")} == {""}
    short = make_audio(tmp_path / "short", 6, 2)
    with pytest.raises(WSVADError, match="has 2 rows of audio for 6 snippets"):
        convert(short, tmp_path / "short.h5", *options)
    filled = convert(short, tmp_path / "short.h5", *options, "--unequal", "zeros")
    assert filled.read("a__#1_label_A", "audio")[:, 0, 0].tolist() == [1, 2, 2, 0, 0, 0]


def test_missing_streams(tmp_path: Path) -> None:
    miniature = tevad(tmp_path / "source")
    next(miniature.source.rglob("Abuse001*_emb.npy")).unlink()
    save(miniature.source / "emb" / "Arson009_x264_emb.npy", values("x", 3, 1)[:, 0])
    with pytest.raises(WSVADError, match="Abuse001_x264: has no text. Give --unequal zeros"):
        convert(miniature.source, tmp_path / "store.h5")
    store = convert(miniature.source, tmp_path / "store.h5", "--unequal", "zeros")
    assert not store.read("Abuse001_x264", "text").any()
    assert store.read("Abuse001_x264", "text").shape == (7, 1, 5)
    reported = {entry["video"]: entry["reason"] for entry in reasons(tmp_path / "store.h5")}
    assert reported["Arson009_x264"] == "no features go with it"


# ------------------------------------------------------------------------------ names and labels


def test_features_of_one_base_name_are_told_apart_by_folder(tmp_path: Path) -> None:
    """Streams and crops have folders too, which are not part of a name."""
    for camera, length in (("gate", 3), ("yard", 4)):
        for crop in range(5):
            save(tmp_path / "source" / "RGB" / camera / f"0001__{crop}.npy", np.ones((length, 6), np.float32))
        save(tmp_path / "source" / "flow" / camera / "0001.npy", np.ones((length, 5), np.float32))
    for crop in range(5):
        save(tmp_path / "source" / "RGB" / "yard" / f"x__{crop}.npy", np.ones((2, 6), np.float32))
    save(tmp_path / "source" / "flow" / "x.npy", np.ones((2, 5), np.float32))
    rows = ("cameras/gate/0001.mp4,normal,48,,train", "cameras/yard/0001.mp4,fall,64,,test", "x,fall,,,test")
    table = write_table(tmp_path / "videos.csv", *rows)
    store = convert(tmp_path / "source", tmp_path / "store.h5", "--annotations", table)
    found = {name: (store[name].num_snippets, store[name].annotation.label) for name in store}
    assert found == {"gate/0001": (3, 0), "yard/0001": (4, 1), "x": (2, 1)}
    assert all(set(store[name].streams) == {"features", "flow"} for name in store)
    bare = write_table(tmp_path / "videos.csv", "0001,normal,,,train")
    with pytest.raises(WSVADError, match="'0001': may mean gate/0001, yard/0001"):
        convert(tmp_path / "source", tmp_path / "other.h5", "--annotations", bare)


def test_arrays_of_one_base_name_in_a_file_are_told_apart(tmp_path: Path) -> None:
    held = {
        "gate/0001": np.ones((3, 6), np.float32),
        "yard/0001": np.ones((4, 6), np.float32),
        "b/x": np.ones((2, 6), np.float32),
    }
    (tmp_path / "all.pkl").write_bytes(pickle.dumps(held))
    store = convert(tmp_path / "all.pkl", tmp_path / "store.h5", from_="plain")
    assert {name: store[name].num_snippets for name in store} == {"gate/0001": 3, "yard/0001": 4, "x": 2}


def test_a_label_that_is_another_now_is_reported(source: Path, tmp_path: Path) -> None:
    rows = ["Abuse001_x264,Abuse,,,train", "Normal_Videos001_x264,normal,,,train"]
    for change, reason in (("", ""), ("train", " with another split; `wsvad data remove` takes it out")):
        table = write_table(tmp_path / "videos.csv", rows[0].replace(change or "?", "test"), rows[1])
        convert(source, tmp_path / "store.h5", "--annotations", table)
        reported = {entry["video"]: entry["reason"] for entry in reasons(tmp_path / "store.h5")}
        if change:
            assert reported["Abuse001_x264"] == f"was in the store before{reason}"
    assert reported["Normal_Videos001_x264"] == "was in the store before"


# ------------------------------------------------------------------------------------- broken videos


BROKEN = {
    "crop missing": "without 3 where most have 10",
    "crop twice": "has the same crop in Abuse/{name} and copy/{name}",
    "crop of another length": "has crops of 32 and 33 snippets",
    "NaN": "{name} holds NaN or infinite values",
    "text": "{name} holds <U1, not numbers",
    "all crops in one": "{name} is of shape (33, 10, 6) where one crop is [snippets, channels]",
    "one axis": "{name} is of shape (6,), not [snippets, channels]",
    "other channels": "where other videos have",
    "cut": "cannot be read",
}


def break_video(how: str, folder: Path, name: str) -> None:
    """Break a file of a miniature of crop files."""
    path = folder / "Abuse" / name
    array = np.load(path)
    if how == "crop missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif how == "crop twice":
        save(folder / "copy" / name, array)
    elif how == "other channels":
        for crop in range(10):
            save(path.with_name(f"RoadAccidents002_x264__{crop}.npy"), array[:, :5])
    else:
        changed = {
            "crop of another length": array[:-1],
            "NaN": np.where(array == array.max(), np.nan, array),
            "text": np.full(array.shape, "x"),
            "all crops in one": values("x", 33, 10),
            "one axis": array[0],
        }
        np.save(path, changed[how])


@pytest.mark.parametrize("how", BROKEN)
def test_broken_videos(how: str, tmp_path: Path) -> None:
    source, name = urdmu(tmp_path / "source").source, "RoadAccidents002_x264__3.npy"
    break_video(how, source, name)
    with pytest.raises(WSVADError, match="cannot be converted, such as RoadAccidents002_x264.*--skip-broken"):
        convert(source, tmp_path / "store.h5", from_="urdmu")
    assert not (tmp_path / "store.h5").exists()  # the others wait in parts
    broken = [entry for entry in reasons(tmp_path / "store.h5") if entry["status"] == "broken"]
    assert {entry["video"] for entry in broken} == {"RoadAccidents002_x264"}
    assert BROKEN[how].format(name=name) in broken[0]["reason"]
    store = convert(source, tmp_path / "store.h5", "--skip_broken", "true", from_="urdmu", status=1)
    assert set(store) == set(UCF) - {"RoadAccidents002_x264"}


def test_values_beyond_half_precision(tmp_path: Path) -> None:
    save(tmp_path / "source" / "a.npy", np.full((3, 4), 70000.0, np.float32))
    with pytest.raises(WSVADError, match="a.npy has values up to 7e[+]04, beyond float16"):
        convert(tmp_path / "source", tmp_path / "store.h5", "--dtype", "float16")


def test_mended_sources_go_on(tmp_path: Path) -> None:
    source = urdmu(tmp_path / "source").source
    path = source / "Abuse" / "RoadAccidents002_x264__3.npy"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(WSVADError):
        convert(source, tmp_path / "store.h5")
    path.write_bytes(content)
    store = convert(source, tmp_path / "store.h5")
    assert set(store) == set(UCF)
    reported = {entry["video"]: entry["reason"] for entry in reasons(tmp_path / "store.h5")}
    assert reported["Abuse001_x264"] == "was in the store before"
    assert store.checksum() == convert(source, tmp_path / "again.h5").checksum()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_killed_conversion_goes_on(count: int, source: Path, tmp_path: Path) -> None:
    """Three videos are renamed into place, and then the joined store."""
    whole = convert(source, tmp_path / "whole.h5").checksum()
    process = SERVER.Process(target=convert_until, args=(source, tmp_path / "store.h5", count))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    store = convert(source, tmp_path / "store.h5")
    assert store.checksum() == whole
    reported = [entry["reason"] for entry in reasons(tmp_path / "store.h5")]
    assert reported.count("was in the store before") == min(count, 3)


# -------------------------------------------------------------------------------------------- mistakes


def test_train_and_test_lists_come_into_one_store(tmp_path: Path) -> None:
    for video, held in features_of(UCF, 10).items():
        save(tmp_path / "features" / f"{video}_i3d.npy", held["features"])
    (tmp_path / "ucf-i3d.list").write_text("x/Abuse001_x264_i3d.npy\nx/Abuse001_x264_i3d.npy")
    (tmp_path / "ucf-i3d-test.list").write_text("x/Normal_Videos001_x264_i3d.npy")
    options = ["--folder", str(tmp_path / "features")]
    convert(tmp_path / "ucf-i3d.list", tmp_path / "store.h5", *options, "--split", "train")
    assert [entry["reason"] for entry in reasons(tmp_path / "store.h5")] == ["listed twice", ""]
    store = convert(tmp_path / "ucf-i3d-test.list", tmp_path / "store.h5", *options)
    splits = {video: store[video].annotation.split for video in store}
    assert splits == {"Abuse001_x264": "train", "Normal_Videos001_x264": "test"}


def test_listed_files_that_are_missing(source: Path, tmp_path: Path) -> None:
    (tmp_path / "train.list").write_text("x/Abuse001_x264_i3d.npy\nx/Abuse002_x264_i3d.npy")
    options = ["--folder", str(source)]
    with pytest.raises(WSVADError, match="x/Abuse002_x264_i3d.npy: listed, but does not exist"):
        convert(tmp_path / "train.list", tmp_path / "store.h5", *options)
    options += ["--skip_broken", "true"]
    assert len(convert(tmp_path / "train.list", tmp_path / "store.h5", *options, status=1)) == 1


def test_streams_of_lists(tmp_path: Path) -> None:
    """As XDVioDet has them: one list a stream, with the author's folders."""
    source = make_audio(tmp_path / "features", 4, 4)
    lines = [f"/media/peng/i3d/RGB/a__#1_label_A{ending}.npy" for ending in TEN[:5]]
    (tmp_path / "rgb.list").write_text("\n".join(lines))
    (tmp_path / "audio.list").write_text("/media/peng/vggish/a__#1_label_A__vggish.npy\n")
    options = ["--folder", str(source), "--streams", f"{{audio: {tmp_path / 'audio.list'}}}"]
    store = convert(tmp_path / "rgb.list", tmp_path / "store.h5", *options)
    assert store.read("a__#1_label_A", "audio")[:, 0, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("lines", "reported"),
    [
        ("Abuse001_x264\nNormal_Videos001_x264", "names 2 videos where nalist.npy has the rows of 3"),
        ("Abuse001_x264\nNormal_Videos001_x264\nAbuse001_x264", "names Abuse001_x264 2 times"),
        (None, "does not divide 52 rows into"),
    ],
)
def test_matrices_that_do_not_fit(lines: str | None, reported: str, tmp_path: Path) -> None:
    source = c2fpl(tmp_path / "source").source
    options = []
    if lines is None:
        np.save(source / "nalist.npy", np.array([[0, 7], [8, 19], [19, 52]]))
    else:
        (source / "short.list").write_text(lines)
        options = ["--names", str(source / "short.list")]
    with pytest.raises(WSVADError, match=reported):
        convert(source, tmp_path / "store.h5", *options)


def test_a_matrix_is_reported_by_the_options_that_go_with_it(tmp_path: Path) -> None:
    miniature = c2fpl(tmp_path / "source")
    nalist, names = miniature.source / "nalist.npy", miniature.source / "ucf-i3d.list"
    options = ["--nalist", str(nalist.rename(tmp_path / "rows.npy")), "--names", str(names)]
    store = convert(miniature.source / "concat_UCF.npy", tmp_path / "store.h5", *options)
    assert set(store) == set(miniature.streams)


def test_a_matrix_of_other_rows_is_reported(tmp_path: Path) -> None:
    source = c2fpl(tmp_path / "source").source
    np.save(source / "nalist.npy", np.array([[0, 7], [7, 19]]))
    with pytest.raises(WSVADError, match="holds no array of the rows in nalist.npy"):
        convert(source, tmp_path / "store.h5")


def test_mistakes_of_newcomers(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what to change, and nothing written."""
    output, empty = tmp_path / "store.h5", tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "void").mkdir()
    (tmp_path / "void" / "README.md").write_text("features")
    (tmp_path / "void" / "other.list").write_text("x/Fight_001.npy\n")
    (tmp_path / "void" / "half.csv").write_text("path,label\n,Abuse\n")
    (tmp_path / "zipped").mkdir()
    (tmp_path / "zipped" / "broken.zip").write_bytes(b"PK")
    (tmp_path / "cut.pkl").write_bytes(b"\x80")
    table = write_table(tmp_path / "videos.csv", "gate_0412,normal,,,train")
    mistakes = [
        ([str(source)], "--output is required. See `wsvad data convert --help`"),
        ([str(source / "nothing"), "-o", str(output)], "no such file or folder"),
        ([str(empty), "-o", str(output)], "holds no files"),
        ([str(tmp_path / "void"), "-o", str(output)], "from='auto': no arrays were found"),
        ([str(source), "-o", str(output), "--from", "rtmf"], "Did you mean rtfm?"),
        ([str(source), "-o", str(output), "--annotations", table], "none of its 3 videos can be converted"),
        ([str(source), "-o", str(output), "--annotations", "no.csv"], "annotations='no.csv': cannot be read"),
        ([str(tmp_path / "void" / "other.list"), "-o", str(output)], "Give their folder by --folder"),
        ([str(tmp_path / "void" / "half.csv"), "-o", str(output)], "lacks a path in a row"),
        ([str(tmp_path / "zipped"), "-o", str(output)], "broken.zip': cannot be read"),
        (
            [str(source), "-o", str(output), "--from", "c2fpl"],
            "holds no file nalist.npy",
        ),
        (
            [str(source), "-o", str(output), "--from", "rtfm", "--names", table],
            "knows no --nalist and --names",
        ),
        ([str(tmp_path / "cut.pkl"), "-o", str(output)], "no arrays were found; cut.pkl: cannot be read"),
        ([str(source), "-o", str(output), "--snippet-length", "0"], "--snippet-length='0'"),
        ([str(source), "-o", str(output), "--audio-hop", "0"], "--audio-hop='0.0': must be above 0"),
        ([str(source), "-o", str(output), "--audio-hop", "0.96"], "needs the frame rate. Give --fps"),
        ([str(source), "-o", str(output), "--streams.text", "no"], "source='no': no such file"),
        ([str(source), "-o", str(output), "--annotatoins", table], "annotatoins"),
    ]
    for args, reported in mistakes:
        assert main(["data", "convert", *args]) == 2, args
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert reported in error, error
        assert not output.exists()
    assert main(["data", "convert", str(source), "-o", str(output), "--from", "rtfm", "--skip-broken"]) == 0
    assert len(FeatureStore(output)) == 3


def test_a_store_of_other_features_is_not_added_to(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "store.h5")
    with pytest.raises(WSVADError, match="backbone is 'unknown' where 'i3d' is wanted"):
        run(str(source), "--output", str(tmp_path / "store.h5"), "--backbone", "i3d")


def test_what_an_unfinished_run_left_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "source" / "a.npy", values("a", 4, 1)[:, 0])
    save(tmp_path / "source" / "b.npy", np.full((4, 6), np.nan, np.float32))
    command = ["data", "convert", str(tmp_path / "source"), "-o", str(tmp_path / "store.h5")]
    assert main(command) == 2
    assert main([*command, "--backbone", "i3d"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"store={str(tmp_path / 'store.h5.parts')!r}: its backbone is 'unknown'" in error
    assert "remove it" in error


# ------------------------------------------------------------------------------- what is said of names


def test_what_is_taken_from_names_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ("train/Abuse001_x264", "train/normal/a", "train/normal/b", "l2_normalized/c", "train_station/d")
    for number, place in enumerate(places):
        save(tmp_path / "source" / f"{place}.npy", values(place, 4 + number, 1)[:, 0])
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    known = {video: (store[video].annotation.label, store[video].annotation.split) for video in store}
    assert known == {
        "Abuse001_x264": (1, "train"),
        "a": (0, "train"),
        "b": (0, "train"),
        "c": (-1, None),
        "d": (-1, None),
    }
    said = capsys.readouterr().out
    assert "label taken from names: normal by 'normal' (2), abnormal, Abuse by 'Abuse…' (1)\n" in said
    assert "split taken from names: train by 'train' (3)\n" in said


def test_a_table_leaves_parts_to_whole_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("train_station/cam7", "test/cam9"):
        save(tmp_path / "source" / f"{place}.npy", values(place, 4, 1)[:, 0])
    table = write_table(tmp_path / "videos.csv", "cam7,normal,,,", "cam9,normal,,,")
    store = convert(tmp_path / "source", tmp_path / "store.h5", "--annotations", table)
    assert [store[video].annotation.split for video in store] == [None, "test"]
    assert "split taken from names: test by 'test' (1)\n" in capsys.readouterr().out


def test_numbers_of_clips_are_no_crops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for video in ("q8Xa1", "Bz-22"):
        for clip in range(3):
            save(tmp_path / "source" / "Fight" / f"{video}_{clip}.npy", values(video, 9, 1)[:, 0])
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    assert len(store) == 6
    assert "names end in _0 to _2: taken for 6 videos, not for crops of 2" in capsys.readouterr().out
    assert set(convert(tmp_path / "source", tmp_path / "crops.h5", from_="urdmu")) == {"q8Xa1", "Bz-22"}


def test_linked_folders_and_all_that_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "nas" / "far.npy", values("far", 4, 1)[:, 0])
    save(tmp_path / "source" / "near.npy", values("near", 5, 1)[:, 0])
    (tmp_path / "source" / "nas").symlink_to("../nas")
    for name in ("._near.npy", ".hidden.npy", "late.npy.part"):
        (tmp_path / "source" / name).write_bytes(b"x")
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    assert set(store) == {"far", "near"}
    reported = {entry["file"]: entry["status"] for entry in reasons(tmp_path / "store.h5")}
    passed = ["._near.npy", ".hidden.npy", "late.npy.part"]
    assert reported == {"nas/far.npy": "used", "near.npy": "used", **dict.fromkeys(passed, "skipped")}
    said = capsys.readouterr().out
    assert f"followed linked folders: {tmp_path / 'source' / 'nas'}\n" in said
    assert "passed over: " in said


def test_endings_without_features_belong_to_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "one" / "traffic_flow.npy", values("a", 4, 1)[:, 0])
    assert set(convert(tmp_path / "one", tmp_path / "one.h5")) == {"traffic_flow"}
    assert "no features go with the endings flow" in capsys.readouterr().out
    for ending in ("rgb", "flow"):
        save(tmp_path / "two" / f"traffic_{ending}.npy", values(ending, 4, 1)[:, 0])
    assert set(convert(tmp_path / "two", tmp_path / "two.h5")["traffic"].streams) == {"features", "flow"}
    assert "stream taken from names: flow by 'endings of file names' (1)\n" in capsys.readouterr().out


def test_what_is_read_is_listed(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.parquet").write_text("x")
    with pytest.raises(WSVADError, match="a.parquet: not a file of features. Read are .npy, .npz, .pkl"):
        run(str(tmp_path / "source"), "--output", str(tmp_path / "store.h5"))


@pytest.mark.parametrize("name", ["train_features.npy", "TestFeatures.npy", "X_test.npy", "all.npz"])
def test_an_array_that_may_be_of_all_videos_is_no_video(name: str, tmp_path: Path) -> None:
    write = np.savez if name.endswith("z") else np.save
    write(tmp_path / name, np.ones((100, 8), np.float32))
    with pytest.raises(WSVADError, match=r"may be of one video or have the rows of all.*--nalist"):
        run(str(tmp_path), "--output", str(tmp_path / "store.h5"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).rename(tmp_path / f"Abuse001_{name}")
    (video,) = convert(tmp_path, tmp_path / "store.h5")
    assert video.startswith("Abuse001")
