"""How files end whose format has no number of frames: whether one was cut shows there alone."""

from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

TS_PACKETS = {188: 0, 192: 4, 204: 0}  # bytes of a packet of MPEG-TS, and of the time stamp before it
TS_BEGIN = b"G"
FLV_HEADER, FLV_LENGTH = 11, 4  # bytes before the data of a tag, and of its length after it


def is_cut(path: Path, container: str) -> bool:
    """Whether a file does not end with a whole packet of its format; False of formats not known here.

    A file that was cut between two packets looks whole.

    Args:
        path: of the file.
        container: its format, as FFmpeg calls it.
    """
    ends_whole = {"mpegts": _ends_as_ts, "flv": _ends_as_flv}.get(container)
    if ends_whole is None:
        return False
    with path.open("rb") as file:
        return not ends_whole(file, file.seek(0, SEEK_END))


def _ends_as_ts(file: BinaryIO, size: int) -> bool:
    """MPEG-TS is of packets of one size (ISO/IEC 13818-1, 2.4.3), each of which begins with the same byte."""
    for packet, header in TS_PACKETS.items():
        file.seek(max(0, size - packet + header))
        if size % packet == 0 and file.read(1) == TS_BEGIN:
            return True
    return False


def _ends_as_flv(file: BinaryIO, size: int) -> bool:
    """In FLV the length of every tag follows it, and its header has the length of its data (annex E.3)."""
    file.seek(max(0, size - FLV_LENGTH))
    length = int.from_bytes(file.read(), "big")
    if not FLV_HEADER <= length <= size - FLV_LENGTH:
        return False
    file.seek(size - FLV_LENGTH - length + 1)
    return int.from_bytes(file.read(3), "big") == length - FLV_HEADER
