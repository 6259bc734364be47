"""What the names of feature files and folders say: video, stream, crop, split and label.

UCF_Test_ten_crop_i3d/Abuse028_x264_i3d.npy     video Abuse028_x264, class Abuse, split test
RGB/Bad.Boys.1995__#00-26-51_label_B2-0-0__3.npy   video Bad.Boys…_label_B2-0-0, crop 3, class B2
test/01_0015_7.npy                              video 01_0015, crop 7, if the sets of crops show it
SH_PATCH35_i3d/01_0014_patch35_i3d.npy          video 01_0014, stream patches_3x5

Names are read as a whole, or by the rules of the data sets above, never by a piece of a word.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from wsvad_lightning.data.convert.parts import all_known, part_of_name, words_of
from wsvad_lightning.data.datasets import msad, ucf_crime, xd_violence
from wsvad_lightning.data.datasets.labels import Label, label_of_codes, label_of_word
from wsvad_lightning.data.datasets.names import FEATURE_SUFFIXES, canonical_id
from wsvad_lightning.types import UNKNOWN

FEATURES = "features"  # the stream that all others accompany
CLASSES = tuple(dict.fromkeys((*ucf_crime.CLASSES, *msad.CLASSES)))
FOLDERS = (*CLASSES, "Fight", "Violence")  # also of RWF-2000 and RLVS, next to NonFight and NonViolence
SUFFIX = re.compile(r"\.zip$", re.IGNORECASE)  # an archive counts as a folder

KINDS = {"flow": "flow", "vggish": "audio", "audio": "audio"}
KINDS |= dict.fromkeys(("text", "emb", "sent", "caption", "captions", "swinbert"), "text")

KIND = re.compile(
    r"(.+?)(?:__|[_.-])(i3d|c3d|clip|vit|videomae(?:v2)?|rgb|resnet\d*|feat(?:ure)?s?|"
    r"flow|vggish|audio|text|emb|captions?|swinbert|patch(?:es)?_?\d{1,2}x?\d{1,2})$",
    re.IGNORECASE,
)
CROP = re.compile(r"(.+?)[_.-]crop[_-]?(\d{1,2})$", re.IGNORECASE)
UNDERSCORES = re.compile(r"(.+?)__(\d{1,2})$")
CROP_FOLDER = re.compile(r"crop[_-]?(\d{1,2})", re.IGNORECASE)
DIGIT = re.compile(r"(.+)_(\d)")
CROP_COUNTS = (5, 10)  # of published features; 3 or 4 files of a name may as well be clips or cameras
PATCHES = re.compile(r"patch(?:es)?_?(?:(\d+)x(\d+)|(\d)(\d))(?!\d)", re.IGNORECASE)
XD_NAME = re.compile(rf"__#.*_label_({xd_violence.LABEL.pattern})(?![\w-])")
NUMBERED = re.compile(r"(.+?)[_ -]?\d+(_\d+)?(_x264)?")
SAYS_LABEL = re.compile(r"(normal|abnormal|anomaly|anomalous)([ _-]?videos?)?", re.IGNORECASE)
MSAD_NORMAL = re.compile(r"MSAD_normal_[a-z]\w*?\d+")


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


What = TypeVar("What", str, Label)


class Said(NamedTuple, Generic[What]):
    """What a name says, and which name: that of a folder, or of the video."""

    what: What
    by: str


class Reading(NamedTuple):
    """How the names of a source are to be read.

    Attributes:
        known: names of videos, which are not split any further.
        lengths: rows of the array of each name, None where unknown; None if all are.
        numbered: ``x_0``, ``x_1`` … are crops, as far as sets are complete.
    """

    known: Container[str] = ()
    lengths: Mapping[str, int | None] | None = None
    numbered: bool = False


PLAIN = Reading()


def parse_names(
    names: Iterable[str], reading: Reading = PLAIN, *, ignored: Container[str] = ()
) -> dict[str, Name]:
    """Split file names into video, stream and crop.

    ``_crop3`` always names a crop, ``__3`` where most names end so. ``_3`` could as well be the third clip or
    camera: it names a crop if the base is a known video, or if most of the sets are 0 to 4 or 0 to 9, each of
    arrays of one length, and the lengths of the sets differ.

    Args:
        names: file names or paths.
        reading: how to read them.
        ignored: streams of which endings such as ``_flow`` say nothing: they belong to the names of videos.
    """
    stems = _stems(names)
    parsed = {name: _parse(stem, reading.known, ignored, [CROP, UNDERSCORES]) for name, stem in stems.items()}
    for stream in {name.stream for name in parsed.values()}:
        of_stream = {given: name for given, name in parsed.items() if name.stream == stream}
        if 2 * sum(name.crop is not None for name in of_stream.values()) < len(of_stream):
            of_stream = {given: _parse(stems[given], reading.known, ignored, [CROP]) for given in of_stream}
        parsed |= of_stream | _split_digits(of_stream, reading)
    return parsed


def _stems(names: Iterable[str]) -> dict[str, str]:
    """Names without suffixes; those of videos stay where names differ in them alone (``c.mp4.npy``)."""
    stems = {name: canonical_id(name) for name in names}
    whole = {name: canonical_id(name, FEATURE_SUFFIXES) for name in stems}
    meant: dict[str, set[str]] = defaultdict(set)
    for name, stem in stems.items():
        meant[stem].add(whole[name])
    return {name: stem if len(meant[stem]) == 1 else whole[name] for name, stem in stems.items()}


def is_complete(crops: Iterable[int | None]) -> bool:
    """Whether crops are numbered without a gap: 0, 1, … or 1, … 5 or 10, or the first has no number."""
    given = set(crops)
    numbers = sorted(0 if crop is None else crop for crop in given)
    counted_from_one = len(given) in (5, 10) and numbers == list(range(1, len(given) + 1))
    return len(given) == 1 or numbers == list(range(len(given))) or counted_from_one


def numbered_sets(names: Iterable[Name]) -> Counter[frozenset[int]]:
    """The sets of single digits at the end of names that have the rest in common; empty if one has none."""
    sets: dict[str, set[int]] = defaultdict(set)
    for name in names:
        match = DIGIT.fullmatch(name.video)
        if not match or name.crop is not None:
            return Counter()
        sets[match[1]].add(int(match[2]))
    return Counter(map(frozenset, sets.values()))


def crop_of(folders: Iterable[str]) -> int | None:
    """The crop that a folder such as ``crop3`` names."""
    matches = [match for match in map(CROP_FOLDER.fullmatch, folders) if match]
    return int(matches[-1][1]) if matches else None


def stream_of(folders: Iterable[str]) -> Said[str] | None:
    """The stream that the name of a folder gives, the innermost first, if all its words are known."""
    for folder in reversed(list(folders)):
        words = words_of(_without_suffix(folder))
        if not all_known(words):
            continue
        if match := PATCHES.search(folder):
            return Said(_patches(match), folder)
        kinds = {KINDS[word.lower()] for word in words if word.lower() in KINDS}
        if len(kinds) == 1 and "rgb" not in map(str.lower, words):  # rgb_flow holds both, joined
            return Said(kinds.pop(), folder)
    return None


def places_of(folders: Iterable[str]) -> list[str]:
    """The folders that say where a video is, as they name neither a stream nor a crop."""
    return [
        folder
        for folder in folders
        if crop_of([folder]) is None and stream_of([folder]) is None and folder.lower() != "rgb"
    ]


def split_of(folders: Iterable[str]) -> Said[str] | None:
    """The part of the data set that the name of a folder or of a list gives, the innermost first."""
    for folder in reversed(list(folders)):
        if part := part_of_name(_without_suffix(folder), CLASSES):
            return Said(part, folder)
    return None


def named_label(video: str, folders: Iterable[str]) -> Said[Label] | None:
    """The label that the name of a video gives by the rules of its data set, or else a folder it lies in.

    Args:
        video: canonical name.
        folders: names of the folders it lies in, the innermost last.
    """
    if (match := XD_NAME.search(video)) and (label := label_of_codes(match[1])):
        return Said(label, video)
    if MSAD_NORMAL.fullmatch(video):
        return Said(Label(0), video)
    numbered = NUMBERED.fullmatch(video)
    base = numbered[1] if numbered else video
    if base in CLASSES or SAYS_LABEL.fullmatch(base):
        return Said(Label(1, (base,)) if base in CLASSES else label_of_word(base) or Label(UNKNOWN), video)
    for folder in reversed(list(folders)):
        name = _without_suffix(folder)
        if label := Label(1, (name,)) if name in FOLDERS else label_of_word(name):
            return Said(label, folder)
    return None


def _parse(
    stem: str, known: Container[str], ignored: Container[str], crops: Sequence[re.Pattern[str]]
) -> Name:
    video, stream, crop = stem, None, None
    while video not in known:
        match = next((match for pattern in crops if (match := pattern.fullmatch(video))), None)
        if crop is None and match:
            crop = int(match[2])
        elif (match := KIND.fullmatch(video)) and _stream_of_kind(match[2]) not in ignored:
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


def _split_digits(parsed: dict[str, Name], reading: Reading) -> dict[str, Name]:
    """Take single digits at the end for crops, if what is known of the videos says so."""
    sets = numbered_sets(parsed.values())
    if not sets or any(name.video in reading.known for name in parsed.values()):
        return {}
    split = {given: Name(name.video[:-2], name.stream, int(name.video[-1])) for given, name in parsed.items()}
    (commonest, count), *_ = sets.most_common()
    complete = len(commonest) > 1 and 0 in commonest and is_complete(commonest)
    if all(name.video in reading.known for name in split.values()) or (reading.numbered and complete):
        return split
    most = 2 * count > sets.total() and len(commonest) in CROP_COUNTS
    return split if complete and most and _differ_in_length(split, reading.lengths) else {}


def _differ_in_length(split: Mapping[str, Name], lengths: Mapping[str, int | None] | None) -> bool:
    """Whether arrays of one video are of one length, and those of others of others: no chance then."""
    if lengths is None:
        return True
    by_video: dict[str, set[int | None]] = defaultdict(set)
    for given, name in split.items():
        by_video[name.video].add(lengths.get(given))
    found: Collection[frozenset[int | None]] = set(map(frozenset, by_video.values()))
    return len(found) > 1 and all(len(of_video) == 1 and None not in of_video for of_video in found)


def _without_suffix(folder: str) -> str:
    return SUFFIX.sub("", folder)
