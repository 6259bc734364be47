"""Files that are written whole or not at all, and tensors, JSON and tables in them."""

import csv
import errno
import glob
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from wsvad_lightning.errors import WSVADError

FULL = (errno.ENOSPC, errno.EDQUOT)
LOCK = "lock"  # of a temporary folder, as not every file system locks folders themselves

# What a spreadsheet computes: also in the wide letters of Asian keyboards, and with apostrophes before it.
NUMBER = r"(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)$"
FORMULA = re.compile(rf"'*(?:[=@\uff1d\uff20\t\r]|[+\-\uff0b\uff0d](?!{NUMBER}))")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``, and move it to ``path`` when the block succeeds.

    A killed process leaves the old file, or none, and perhaps a temporary one, which the next call for the
    same path removes (see :func:`remove_leftovers`). After an error nothing of the new one is left.

    Args:
        path: the file to make or replace; its folder is made.

    Raises:
        WSVADError: if the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, glob.escape(path.name))
        temporary, lock = _make_temporary(path)
        try:
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            lock.close()  # some systems do not move a file that is open
            temporary.replace(path)
            _write_through(path.parent)
        finally:
            lock.close()
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise WSVADError(
            "output", path, f"cannot be written ({error.strerror})", "Free space or choose another folder"
        ) from error


@contextmanager
def making_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``path``, and give it that name when the block succeeds.

    After an error or a signal nothing of it is left. A process that is killed leaves the temporary one, which
    the next call for the same path removes.

    Args:
        path: the folder to make, absent or empty.

    Raises:
        WSVADError: if there is something, a file system begins there, or the folder cannot be written.
    """
    target = Path(path).resolve()  # the folder itself where a link leads to it
    if target.is_mount():
        raise WSVADError("folder", path, "is where a file system begins", "Give a folder below it")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise WSVADError("folder", path, "is not an empty folder", "Give one that is absent or empty")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, glob.escape(target.name))
        temporary, lock = _make_temporary(target, folder=True)
        made = temporary / "made"  # next to the file that locks it
        try:
            made.mkdir()
            yield made
            for file in made.rglob("*"):
                if file.is_file():
                    _sync(file)
            with suppress(FileNotFoundError):
                target.rmdir()
            made.rename(target)
            _write_through(target.parent)
        finally:
            lock.close()
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise WSVADError("folder", path, problem, "Free space or choose another folder") from error


@contextmanager
def space_explained(folder: str | Path) -> Iterator[None]:
    """Say in one line that the disk of an output folder is full, whatever library has met it.

    Raises:
        WSVADError: in place of the error of the operating system.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        problem = f"cannot be written ({error.strerror})"
        raise WSVADError("--output", folder, problem, "Free space or choose another folder") from error


@contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """Yield the path of an empty file that is deleted when the block ends.

    That of a killed process stays until :func:`remove_leftovers`, with this name at the end of its own.

    Args:
        folder: where it takes its space.
        name: part of its name.
    """
    path, lock = _make_temporary(folder / name)
    try:
        yield path
    finally:
        lock.close()
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: str = "*") -> None:
    """Remove the temporary files and folders that killed processes left in a folder.

    Those of a live process are locked and stay; where files cannot be locked, so do all.

    Args:
        folder: where to look, not below it.
        names: of what they were to become, a glob pattern.
    """
    for path in folder.glob(f".{names}.????????.tmp"):
        lock = _lock(path, exclusive=True)
        if lock is not None:
            with lock, suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _make_temporary(path: Path, *, folder: bool = False) -> tuple[Path, ExitStack]:
    """Make a temporary file or folder next to a path, and lock it for as long as this process lives."""
    naming: dict[str, Any] = {"prefix": f".{path.name}.", "suffix": ".tmp", "dir": path.parent}
    while True:
        if folder:
            name = tempfile.mkdtemp(**naming)
        else:
            handle, name = tempfile.mkstemp(**naming)
            os.close(handle)
        lock = _lock(Path(name), exclusive=False)
        if Path(name).exists():
            return Path(name), lock or ExitStack()
        if lock is not None:  # it was taken for a leftover before it was locked
            lock.close()


def _lock(path: Path, *, exclusive: bool) -> ExitStack | None:
    """Lock a file, or a folder by a file in it; None if a process has it, or files cannot be locked there."""
    from portalocker import LockException, LockFlags, lock  # on use: what reads stores starts without it

    kind = LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING if exclusive else LockFlags.SHARED
    with ExitStack() as held, suppress(OSError, LockException):
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT) if path.is_dir() else os.open(path, os.O_RDWR)
        held.callback(os.close, handle)
        lock(handle, kind)
        return held.pop_all()
    return None


def _sync(path: Path) -> None:
    """Make sure that the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _write_through(folder: Path) -> None:
    """Make sure that a power cut does not undo what was moved in a folder."""
    if os.name != "posix":  # no other system opens folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can
            os.fsync(handle)
    finally:
        os.close(handle)


def write_tensors(record: object, path: str | Path) -> None:
    """Write tensors and plain values for ``torch.load``, whole or not at all.

    Args:
        record: mappings and sequences of them.
        path: the file.

    Raises:
        WSVADError: if the file cannot be written.
    """
    import torch  # what reads stores and tables starts without it

    with replacing(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(record, file)
        except RuntimeError as error:  # PyTorch's writer has no words for a full disk
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def write_json(record: object, path: str | Path, *, indent: int | None = 2) -> None:
    """Write a record as JSON in UTF-8, whole or not at all; undefined numbers become ``null``.

    Args:
        record: mappings, sequences and plain values.
        path: the file.
        indent: spaces a level; None for one line.

    Raises:
        WSVADError: if the file cannot be written.
    """
    text = json.dumps(without_nan(record), indent=indent, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table in UTF-8 with line feeds, whole or not at all.

    Args:
        path: the file.
        columns: their names.
        rows: a cell a column, written as text; None leaves its cell empty. What a spreadsheet would compute
            is marked as text, see :func:`as_text`.

    Raises:
        WSVADError: if the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(map(as_text, columns))
        for row in rows:  # a line that begins with # is a comment
            (quoting if str(row[0]).startswith("#") else writer).writerow(map(as_text, row))


def as_text(cell: object) -> object:
    """Put an apostrophe before what a spreadsheet would take for a formula; :func:`cell_of` takes it away.

    A cell may be a list with semicolons, at which spreadsheets of some languages divide it.
    """
    if not isinstance(cell, str):
        return cell
    return ";".join(f"'{part}" if FORMULA.match(part) else part for part in cell.split(";"))


def cell_of(text: str) -> str:
    """Read a cell that :func:`as_text` may have written."""
    return ";".join(
        part[1:] if part.startswith("'") and FORMULA.match(part) else part for part in text.split(";")
    )


def without_nan(value: Any) -> Any:
    """Replace NaN by None in nested mappings and sequences: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
