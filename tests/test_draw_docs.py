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
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from wandb.proto.wandb_internal_pb2 import Record

from tests.bench.test_results import RESULTS
from tests.reporting.test_offline import write_log
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.maps import write_maps
from wsvad_lightning.reporting.wandb import STEP
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import Prediction
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


def test_pictures_of_runs_are_those_of_the_first_split_and_the_newest_run(tmp_path: Path) -> None:
    for version in (0, 1):
        run = tmp_path / "bench" / "urdmu" / "ped2" / "split0_seed0_last" / f"version_{version}"
        run.mkdir(parents=True)
        (run / "scores.png").write_text(str(version))
    (tmp_path / "bench" / "results.json").write_text(json.dumps([asdict(result) for result in RESULTS]))
    where = {"bench": str(tmp_path / "bench"), "output": str(tmp_path / "docs")}
    SCRIPT.draw_docs(["methods/urdmu.png", "ped2.png"], **where)
    assert (tmp_path / "docs" / "methods" / "urdmu.png").read_text() == "1"
    assert imread(tmp_path / "docs" / "ped2.png").shape[1] > 1000
    with pytest.raises(WSVADError, match="has no \\*/split0_seed0_last"):
        SCRIPT.draw_docs(["methods/rtfm.png"], **where)
    with pytest.raises(WSVADError, match="is not made here"):
        SCRIPT.draw_docs(["other.png"], **where)


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
    maps = torch.zeros(2, 2, 2)
    maps[1, 0, 1] = 1  # where the truth is, in the second half
    write_maps(tmp_path / "maps.h5", [Prediction("a", torch.zeros(2), 8, maps=maps)], SnippetGrid(4, 4))
    SCRIPT.draw_docs(["maps.png"], maps=str(tmp_path), ped2=str(tmp_path), output=str(tmp_path))
    picture = (imread(tmp_path / "maps.png")[..., :3] * 255).round().astype(int)
    assert picture.shape == (48, 64 + SCRIPT.GAP + 64, 3)
    frame, tinted = picture[:, :64], picture[:, -64:]
    np.testing.assert_array_equal(frame[10, 30:50], [SCRIPT.OUTLINE] * 20)
    assert (np.abs(frame[11:19, 31:49] - 100) < 4).all()
    assert (tinted[2:8, 40:60, 0] > 150).all()
    assert (np.abs(tinted[30:, :] - 100) < 4).all()
