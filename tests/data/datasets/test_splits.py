import json
import os
from pathlib import Path

import pytest

from wsvad_lightning.data.datasets.splits import Split, read_split, read_splits
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.errors import WSVADError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


PLAIN = {"train": ["a.mp4", "b"], "test": ["videos/c.mp4"]}
BY_LABEL = {
    "train": {"normal": ["a"], "abnormal": ["b"]},
    "test": {"normal": [], "abnormal": ["c"]},
    "val": ["d"],
}


@pytest.mark.parametrize(
    ("content", "index", "expected"),
    [
        (PLAIN, 0, Split(("a", "b"), ("c",))),
        (BY_LABEL, 0, Split(("a", "b"), ("c",), ("d",))),
        ({"generator": "by hand", "splits": [BY_LABEL, {"seed": 1, **PLAIN}]}, 1, Split(("a", "b"), ("c",))),
        ({"train": ["a"], "scenes": {"a": 1}}, 0, Split(("a",))),
        ({"test": ["a"]}, 0, Split(test=("a",))),
        ({"Training": ["a"], "validation": ["b"], "Testing": ["c"]}, 0, Split(("a",), ("c",), ("b",))),
    ],
)
def test_a_json_split_is_read(tmp_path: Path, content: object, index: int, expected: Split) -> None:
    path = write(tmp_path / "split.json", json.dumps(content))
    assert read_split(path, index) == expected
    assert read_splits(path)[index] == expected


def test_a_table_split_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "split.csv", "video,label,split\na,0,train\nc.mp4,1,test\nb,1,train\nd,0,val\n")
    assert read_split(path) == Split(("a", "b"), ("c",), ("d",))


def test_videos_of_no_part_are_left_out_of_a_table_split(tmp_path: Path) -> None:
    path = write(tmp_path / "split.csv", "video;split\na;Training\nb;\nc;predict\n")
    assert read_split(path) == Split(("a",))


WRONG_SPLITS: dict[str, tuple[object, str]] = {
    "nothing": ({"train": [], "test": []}, "parts 'train, test, val': name no video"),
    "no part": ({"train": ["a"], "holdout": ["b"]}, "part 'holdout': is not a part of a split"),
    "no part by label": (
        {"train": ["a"], "held": {"normal": ["b"]}},
        "part 'held': is not a part of a split",
    ),
    "two names": ({"val": ["a"], "validation": ["b"]}, "part 'validation': is a second part val"),
    "both": ({"train": ["a", "b"], "test": ["b.mp4"]}, "video 'b': is in train and again in test"),
    "twice": ({"train": ["a", "a"], "test": ["b"]}, "video 'a': is in train and again in train"),
    "val": ({"train": ["a"], "test": ["b"], "val": ["b"]}, "video 'b': is in test and again in val"),
    "no list": ({"train": "a", "test": ["b"]}, "part 'train': is not a list of names"),
    "no names": ({"train": ["a"], "test": [1]}, "part 'test': is not a list of names"),
    "no name": ({"train": ["a"], "test": [""]}, "is not a name of a video"),
    "a list": (["a", "b"], "holds no split"),
    "no splits": ({"splits": []}, "holds no split"),
    "splits of lists": ({"splits": [["a"]]}, "holds no split"),
}


@pytest.mark.parametrize(("content", "message"), WRONG_SPLITS.values(), ids=WRONG_SPLITS)
def test_a_wrong_split_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path / "split.json", json.dumps(content))
    with pytest.raises(WSVADError, match=message) as error:
        read_split(path)
    assert error.value.argument == "split"
    assert str(path) in str(error.value)


@pytest.mark.parametrize("index", [1, -1])
def test_a_split_that_is_not_there_is_refused(tmp_path: Path, index: int) -> None:
    path = write(tmp_path / "split.json", json.dumps(PLAIN))
    with pytest.raises(WSVADError, match=rf"split_index='{index}'.*holds 1 split"):
        read_split(path, index)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("split.json", '{"train": [', "is not JSON.*line 1"),
        ("split.json", "[" * 5_000, "is not JSON: maximum recursion"),
        ("split.csv", "video,split\na,train\nb,holdout\n", "line 3.*'holdout' is not a part"),
        ("split.csv", "video,label\na,0\n", "lacks the column 'split'"),
    ],
)
def test_an_unreadable_split_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        read_split(write(tmp_path / name, text))


def test_a_split_names_videos_as_a_table_does(tmp_path: Path) -> None:
    path = write(tmp_path / "split.json", '{"train": ["1.mp4"], "test": ["cam2/0001"]}')
    known = {"1": "cam1/1.mp4", "cam1/0001": "cam1/0001.mp4", "cam2/0001": "cam2/0001.mp4"}
    assert read_split(path, 0, known) == Split(("1",), ("cam2/0001",))
    path = write(path, '{"train": ["1"], "test": ["0001"]}')
    with pytest.raises(WSVADError, match="split=.*video '0001': may mean cam1/0001, cam2/0001"):
        read_split(path, 0, known)


@pytest.mark.skipif("WSVAD_DATA" not in os.environ, reason="WSVAD_DATA names no folder of real data sets")
def test_ucsd_ped2() -> None:
    folder = Path(os.environ["WSVAD_DATA"]) / "data" / "ucsd_ped2"
    annotations = read_annotations(folder / "annotations.csv")
    splits = read_splits(folder / "splits.json")
    assert len(splits) == 5
    for split in splits:
        assert (len(split.train), len(split.test)) == (16, 12)
        assert {*split.train, *split.test} == set(annotations)
