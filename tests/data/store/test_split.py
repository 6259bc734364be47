import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.splits import read_split, read_splits
from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.data.store.split import deal, split
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError


def make_table(path: Path, normal: int = 40, classes: tuple[str, ...] = ("Arson", "Riot")) -> str:
    """20 videos of the first class, 10 of the second; scenes 00 to 07."""
    kinds = [""] * normal + [classes[0]] * 20 + [classes[1]] * 10
    videos = {}
    for number, kind in enumerate(kinds):
        name = f"{number % 8:02d}_{number:04d}"
        videos[name] = VideoAnnotation(name, int(bool(kind)), (kind,) if kind else ())
    write_annotations(path, videos)
    return str(path)


def kind_of(name: str) -> str:
    number = int(name[3:])
    return "normal" if number < 40 else "Arson" if number < 60 else "Riot"


def test_every_part_has_its_share_of_every_class(tmp_path: Path) -> None:
    output = tmp_path / "split.json"
    split(make_table(tmp_path / "t.csv"), output=str(output), test=0.3, val=0.1)
    parts = read_split(output)
    assert Counter(map(kind_of, parts.train)) == {"normal": 24, "Arson": 12, "Riot": 6}
    assert Counter(map(kind_of, parts.test)) == {"normal": 12, "Arson": 6, "Riot": 3}
    assert Counter(map(kind_of, parts.val)) == {"normal": 4, "Arson": 2, "Riot": 1}


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t.csv")
    texts = []
    for number, seed in enumerate((0, 0, 1)):
        split(table, output=str(tmp_path / f"{number}.json"), seed=seed)
        texts.append((tmp_path / f"{number}.json").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_every_video_is_tested_in_one_fold(tmp_path: Path) -> None:
    output = tmp_path / "split.json"
    split(make_table(tmp_path / "t.csv"), output=str(output), folds=5, val=0.2)
    choices = read_splits(output)
    assert len(choices) == 5
    assert Counter(name for choice in choices for name in choice.test).most_common(1)[0][1] == 1
    assert sum(len(choice.test) for choice in choices) == 70
    for choice in choices:
        assert len({*choice.train, *choice.val, *choice.test}) == 70
        assert Counter(map(kind_of, choice.test)) == {"normal": 8, "Arson": 4, "Riot": 2}
        assert Counter(map(kind_of, choice.val)) == {"normal": 8, "Arson": 4, "Riot": 2}


@pytest.mark.parametrize("pattern", [r"^\d+", r"^(\d+)_\d"])
def test_a_scene_stays_in_one_part(tmp_path: Path, pattern: str) -> None:
    output = tmp_path / "split.json"
    split(make_table(tmp_path / "t.csv"), output=str(output), test=0.25, group_by=pattern)
    parts = read_split(output)
    trained, tested = ({name[:2] for name in names} for names in (parts.train, parts.test))
    assert not trained & tested
    assert len(tested) == 2


def test_a_column_of_the_table_may_tell_the_scene(tmp_path: Path) -> None:
    table, output = tmp_path / "t.csv", tmp_path / "split.json"
    rows = [f"v{n}.mp4,{'normal' if n % 2 else 'Riot'},{'gate' if n < 6 else 'yard'}" for n in range(12)]
    table.write_text("\n".join(["video,label,Scene", *rows]))
    split(str(table), output=str(output), test=0.5, group_column="Scene")
    parts = read_split(output)
    assert {frozenset(parts.train), frozenset(parts.test)} == {
        frozenset(f"v{n}" for n in range(6)),
        frozenset(f"v{n}" for n in range(6, 12)),
    }


def test_a_store_is_split_as_well(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store.h5", train=6, test=4, classes=("fall", "fight"))
    split(str(store), output=str(tmp_path / "split.json"))
    parts = read_split(tmp_path / "split.json")
    assert (len(parts.train), len(parts.test)) == (16, 4)
    assert Counter(re.findall("normal|abnormal", " ".join(parts.test))) == {"normal": 2, "abnormal": 2}


def test_a_store_has_no_columns(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store.h5", train=6, test=4)
    with pytest.raises(WSVADError, match="group_column='scene': a store has no columns"):
        split(str(store), output=str(tmp_path / "split.json"), group_column="scene")


def test_unequal_groups_come_near_their_share() -> None:
    names = [f"v{i}" for i in range(100)]
    videos = {name: VideoAnnotation(name, i % 2) for i, name in enumerate(names)}
    groups = [names[0:30], names[30:50], *([name] for name in names[50:])]
    train, test = deal(groups, videos, [0.6, 0.4], np.random.default_rng(0))
    assert [sum(map(len, part)) for part in (train, test)] == [60, 40]


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, ["videos|train|test", "Arson|16|4", "Riot|8|2", "normal|32|8", "all|56|14"]),
        ({"folds": 5}, ["videos|Arson|Riot|normal|all", "train 0|16|8|32|56", "test 0|4|2|8|14"]),
    ],
)
def test_the_table_fits_the_screen(
    options: dict[str, Any], rows: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split(make_table(tmp_path / "t.csv"), output=str(tmp_path / "s.json"), **options)
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]
    assert ["|".join(row) for row in cells if len(row) > 1][: len(rows)] == rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 1.0}, "leave no videos for training"),
        ({"test": 0.6, "val": 0.4}, "leave no videos for training"),
        ({"folds": 1}, "must be at least 2"),
        ({"folds": 3, "test": 0.2}, "each of 3 folds is tested once"),
        ({"group_by": "("}, "is not a regular expression"),
        ({"group_by": "[a-z]+"}, "finds nothing in 00_0000"),
        ({"group_by": "x", "group_column": "y"}, "Give one"),
        ({"group_column": "scene"}, "lacks the column 'scene'"),
        ({"folds": 30}, "would have no"),
        ({"group_by": "^0"}, "would have no"),
    ],
)
def test_what_cannot_be_split_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    output = tmp_path / "split.json"
    with pytest.raises(WSVADError, match=message):
        split(make_table(tmp_path / "t.csv"), **{"output": str(output), **options})
    assert not output.exists()


def test_the_shipped_tables_split(tmp_path: Path) -> None:
    split("shanghaitech", output=str(tmp_path / "split.json"), test=0.3, group_by=r"^\d\d")
    assert set(json.loads((tmp_path / "split.json").read_text())) == {"train", "test"}
