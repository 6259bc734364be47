"""What the names of feature files and folders say: video, stream, crop, split and label.

UCF_Test_ten_crop_i3d/Abuse028_x264_i3d.npy     video Abuse028_x264, class Abuse, split test
RGB/Bad.Boys.1995__#00-26-51_label_B2-0-0__3.npy   video Bad.Boys…_label_B2-0-0, crop 3, class B2
test/01_0015_7.npy                              video 01_0015, crop 7, if all files come in such sets
SH_PATCH35_i3d/01_0014_patch35_i3d.npy          video 01_0014, stream patches_3x5
"""

import re
from collections import Counter
from collections.abc import Container, Iterable
from typing import NamedTuple

from wsvad_lightning.data.datasets import msad, ucf_crime, xd_violence
from wsvad_lightning.data.datasets.labels import Label, label_of_codes
from wsvad_lightning.data.datasets.names import canonical_id

FEATURES = "features"  # the stream that all others accompany
CLASSES = tuple(dict.fromkeys((*ucf_crime.CLASSES, *msad.CLASSES)))

KINDS = {"flow": "flow", "vggish": "audio", "audio": "audio"}
KINDS |= dict.fromkeys(("text", "emb", "sent", "caption", "captions", "swinbert"), "text")
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test", "rgbtest": "test"}
SPLITS |= {"val": "val", "validation": "val"}

KIND = re.compile(
    r"(.+?)(?:__|[_.-])(i3d|c3d|clip|vit|videomae(?:v2)?|rgb|resnet\d*|feat(?:ure)?s?|"
    r"flow|vggish|audio|text|emb|captions?|swinbert|patch(?:es)?_?\d{1,2}x?\d{1,2})$",
    re.IGNORECASE,
)
CROP = re.compile(r"(.+?)(?:__|[_.-]crop[_-]?)(\d{1,2})$", re.IGNORECASE)
CROP_FOLDER = re.compile(r"crop[_-]?(\d{1,2})", re.IGNORECASE)
DIGIT = re.compile(r"(.+)_(\d)")
PATCHES = re.compile(r"patch(?:es)?_?(?:(\d+)x(\d+)|(\d)(\d))(?!\d)", re.IGNORECASE)
XD_NAME = re.compile(rf"_label_({xd_violence.LABEL.pattern})(?![\w-])")
SAYS_NORMAL = re.compile("(?<!ab)normal", re.IGNORECASE)
SAYS_ABNORMAL = re.compile("abnormal|anomal", re.IGNORECASE)
CLASS_NAME = re.compile(rf"({'|'.join(CLASSES)})_?\d")
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class Name(NamedTuple):
    """What the name of a file says.

    Attributes:
        video: canonical name of the video.
        stream: stream that the name ends in, None if it names none.
        crop: number of the crop, None if it names none.
    """

    video: str
    stream: str | None
    crop: int | None


def parse_names(names: Iterable[str], known: Container[str] = ()) -> dict[str, Name]:
    """Split file names into video, stream and crop.

    ``__3`` and ``_crop3`` always name a crop. ``_3`` could as well be part of the video's name; it names a
    crop where all names end so, and mostly in sets that count from 0.

    Args:
        names: file names or paths.
        known: names of videos, which are not split any further.
    """
    parsed = {name: _parse(canonical_id(name), known) for name in names}
    for stream in {name.stream for name in parsed.values()}:
        of_stream = {given: name for given, name in parsed.items() if name.stream == stream}
        parsed |= _split_digits(of_stream, known)
    return parsed


def is_complete(crops: Iterable[int | None]) -> bool:
    """Whether crops are numbered without a gap: 0, 1, … or 1, … 5 or 10, or the first has no number."""
    given = set(crops)
    numbers = sorted(0 if crop is None else crop for crop in given)
    counted_from_one = len(given) in (5, 10) and numbers == list(range(1, len(given) + 1))
    return len(given) == 1 or numbers == list(range(len(given))) or counted_from_one


def crop_of(folders: Iterable[str]) -> int | None:
    """The crop that a folder such as ``crop3`` names."""
    matches = [match for match in map(CROP_FOLDER.fullmatch, folders) if match]
    return int(matches[-1][1]) if matches else None


def stream_of(folders: Iterable[str]) -> str | None:
    """The stream that the names of folders give, the innermost first."""
    for folder in reversed(list(folders)):
        if match := PATCHES.search(folder):
            return _patches(match)
        for word in _words(folder):
            if word in KINDS:
                return KINDS[word]
    return None


def places_of(folders: Iterable[str]) -> list[str]:
    """The folders that say where a video is, as they name neither a stream nor a crop."""
    return [
        folder
        for folder in folders
        if crop_of([folder]) is None and stream_of([folder]) is None and _words(folder) != ["rgb"]
    ]


def split_of(folders: Iterable[str]) -> str | None:
    """The part of the data set that the names of folders or of a list give, the innermost first."""
    for folder in reversed(list(folders)):
        found = {SPLITS[word] for word in _words(folder) if word in SPLITS}
        if len(found) == 1:
            return found.pop()
    return None


def named_label(video: str, folders: Iterable[str]) -> Label | None:
    """The label that the name of a video gives, or else the folder it lies in.

    Args:
        video: canonical name.
        folders: names of the folders it lies in, the innermost last.
    """
    if match := XD_NAME.search(video):
        return label_of_codes(match[1])
    if match := CLASS_NAME.match(video):
        return Label(1, (match[1],))
    for name in (video, *reversed(list(folders))):
        if name in CLASSES:
            return Label(1, (name,))
        if SAYS_NORMAL.search(name):
            return Label(0)
        if SAYS_ABNORMAL.search(name):
            return Label(1)
    return None


def _parse(stem: str, known: Container[str]) -> Name:
    video, stream, crop = stem, None, None
    while video not in known:
        if crop is None and (match := CROP.fullmatch(video)):
            crop = int(match[2])
        elif match := KIND.fullmatch(video):
            stream = stream or _stream_of_kind(match[2])
        else:
            break
        video = match[1]
    return Name(video, stream, crop)


def _stream_of_kind(kind: str) -> str | None:
    patches = PATCHES.match(kind)
    return _patches(patches) if patches else KINDS.get(kind.lower())


def _patches(match: re.Match[str]) -> str:
    rows, columns = (match[1], match[2]) if match[1] else (match[3], match[4])
    return f"patches_{rows}x{columns}"


def _split_digits(parsed: dict[str, Name], known: Container[str]) -> dict[str, Name]:
    """Take single digits at the end for crops, if all names have one and most videos complete sets."""
    split = {}
    for given, name in parsed.items():
        match = DIGIT.fullmatch(name.video)
        if not match or name.crop is not None or name.video in known:
            return {}
        split[given] = Name(match[1], name.stream, int(match[2]))
    sets: dict[str, set[int | None]] = {}
    for name in split.values():
        sets.setdefault(name.video, set()).add(name.crop)
    (commonest, _), *_ = Counter(map(frozenset, sets.values())).most_common()
    return split if len(commonest) > 1 and 0 in commonest and is_complete(commonest) else {}


def _words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name)]
