"""Files of offline runs: how far they are read, and where their history goes on."""

import struct
import time
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

from wsvad_lightning.reporting.offline import (
    await_free_name,
    is_whole,
    next_step,
    offline_files,
    read_records,
)


def write_log(path: Path, records: list[Record]) -> Path:
    """Write records as wandb does: in parts where a block ends."""
    data = bytearray(7)
    for record in records:
        raw, first = record.SerializeToString(), True
        while raw or first:
            left = 32768 - len(data) % 32768
            if left < 7:
                data += bytes(left)
                continue
            part, raw = raw[: left - 7], raw[left - 7 :]
            kind = (1 if first else 4) if not raw else (2 if first else 3)
            data += struct.pack("<IHB", 0, len(part), kind) + part
            first = False
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def row(step: int, text: str = "") -> Record:
    record = Record()
    record.history.step.num = step
    record.history.item.add(key="note", value_json=text)
    return record


def test_records_that_span_blocks_are_whole(tmp_path: Path) -> None:
    texts = ["a" * 100, "b" * 70000, "c" * (32768 - 40), "d"]
    path = write_log(tmp_path / "run" / "x.wandb", [row(i, text) for i, text in enumerate(texts)])
    assert [record.history.item[0].value_json for record in read_records(path)] == texts


def test_what_a_kill_has_cut_off_is_left_out(tmp_path: Path) -> None:
    path = write_log(tmp_path / "run" / "x.wandb", [row(0), row(1, "b" * 70000)])
    whole = path.read_bytes()
    for end in (40, 32768, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert [record.history.step.num for record in read_records(path)] == [0]
    path.write_bytes(whole[:12])
    assert list(read_records(path)) == []


def test_a_run_goes_on_after_its_last_step(tmp_path: Path) -> None:
    for begun, steps in (("20260101_000000", [0, 1, 2]), ("20260102_000000", [3, 4])):
        folder = tmp_path / "wandb" / f"offline-run-{begun}-abc"
        write_log(folder / "run-abc.wandb", [Record(num=1), *map(row, steps)])
    write_log(tmp_path / "wandb" / "offline-run-20260103_000000-abcd" / "run-abcd.wandb", [row(9)])
    assert len(offline_files(tmp_path, "abc")) == 2
    assert next_step(tmp_path, "abc") == 5
    assert next_step(tmp_path, "other") == 0


def test_two_files_of_a_run_never_share_a_name(tmp_path: Path) -> None:
    now = time.strftime("%Y%m%d_%H%M%S")
    write_log(tmp_path / "wandb" / f"offline-run-{now}-abc" / "run-abc.wandb", [row(0)])
    await_free_name(tmp_path, "abc")
    assert time.strftime("%Y%m%d_%H%M%S") > now


def test_a_file_is_whole_once_it_has_the_record_of_the_end(tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "x.wandb")
    end = Record()
    end.exit.exit_code = 0
    assert not is_whole(write_log(tmp_path / "a" / "x.wandb", [row(0)]))
    assert is_whole(write_log(tmp_path / "b" / "x.wandb", [row(0), end]))
