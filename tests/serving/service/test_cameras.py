"""The record of `wsvad watch` is read on as it grows, whatever its lines are."""

import json
from pathlib import Path
from typing import Any

import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.serving.service import cameras
from wsvad_lightning.serving.service.cameras import Cameras


def append(folder: Path, *lines: dict[str, Any]) -> None:
    with (folder / "watch.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def score(source: str, seconds: float, value: float) -> dict[str, Any]:
    return {"kind": "score", "source": source, "seconds": seconds, "score": value}


def names(followed: Cameras) -> list[str]:
    return [camera["name"] for camera in followed.state()["cameras"]]


def test_lines_are_read_on_and_a_new_start_begins_anew(tmp_path: Path) -> None:
    followed = Cameras(tmp_path)
    assert followed.state() == {"alarm": None, "age": None, "cameras": []}
    append(tmp_path, {"kind": "start", "source": "", "alarm": 0.4}, score("gate", 0, 0.1))
    assert followed.state()["cameras"][0]["score"] == 0.1
    whole = json.dumps(score("gate", 1, 0.7))
    with (tmp_path / "watch.jsonl").open("a") as file:
        file.write(whole[:9])
        file.flush()
        assert followed.state()["cameras"][0]["score"] == 0.1
        file.write(f"{whole[9:]}\n")
    alarm = {"kind": "alarm", "source": "gate", "start": 1, "end": 2, "score": 0.7, "picture": "alarms/g.jpg"}
    append(tmp_path, alarm, {"kind": "gap", "source": "gate"}, {"kind": "end", "source": "gate"})
    state = followed.state()
    (gate,) = state["cameras"]
    assert (state["alarm"], gate["scores"], gate["state"]) == (0.4, [(0.0, 0.1), (1.0, 0.7)], "ended")
    assert (gate["alarm_count"], gate["gaps"], gate["alarms"][0]["picture"]) == (1, 1, "g.jpg")
    append(tmp_path, {"kind": "start", "source": "", "alarm": 0.4}, score("yard", 0, 0.1))
    assert names(followed) == ["yard"]
    (tmp_path / "watch.jsonl").write_text(json.dumps(score("door", 0, 0.1)) + "\n")
    assert names(followed) == ["door"]


def test_what_is_no_line_of_the_record_is_passed_over(tmp_path: Path) -> None:
    odd = [
        "",
        "[]",
        "{}",
        "null",
        '{"kind": 1, "source": 2}',
        "[" * 10**5,
        '{"kind": "alarm", "source": "a"}',
    ]
    (tmp_path / "watch.jsonl").write_text("\n".join([*odd, json.dumps(score("a", 0, 0.1)), ""]))
    (camera,) = [one for one in Cameras(tmp_path).state()["cameras"] if one["name"] == "a"]
    assert (camera["score"], camera["alarms"][0]["picture"]) == (0.1, "")


def test_what_is_held_and_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "MOST_READ", 1000)
    monkeypatch.setattr(cameras, "MOST_CAMERAS", 3)
    append(tmp_path, *(score(f"file{i}", t, 0.1) for i in range(50) for t in range(5)))
    followed = Cameras(tmp_path)
    assert names(followed) == ["file47", "file48", "file49"]
    append(tmp_path, *(score("file49", t, 0.1) for t in range(2000)))
    for _ in range(3):
        followed.state()
    assert len(followed.state()["cameras"][-1]["scores"]) <= cameras.MOST_SCORES


def test_pictures_are_given_from_their_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "alarms").mkdir()
    (tmp_path / "alarms" / "a.jpg").write_bytes(b"a")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "alarms" / "link.jpg").symlink_to(tmp_path / "secret")
    followed = Cameras(tmp_path)
    assert followed.file_of_alarm("a.jpg") == tmp_path / "alarms" / "a.jpg"
    for name in ("link.jpg", "../secret", "..", "", str(tmp_path / "secret"), "absent.jpg"):
        assert followed.file_of_alarm(name) is None
    with pytest.raises(WSVADError, match="no such folder"):
        Cameras(tmp_path / "absent")
