"""The script that draws the pictures of the documentation."""

import json
import re
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from wandb.proto.wandb_internal_pb2 import Record

from tests.bench.test_results import RESULTS
from tests.reporting.html.runs import make_run
from tests.reporting.test_offline import write_log
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.wandb import STEP
from wsvad_lightning.video.writer import write_video

ROOT = Path(__file__).parents[1]
TABLE = "video,label,num_frames,intervals,split\na,abnormal,8,2-6,test\nb,normal,8,,test\n"


def load_script(name: str = "draw_docs") -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


SCRIPT = load_script()


def test_every_picture_of_the_documentation_is_drawn_by_it_and_shown() -> None:
    docs = ROOT / "docs"
    there = {path.relative_to(docs).as_posix() for path in docs.rglob("*.png")}
    assert there == set(SCRIPT.PICTURES)
    shown = set()
    for page in (ROOT / "README.md", *docs.rglob("*.md")):
        for link in re.findall(r"!\[.*?\]\((.*?\.png)\)", page.read_text("utf-8"), re.DOTALL):
            shown.add((page.parent / link).resolve().relative_to(docs).as_posix())
    assert there == shown


def test_pictures_of_runs_are_drawn_from_the_scores_of_the_first_split(tmp_path: Path) -> None:
    run = tmp_path / "bench" / "urdmu" / "ped2" / "split0_seed0_last" / "version_1"
    run.mkdir(parents=True)
    make_run(run)
    (tmp_path / "bench" / "results.json").write_text(json.dumps([asdict(result) for result in RESULTS]))
    where = {"bench": str(tmp_path / "bench"), "output": str(tmp_path / "docs")}
    SCRIPT.draw_docs(["methods/urdmu.png", "ped2.png"], **where)
    for name in ("methods/urdmu.png", "ped2.png"):
        assert imread(tmp_path / "docs" / name).shape[1] > 1000
    with pytest.raises(WSVADError, match="has no \\*/split0_seed0_last"):
        SCRIPT.draw_docs(["methods/rtfm.png"], **where)
    with pytest.raises(WSVADError, match="is not made here"):
        SCRIPT.draw_docs(["other.png"], **where)


def test_memory_of_a_soak_is_drawn(tmp_path: Path) -> None:
    record = tmp_path / "soak.json"
    record.write_text(json.dumps({"cameras": 1, "faults": 3, "memory": [400.0, 410.0, 420.0, 420.0]}))
    SCRIPT.draw_docs(["live.png"], soak=str(record), output=str(tmp_path))
    assert imread(tmp_path / "live.png").shape[1] > 1000


def offline_run(method: str, split: int, logged: dict[int, float]) -> list[Record]:
    """What wandb writes of a training and its test: losses by step."""
    config, summary = Record(), Record()
    for key, value in {"model": {"class_path": f"a.{method}"}, "data": {"split_index": split}}.items():
        config.config.update.add(key=key, value_json=json.dumps(value))
    for key in ("test/auc", "test/auc_abnormal"):
        summary.summary.update.add(key=key, value_json=str(0.9 - split / 10))
    history = []
    for step, loss in logged.items():
        row = Record()
        for key, number in {STEP: step, "train/loss/total": loss, "train/lr": 0.1}.items():
            row.history.item.add(nested_key=[key], value_json=json.dumps(number))
        history.append(row)
    return [config, *history, summary]


def test_runs_that_logged_at_different_steps_are_drawn_together(tmp_path: Path) -> None:
    runs = {"RTFM": [{0: 4.0, 2: 2.0}, {1: 5.0, 2: 4.0, 3: 1.0}], "URDMU": [{0: 1.0}]}
    for method, logs in runs.items():
        for split, logged in enumerate(logs):
            name = f"offline-run-20260101_00000{split}-{method}{split}"
            path = tmp_path / "bench" / "wandb" / name / f"run-{method}{split}.wandb"
            write_log(path, offline_run(method, split, logged))
    script, axes = load_script("wandb_panels"), Figure().subplots()
    script.draw_curves(axes, script.read_runs(tmp_path / "bench"), "train/loss/total")
    means = [np.asarray(line.get_xydata()).tolist() for line in axes.lines]
    assert means == [[[0, 4], [1, 4], [2, 3], [3, 1]], [[0, 1]]]  # of those that have a value at a step
    script.panels(tmp_path / "bench", tmp_path / "wandb.png")
    assert imread(tmp_path / "wandb.png").shape[1] > 1000


def test_maps_are_next_to_the_outlined_truth(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text(TABLE)
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["c"], "test": ["a", "b"]}))
    truth = np.zeros((8, 48, 64), np.uint8)
    truth[4, 10:20, 30:50] = 1
    with h5py.File(tmp_path / "masks.h5", "w") as masks:
        masks["a"] = truth
    with write_video(tmp_path / "videos" / "a.mp4", fps=10, crf=0) as video:
        for _ in truth:
            video.write(np.full((48, 64, 3), 100, np.uint8))
    maps = np.full((2, 2, 2), 0.2)
    maps[1, 0, 1] = 0.6  # where the truth is, in the second half
    columns = {"motion": {"a": np.zeros((1, 3, 4))}, "RTFM": {"a": maps}}
    picture = SCRIPT.table_of_maps(tmp_path, ["a"], columns).astype(int)
    assert picture.shape == (2 * SCRIPT.TITLE + 48, 3 * 64 + 2 * SCRIPT.GAP, 3)
    heading, row = picture[: 2 * SCRIPT.TITLE], picture[2 * SCRIPT.TITLE :]
    words = (heading < 128).any(axis=(0, 2))
    assert [bool(words[left : left + 64].any()) for left in (0, 72, 144)] == [True] * 3
    frame, calm, tinted = row[:, :64], row[:, 64 + SCRIPT.GAP : -64 - SCRIPT.GAP], row[:, -64:]
    np.testing.assert_array_equal(frame[10, 30:50], [SCRIPT.OUTLINE] * 20)
    assert (np.abs(frame[11:19, 31:49] - 100) < 4).all()
    np.testing.assert_array_equal(calm, frame)  # a map that is the same everywhere
    assert (tinted[2:8, 40:60, 0] > 150).all()
    assert (np.abs(tinted[30:, :] - 100) < 4).all()  # at the median
