"""The files that offline runs of Weights & Biases leave: their records, and the step at which one goes on.

A run that is continued has a file for each command, all with its id in the name. ``wandb sync`` uploads them
in the order in which they were begun, and keeps the steps that are written in them.
"""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32768  # bytes of the file's header and of a record's; of a block
FULL, LAST = 1, 4  # kinds of a part: a whole record, the end of one


def offline_files(folder: str | Path, run_id: str) -> list[Path]:
    """List the files of a run, in the order of time.

    Args:
        folder: that wandb was given to write to.
        run_id: of the run.
    """
    return sorted(Path(folder, "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))


def read_records(path: Path) -> Iterator[Any]:
    """Read the records of a file, each a ``wandb_internal_pb2.Record``; a part that a kill left ends them.

    The file has a header, then the log format of LevelDB: blocks of parts of records.

    Args:
        path: the file.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, parts = path.read_bytes(), HEADER, b""
    while position + HEADER <= len(data):
        if (left := BLOCK - position % BLOCK) < HEADER:  # too little for a part: the block ends here
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        start, position = position + HEADER, position + HEADER + length
        if not length or position > len(data):
            return
        parts += data[start:position]
        if kind in (FULL, LAST):
            yield Record.FromString(parts)
            parts = b""


def next_step(folder: str | Path, run_id: str) -> int:
    """Give the step of the history after the last one that the files of a run hold; 0 without any.

    Args:
        folder: that wandb was given to write to.
        run_id: of the run.
    """
    files = offline_files(folder, run_id)
    steps = (record.history.step.num for path in files for record in read_records(path) if is_history(record))
    return max(steps, default=-1) + 1


def await_free_name(folder: str | Path, run_id: str) -> None:
    """Wait until a file of a run gets a name of its own: wandb names it by the second in which it begins.

    Args:
        folder: that wandb was given to write to.
        run_id: of the run.
    """
    for path in offline_files(folder, run_id)[-1:]:
        while time.strftime("%Y%m%d_%H%M%S") in path.parent.name:
            time.sleep(0.05)


def is_whole(path: Path) -> bool:
    """Whether a file has the record that ends a run; one that is not there yet has none."""
    return path.is_file() and any(record.WhichOneof("record_type") == "exit" for record in read_records(path))


def is_history(record: Any) -> bool:
    """Whether a record is a row of the history."""
    return bool(record.WhichOneof("record_type") == "history")
