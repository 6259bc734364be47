"""From a video file to its scores, with the recipe that the checkpoint carries."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from tests.methods.small import SMALLER
from tests.serving.clockwork import CLASSES
from tests.videos import VideoMaker, write_stamped
from wsvad_lightning import Detector
from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.names import usable_as_path
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.reporting import scored_video
from wsvad_lightning.reporting.maps import read_maps
from wsvad_lightning.reporting.scores import video_curve
from wsvad_lightning.runs.progress import StepProgress

README = Path(__file__).parents[2] / "README.md"
RECIPE = """
snippet_length: 8
snippet_stride: 4
frame_stride: 2
tail: pad
dtype: float16
streams:
  - {name: features, backbone: flow_statistics, view: 1x2, size: 32}
"""


def fit(store: Path, folder: Path, *more: str) -> Path:
    """Train a step and give the checkpoint."""
    where = ["--data.store", str(store), "--output", str(folder), "--name", "model"]
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "1"]
    assert main(["fit", "--config", "ucf_urdmu.yaml", *small, *where, "--data.normalize", "l2", *more]) == 0
    return folder / "model" / "version_0" / "checkpoints" / "last.ckpt"


class Trained(NamedTuple):
    """A checkpoint, and the videos and the store that it was trained with."""

    checkpoint: Path
    videos: Path
    store: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "videos").mkdir()
    for i, name in enumerate(("n1", "n2", "a1", "a2")):
        write_stamped(folder / "videos" / f"{name}.mp4", [t / 10 for t in range(10 + 3 * i)])
    rows = "n1,normal,train\nn2,normal,train\na1,abnormal,train\na2,abnormal,train\n"
    (folder / "train.csv").write_text("video,label,split\n" + rows)
    (folder / "recipe.yaml").write_text(RECIPE)
    options = ["--annotations", str(folder / "train.csv"), "--config", str(folder / "recipe.yaml")]
    assert main(["extract", str(folder / "videos"), str(folder / "train.h5"), *options]) == 0
    # A split and a table of the training videos say nothing of the videos that are scored.
    (folder / "split.json").write_text(json.dumps({"train": ["n1", "n2", "a1", "a2"], "test": []}))
    known = ["--data.split", str(folder / "split.json"), "--data.annotations", str(folder / "train.csv")]
    return Trained(fit(folder / "train.h5", folder, *known), folder / "videos", folder / "train.h5")


def predict(checkpoint: Path, videos: Path, folder: Path, *more: str) -> list[str]:
    where = ["--output", str(folder / "runs"), "--name", "cameras"]
    return ["predict", "--ckpt_path", str(checkpoint), "--videos", str(videos), *where, *more]


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def test_everything_is_written_of_every_video(
    trained: Trained, make_video: VideoMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[float] = []
    monkeypatch.setattr(StepProgress, "show_part", lambda _, part: parts.append(part))
    make_video("cameras/gate.mp4", 20, width=66, height=50)
    make_video("cameras/still.avi", 1, codec="mpeg4")  # one frame, one snippet
    stamps = [0.0, 0.1, 0.2, 0.5, 0.6]
    write_stamped(tmp_path / "cameras" / "jerky.mp4", stamps)
    assert main(predict(trained.checkpoint, tmp_path / "cameras", tmp_path)) == 0
    assert parts == [0.5, 1.0] * 3  # of two patches of each video
    run = tmp_path / "runs" / "cameras" / "version_0"
    assert not list(run.rglob("events.csv"))  # the method knows no classes
    snippets = rows_of(run / "scores.csv")
    assert {row["video"] for row in snippets} == {"gate", "still", "jerky"}
    detector = Detector.from_checkpoint(trained.checkpoint)
    alone = {one.video_id: one for one in map(detector.score_video, (tmp_path / "cameras").iterdir())}
    assert {name: one.num_frames for name, one in alone.items()} == {"gate": 20, "still": 1, "jerky": 5}
    for name, one in alone.items():
        scores = [float(row["score"]) for row in snippets if row["video"] == name]
        assert one.scores.tolist() == pytest.approx(scores, abs=1e-6)
    for name, num_frames, size in (("gate", 20, (66, 74)), ("still", 1, (64, 72)), ("jerky", 5, (64, 72))):
        frames = rows_of(run / name / "curve.csv")
        assert [int(row["frame"]) for row in frames] == list(range(num_frames))
        reported = json.loads((run / name / "scores.json").read_text())
        assert list(reported) == ["video", "fps", "seconds", "scores"]
        assert reported["video"] == name
        assert [f"{score:.6g}" for score in reported["scores"]] == [row["score"] for row in frames]
        first = next(row["score"] for row in snippets if row["video"] == name)
        assert float(frames[0]["score"]) == pytest.approx(float(first), rel=1e-5)
        assert (run / name / "scores.png").read_bytes().startswith(b"\x89PNG")
        with av.open(run / name / "scored.mp4") as container:
            drawn = list(container.decode(video=0))
        assert len(drawn) == num_frames
        assert (drawn[0].width, drawn[0].height) == size
    assert [float(row["seconds"]) for row in rows_of(run / "jerky" / "curve.csv")] == stamps
    assert [round(frame.time, 3) for frame in av.open(run / "jerky" / "scored.mp4").decode(video=0)] == stamps
    report = (run / "report.html").read_text("utf-8")
    assert all(f'src="{name}/scored.mp4"' in report for name in ("gate", "still", "jerky"))
    with av.open(tmp_path / "cameras" / "gate.mp4") as given, av.open(run / "gate" / "scored.mp4") as copy:
        assert copy.streams.video[0].average_rate == given.streams.video[0].average_rate
        assert copy.duration == given.duration


def test_the_lines_of_the_readme_score_a_video_and_its_features(
    trained: Trained, make_video: VideoMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lines = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    make_video("clip.mp4", 20)
    monkeypatch.chdir(tmp_path)
    detector = Detector.from_checkpoint(trained.checkpoint)
    with detector.extractor().encode("clip.mp4") as encoded:
        names: dict[str, Any] = {"detector": detector, "array": encoded.streams["features"][:]}
        exec(lines, names)
    assert torch.equal(names["clip"].scores, names["same"].scores)
    scored = [score for part in np.split(names["array"], [3]) for score in names["stream"].update(part)]
    assert len(scored) == len(names["clip"].scores) == 4


def test_a_method_that_learns_from_frames_maps_those_of_the_videos_that_it_scores(
    trained: Trained, make_video: VideoMaker, tmp_path: Path
) -> None:
    sizes = [f"--model.{name}={value}" for name, value in SMALLER["SST"].items()]
    data = ["--data.store", str(trained.store), "--model.videos", str(trained.videos)]
    where = ["--output", str(tmp_path), "--name", "model", "--trainer.max_steps", "1"]
    assert (
        main(["fit", "--config", "ucf_sst.yaml", "--config", "with/smoke.yaml", *sizes, *data, *where]) == 0
    )
    make_video("cameras/gate.mp4", 20)
    checkpoint = tmp_path / "model" / "version_0" / "checkpoints" / "last.ckpt"
    assert main(predict(checkpoint, tmp_path / "cameras", tmp_path)) == 0
    maps = read_maps(tmp_path / "runs" / "cameras" / "version_0" / "maps.h5", "gate")
    assert maps.shape == (4, 2, 2)
    assert maps.max() > 0.0
    assert main([*predict(checkpoint, tmp_path / "cameras", tmp_path), "--maps", "false"]) == 0
    without = tmp_path / "runs" / "cameras" / "version_1"
    assert (without / "scores.csv").exists()
    assert not (without / "maps.h5").exists()


def test_joined_patches_give_no_maps(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = fit(trained.store, tmp_path, "--data.crops", "concat")
    scored = ["predict", "--ckpt_path", str(checkpoint), "--output", str(tmp_path), "--name", "scored"]
    assert main(scored) == 0
    assert "No maps: data.crops=concat joins the patches" in caplog.text
    assert (tmp_path / "scored" / "version_0" / "scores.csv").exists()
    assert not (tmp_path / "scored" / "version_0" / "maps.h5").exists()
    assert main([*scored, "--maps", "true"]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "--maps='true': data.crops=concat joins the patches" in error
    assert not (tmp_path / "scored" / "version_1").exists()
    caplog.clear()
    (tmp_path / "where.csv").write_text(
        "video,label,num_frames,intervals,regions\nn1,normal,10,,\na1,abnormal,16,2-6,masks.h5\n"
    )
    with h5py.File(tmp_path / "masks.h5", "w") as masks:
        masks["a1"] = np.zeros((16, 48, 64), np.uint8)
        masks["a1"][2:6] = 1
    known = ["--data.annotations", str(tmp_path / "where.csv"), "--data.split", str(tmp_path / "split.json")]
    (tmp_path / "split.json").write_text(json.dumps({"train": [], "test": ["n1", "a1"]}))
    assert main(["test", *scored[1:], *known]) == 0
    assert "No maps: data.crops=concat joins the patches" in caplog.text


def test_videos_of_one_name_have_folders_of_their_own(
    trained: Trained, make_video: VideoMaker, tmp_path: Path
) -> None:
    lengths = {"gate/0001": 9, "yard/0001": 1, "n" * 250: 2}
    for name, num_frames in lengths.items():
        make_video(f"cameras/{name}.mp4", num_frames)
    assert main(predict(trained.checkpoint, tmp_path / "cameras", tmp_path)) == 0
    run = tmp_path / "runs" / "cameras" / "version_0"
    assert {row["video"] for row in rows_of(run / "scores.csv")} == set(lengths)
    for name, num_frames in lengths.items():
        folder = run / usable_as_path(name)
        assert len(rows_of(folder / "curve.csv")) == num_frames
        assert json.loads((folder / "scores.json").read_text())["video"] == name
        assert (folder / "scored.mp4").exists()


def test_events_are_reported_with_their_classes_and_times(trained: Trained, tmp_path: Path) -> None:
    names = json.dumps(CLASSES)
    model = ["--model", "tests.serving.clockwork.Clockwork", "--model.classes", names]
    where = ["--data.store", str(trained.store), "--output", str(tmp_path), "--name", "clockwork"]
    assert main(["fit", "--config", "with/smoke.yaml", *model, *where]) == 0
    (tmp_path / "cameras").mkdir()
    stamps = [t / 10 + (t > 9) for t in range(24)]  # nothing is filmed for a second
    write_stamped(tmp_path / "cameras" / "Tür.mp4", stamps)
    write_stamped(tmp_path / "cameras" / "calm.mp4", stamps[:4])
    checkpoint = tmp_path / "clockwork" / "version_0" / "checkpoints" / "last.ckpt"
    assert main(predict(checkpoint, tmp_path / "cameras", tmp_path, *model[:2])) == 0
    run = tmp_path / "runs" / "cameras" / "version_0"
    table = (run / "Tür" / "events.csv").read_text("utf-8").splitlines()
    # Snippets of 8 frames begin every 4; where both of a frame are of the class, it is likely enough.
    assert table == [
        "video,start_frame,end_frame,start_seconds,end_seconds,class,score,x,y,width,height",
        f"Tür,8,12,0.800,2.200,{CLASSES[0]},0.7,0,0,64,48",  # both patches of the frame are as likely
        f"Tür,20,24,3.000,{stamps[-1] + stamps[-1] / 23:.3f},{CLASSES[1]},0.6,0,0,64,48",
    ]
    assert (run / "events.csv").read_text("utf-8").splitlines() == table
    covered = [row for row in rows_of(run / "scores.csv") if row["video"] == "Tür"]
    seconds = [float(covered[1][name]) for name in ("start_seconds", "end_seconds")]
    assert seconds == [stamps[4], stamps[12]]  # by the time stamps, not by a frame rate
    assert (run / "calm" / "events.csv").read_text("utf-8").splitlines() == table[:1]
    text = (run / "Tür" / "scores.json").read_text("utf-8")
    assert f'"class": "{CLASSES[0]}"' in text
    events = json.loads(text)["events"]
    assert [format(event["end_seconds"], ".3f") for event in events] == [r.split(",")[4] for r in table[1:]]
    assert json.loads((run / "calm" / "scores.json").read_text("utf-8"))["events"] == []
    with av.open(run / "Tür" / "scored.mp4") as container:
        below_number = [frame.to_ndarray(format="gray")[16:26, 6:58] for frame in container.decode(video=0)]
    named = [t for t, part in enumerate(below_number) if int(np.ptp(part)) > 100]
    assert named == [*range(8, 12), *range(20, 24)]


def test_odd_files_do_not_stop_the_rest(
    trained: Trained, make_video: VideoMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video("cameras/good.mp4", 20)
    unfinished = make_video("cameras/unfinished.mkv", 40, encoder={"g": "5"})
    unfinished.write_bytes(unfinished.read_bytes()[: unfinished.stat().st_size * 3 // 4])
    (tmp_path / "cameras" / "text.mp4").write_text("no video")
    (tmp_path / "cameras" / "gone.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    command = predict(trained.checkpoint, tmp_path / "cameras", tmp_path)
    assert main(command) == 2
    assert not (tmp_path / "runs" / "cameras" / "version_0").exists()
    for _ in range(2):  # the second time nothing is decoded for features
        capsys.readouterr()
        assert main([*command, "--skip-broken"]) == 1
        reported = capsys.readouterr().err.splitlines()
        assert [line.split(":")[0] for line in reported if "--skip-broken" in line] == ["skipped"] * 2
        (note,) = (line for line in reported if line.startswith("note: unfinished: "))
        assert "frames where the header states 40" in note
    run = tmp_path / "runs" / "cameras" / "version_1"
    assert {row["video"] for row in rows_of(run / "scores.csv")} == {"good", "unfinished"}
    assert len(list(run.glob("*/scored.mp4"))) == 2


def test_if_no_video_can_be_read_there_is_nothing_to_score(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    command = predict(trained.checkpoint, tmp_path / "text.mp4", tmp_path, "--skip-broken")
    assert main(command) == 2
    assert not (tmp_path / "runs" / "cameras").exists()


def test_pictures_come_last_and_one_that_fails_is_a_note(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "cameras" / "version_0"
    there: list[int] = []

    def fail(*_: object, **__: object) -> None:
        there.append(len([*run.glob("*/curve.csv"), *run.glob("*/scores.json"), run / "scores.csv"]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scored_video, "report_figure", fail)
    monkeypatch.setattr(scored_video, "write_drawn", fail)
    assert main(predict(trained.checkpoint, trained.videos, tmp_path)) == 0
    assert there == [9] * 8  # all tables of four videos
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: without ")]
    assert len(notes) == 8
    assert notes[0].endswith("scores.png: [Errno 28] No space left on device")


def test_a_video_that_has_gone_keeps_its_scores(
    trained: Trained, make_video: VideoMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("gate.mp4", 20)

    def remove(*args: Any) -> Any:
        path.unlink()
        return video_curve(*args)

    monkeypatch.setattr("wsvad_lightning.serving.command.video_curve", remove)
    assert main(predict(trained.checkpoint, path, tmp_path)) == 0
    run = tmp_path / "runs" / "cameras" / "version_0"
    assert [row["seconds"] for row in rows_of(run / "gate" / "curve.csv")][:2] == ["0.000", "0.100"]
    assert rows_of(run / "scores.csv")
    assert not (run / "gate" / "scored.mp4").exists()


def test_features_come_out_as_in_the_training_and_only_once(trained: Trained, tmp_path: Path) -> None:
    everything = predict(trained.checkpoint, trained.videos, tmp_path)
    assert main(everything) == 0
    (store,) = (tmp_path / "runs" / "cameras").glob("features-*.h5")
    assert FeatureStore(store).checksum() == FeatureStore(trained.store).checksum()
    written = store.stat().st_mtime_ns
    assert main(predict(trained.checkpoint, trained.videos / "n1.mp4", tmp_path)) == 0  # in another store
    assert main(everything) == 0
    assert store.stat().st_mtime_ns == written
    runs = [tmp_path / "runs" / "cameras" / f"version_{n}" for n in range(3)]
    assert [len(list(run.glob("*/scored.mp4"))) for run in runs] == [4, 1, 4]
    assert len({(run / "n1" / "curve.csv").read_text() for run in runs}) == 1


def test_a_checkpoint_with_its_recipe_loads_without_running_code(trained: Trained) -> None:
    checkpoint = torch.load(trained.checkpoint, weights_only=True)
    assert checkpoint["provenance"]["snippet_stride"] == 4
    assert checkpoint["provenance"]["views"] == {"features": ("r0c0", "r0c1")}


def converted(trained: Trained, folder: Path) -> list[str]:
    checkpoint = fit(make_store(folder / "converted.h5", dim=16, train=3, test=2), folder / "other")
    return predict(checkpoint, trained.videos, folder)


def of_before(trained: Trained, folder: Path) -> list[str]:
    checkpoint = torch.load(trained.checkpoint, weights_only=True)
    del checkpoint["provenance"]
    torch.save(checkpoint, folder / "before.ckpt")
    return predict(folder / "before.ckpt", trained.videos, folder)


def other_weights(trained: Trained, folder: Path) -> list[str]:
    checkpoint = torch.load(trained.checkpoint, weights_only=True)
    recipe = json.loads(checkpoint["provenance"]["preprocessing"])
    recipe["streams"]["features"]["sha256"] = "0123"
    checkpoint["provenance"]["preprocessing"] = json.dumps(recipe)
    torch.save(checkpoint, folder / "other.ckpt")
    return predict(folder / "other.ckpt", trained.videos, folder)


def no_video(trained: Trained, folder: Path) -> list[str]:
    (folder / "text.mp4").write_text("no video")
    return predict(trained.checkpoint, folder / "text.mp4", folder)


def absent(trained: Trained, folder: Path) -> list[str]:
    return predict(trained.checkpoint, folder / "absent", folder)


def needless_weights(trained: Trained, folder: Path) -> list[str]:
    return predict(trained.checkpoint, trained.videos, folder, "--weights", "w.pth")


@pytest.mark.parametrize(
    ("mistake", "reported"),
    [
        (converted, ("--videos", "other features", "--data.store")),
        (of_before, ("--videos", "does not say", "--data.store")),
        (other_weights, ("sha256 of the stream features is None", "'0123'", "--weights")),
        (no_video, ("text.mp4", "cannot be decoded")),
        (absent, ("absent", "no such file or folder")),
        (needless_weights, ("weights='w.pth'", "no stream has a backbone that needs any")),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    mistake: Callable[[Trained, Path], list[str]],
    reported: tuple[str, ...],
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = mistake(trained, tmp_path)
    capsys.readouterr()
    assert main(args) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    for words in reported:
        assert words in line
    assert not list(tmp_path.rglob("scores.csv"))
    assert not (tmp_path / "runs" / "cameras").exists()


def test_a_folder_of_images_is_scored(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "cameras" / "gate").mkdir(parents=True)
    for number in range(12):
        image = Image.fromarray(np.full((48, 64), 20 * number, np.uint8))
        image.save(tmp_path / "cameras" / "gate" / f"{number}.jpg")
    command = predict(trained.checkpoint, tmp_path / "cameras", tmp_path, "--image_fps", "5")
    assert main(command) == 0
    (folder,) = tmp_path.glob("runs/cameras/version_0/gate")
    record = json.loads((folder / "scores.json").read_text())
    assert (record["fps"], len(record["scores"])) == (5.0, 12)
    assert record["seconds"] == pytest.approx([number / 5 for number in range(12)])
    assert len(list(tmp_path.glob("runs/cameras/features-*.h5"))) == 1
    (tmp_path / "cameras" / "gate" / "11.jpg").unlink()
    assert main(command) == 0  # changed, so it is extracted again
    assert len(list(tmp_path.glob("runs/cameras/features-*.h5"))) == 2
