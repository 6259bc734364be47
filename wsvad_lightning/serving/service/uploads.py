"""What a client sends, on the disk for as long as it is needed: never under a name that it chose."""

import asyncio
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from fastapi import Request

from wsvad_lightning.data.datasets.limits import check_archive, check_npy, read_npy
from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import FULL, remove_leftovers, scratch
from wsvad_lightning.serving.service.refused import Refused

NAME = "wsvad-upload"
NPY, NPZ = b"\x93NUMPY", b"PK\x03\x04"  # how files begin


def remove_uploads() -> None:
    """Remove the uploads that killed services left."""
    remove_leftovers(Path(tempfile.gettempdir()), f"*{NAME}")


@contextmanager
def upload() -> Iterator[Path]:
    """Give a path for an upload, which is deleted whatever happens."""
    with scratch(Path(tempfile.gettempdir()), NAME) as path:
        yield path


async def receive(request: Request, path: Path, most_bytes: int, seconds: float) -> int:
    """Write the body of a request to a file, piece by piece, and give its bytes.

    Args:
        request: whose body it is.
        path: of the file.
        most_bytes: that it may have.
        seconds: that it may take.

    Raises:
        Refused: if it is too large, comes too slowly, is empty or a form, or the disk is full.
        ClientDisconnect: if the client goes away.
    """
    too_large = Refused(413, f"the body has more than {most_bytes // 10**6} MB")
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise Refused(415, "forms are not taken: send the file itself, as by curl --data-binary @clip.mp4")
    stated = request.headers.get("content-length", "0")
    if not stated.isdecimal() or int(stated) > most_bytes:
        raise too_large
    size = 0
    try:
        async with asyncio.timeout(seconds):
            with path.open("wb") as file:
                async for piece in request.stream():
                    size += len(piece)
                    if size > most_bytes:
                        raise too_large
                    file.write(piece)
    except TimeoutError:
        raise Refused(408, f"the body took longer than {seconds:g} s") from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Refused(507, "the disk of the service is full") from error
    if not size:
        raise Refused(415, "the body is empty: send a video, or features as .npy or .npz")
    return size


def holds_arrays(path: Path) -> bool:
    """Whether a file begins as those of NumPy do; whether it is a video, the decoder says."""
    with path.open("rb") as file:
        return file.read(6).startswith((NPY, NPZ))


def read_features(path: Path, most_bytes: int) -> Features | dict[str, Features]:
    """Read an upload as an array of features, or as several by name of the stream.

    Args:
        path: of the file.
        most_bytes: that an archive may unpack to.

    Raises:
        Refused: if it is damaged, holds anything but numbers, or unpacks to more.
    """
    try:
        with path.open("rb") as file:
            return _read_archive(file, most_bytes) if file.read(4) == NPZ else read_npy("body", str(path))
    except Refused:
        raise
    except WSVADError as error:
        raise Refused(415, error.problem) from None
    except Exception as error:  # a damaged file fails anywhere in its reader
        raise Refused(415, f"cannot be read ({error})") from None


def _read_archive(file: IO[bytes], most_bytes: int) -> dict[str, Features]:
    found = {}
    with zipfile.ZipFile(file) as archive:
        check_archive(archive)
        if sum(entry.file_size for entry in archive.infolist()) > most_bytes:
            raise Refused(413, f"the archive unpacks to more than {most_bytes // 10**6} MB")
        for entry in archive.infolist():
            with archive.open(entry) as member:
                check_npy(member, entry.file_size)
                found[entry.filename.removesuffix(".npy")] = np.load(member, allow_pickle=False)
    return found
