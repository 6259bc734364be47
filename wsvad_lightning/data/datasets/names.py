"""The names of videos: of files where they lie, and of the rows of tables that mean them.

A video is known by its base name without suffix: ``0001`` for ``cam1/0001.mp4``. Where several videos have
one base name, they are known by their paths below the source, ``cam1/0001`` and ``cam2/0001``; where these
differ in the suffix alone, by path and suffix. Names are in composed form (NFC), as some systems write
letters with accents in another. What a table cannot hold is written as ``%`` and two digits a byte.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote

from wsvad_lightning.errors import WSVADError

VIDEO_SUFFIXES = (
    ".mp4",
    ".avi",
    ".mkv",
    ".mov",
    ".webm",
    ".mpg",
    ".mpeg",
    ".m4v",
    ".wmv",
    ".flv",
    ".ts",
    ".mts",
    ".m2ts",
    ".3gp",
    ".asf",
    ".ogv",
    ".vob",
    ".dav",
)
ARRAY_SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".hdf", ".he5", ".pt", ".pth", ".pkl", ".pickle", ".mat")
FEATURE_SUFFIXES = (*ARRAY_SUFFIXES, ".txt", ".csv", ".tsv", ".json", ".gz")
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are not text, ends of lines
DRIVE = re.compile(r"^\s*[A-Za-z]:(?=[/\\])")
LONGEST_PART = 200  # bytes of a file name; systems allow 255, and temporary files add to it
LONGEST_PATH = 1000  # bytes of a path below a folder
SHOWN = 10  # candidates in a message


def canonical_id(name: str, suffixes: tuple[str, ...] = VIDEO_SUFFIXES + FEATURE_SUFFIXES) -> str:
    """The base name of a video (of a path of any system), without the suffixes of video and feature files.

    Only known suffixes go, since names such as ``Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6`` hold dots.

    Args:
        name: file name, path or name of a video.
        suffixes: that go.

    Raises:
        WSVADError: if nothing is left.
    """
    base = printable(re.split(r"[/\\]", name.strip().rstrip("/\\"))[-1]).strip()
    while base.lower().endswith(suffixes):
        base = base.rpartition(".")[0].rstrip()
    if base in ("", ".", ".."):
        raise WSVADError("video", name, "is not a name of a video", "Name the video by its file name")
    return base


def path_id(path: str) -> str:
    """A path as it may be the name of a video: with ``/``, in NFC, without root, drive, ``.`` and ``..``.

    It can be joined to the path of a folder without leaving it.

    Args:
        path: of any system.

    Raises:
        WSVADError: if nothing is left.
    """
    parts = re.split(r"[/\\]", DRIVE.sub("", path))
    joined = _join(printable(part).strip() for part in parts)
    if not joined:
        raise WSVADError("video", path, "is not a name of a video", "Name the video by its file name")
    return joined


def printable(text: str) -> str:
    """Text in NFC, with what cannot be printed on a line in UTF-8 as ``%`` and two digits a byte.

    Args:
        text: a name, or a path.
    """
    if text.isascii() and text.isprintable():
        return text
    normal = unicodedata.normalize("NFC", text)
    return "".join(_escape(c) if unicodedata.category(c) in UNPRINTABLE else c for c in normal)


@lru_cache(maxsize=2**16)
def stem_of(path: str) -> str:
    """A path without the suffixes of its base name.

    Args:
        path: as for :func:`path_id`.

    Raises:
        WSVADError: if nothing is left.
    """
    folders, slash, base = path_id(path).rpartition("/")
    try:
        return f"{folders}{slash}{canonical_id(base)}"
    except WSVADError:
        return f"{folders}{slash}{base}"


def base_of(path: str) -> str:
    """The base name of a video without suffix, or with it where else nothing is left.

    Args:
        path: as for :func:`path_id`.
    """
    return stem_of(path).rpartition("/")[2]


def folder_of(path: str) -> str:
    """The folders of a path, with the ``/`` after them; empty if it has none.

    Args:
        path: as for :func:`path_id`.
    """
    return path_id(path).removesuffix(path_id(path).rpartition("/")[2])


def name_videos(paths: Sequence[str], kept: Mapping[str, str] | None = None) -> list[str]:
    """Name videos, each otherwise: in the shortest of these ways that no other video shares.

    The ways are the base name, the path without suffix (in a folder: else it is the base name), the path, and
    the path with every byte that is not a plain letter or digit written as two digits.

    Args:
        paths: of the videos below their source.
        kept: names that some paths (as :func:`path_id` gives them) have already, such as in a store.

    Raises:
        WSVADError: if one path is given twice, or is none.
    """
    kept, times = kept or {}, Counter(map(path_id, paths))  # two files may have one path in NFC
    names = [kept.get(path_id(path), "") if times[path_id(path)] == 1 else "" for path in paths]
    ways: Sequence[Callable[[str], str]] = (base_of, _stem_in_folder, path_id, _quoted)
    for way in ways:
        proposed = {i: way(paths[i]) for i, name in enumerate(names) if not name}
        counts = Counter([*kept.values(), *filter(None, names), *proposed.values()])
        for i, name in proposed.items():
            names[i] = name if counts[name] == 1 else ""  # also where the way gives no name
    for path, name in zip(paths, names, strict=True):
        if not name:
            raise WSVADError("video", path, "is listed twice", "Name each video once")
    return names


def match_videos(names: Sequence[str], known: Mapping[str, str]) -> list[str | None]:
    """The known videos that names of a table or a list mean; None for a name that means none.

    A name is a known one; or a path, from its end as far as either goes; or a base name that is that of one
    video. Paths may begin with a folder that known ones lack, the same for all. Where the folders of a path
    say otherwise, the base name counts if no other video and no other name has it.

    Args:
        names: as they are written, with suffixes or without.
        known: paths of the videos below their source, by name.

    Raises:
        WSVADError: if a name may mean several videos; names them.
    """
    return _Matcher(known).match(names)


def resolve_names(names: Sequence[str], known: Mapping[str, str] | None = None) -> list[str]:
    """Give the videos that the names of a table or a list mean; a suffix may be left out.

    Args:
        names: as they are written.
        known: see :func:`match_videos`. A name that means none of them, and every name without it, becomes
            what :func:`name_videos` calls it among the others.

    Raises:
        WSVADError: if a name may mean several videos, or is none.
    """
    given = {path_id(name) for name in names}
    paths = [stem if (stem := stem_of(name)) in given else path_id(name) for name in names]
    unique = list(dict.fromkeys(paths))
    named = dict(zip(unique, name_videos(unique), strict=True))
    if known is not None:
        for path, video in zip(unique, match_videos(unique, known), strict=True):
            named[path] = stem_of(path) if video is None else video
    return [named[path] for path in paths]


def usable_as_path(video_id: str) -> str:
    """A path below any folder for the files of one video: its name, or a digest of one that is too long.

    Args:
        video_id: name of the video.
    """
    parts = [len(part.encode()) for part in video_id.split("/")]
    usable = max(parts) <= LONGEST_PART and sum(parts) + len(parts) <= LONGEST_PATH
    return video_id if usable else digest_of(video_id)


def digest_of(video_id: str) -> str:
    """32 digits that are another for every name."""
    return hashlib.sha256(video_id.encode()).hexdigest()[:32]


class _Matcher:
    """Finds videos by what is said of their paths.

    Args:
        known: see :func:`match_videos`.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known
        self.paths, self.stems, self.path_ends, self.stem_ends = (
            defaultdict[str, list[str]](list) for _ in range(4)
        )
        for name, path in known.items():
            self.paths[path_id(path)].append(name)
            if folder_of(path):  # else the stem is a base name, and others may have it
                self.stems[stem_of(path)].append(name)
            for end in _ends(path_id(path)):
                self.path_ends[end].append(name)
            for end in _ends(stem_of(path)):
                self.stem_ends[end].append(name)

    def match(self, names: Sequence[str]) -> list[str | None]:
        """See :func:`match_videos`."""
        found = [self._find(name) for name in names]
        folder = self._common_folder([name for name, own in zip(names, found, strict=True) if not own])
        bases = Counter(map(base_of, names))
        for i, name in enumerate(names):
            same = self.stem_ends.get(base_of(name), [])
            if found[i] is None and len(same) == 1 and bases[base_of(name)] == 1:
                found[i] = same[0]
            elif found[i] is None and folder and stem_of(name).startswith(folder):
                found[i] = self._only(name, self.stems.get(stem_of(name)[len(folder) :], []))
        return found

    def _find(self, name: str) -> str | None:
        """By name, whole path, or the end of a path."""
        path, stem = path_id(name), stem_of(name)
        for own in (path, stem):
            if own in self.known:
                return own
        ways = (self.paths, path), (self.stems, stem), (self.path_ends, path), (self.stem_ends, stem)
        return next((self._only(name, index[key]) for index, key in ways if key in index), None)

    def _only(self, name: str, fitting: Sequence[str]) -> str | None:
        if len(fitting) > 1:
            more = f" and {len(fitting) - SHOWN} more" if len(fitting) > SHOWN else ""
            problem = f"may mean {', '.join(sorted(fitting)[:SHOWN])}{more}"
            raise WSVADError("video", name, problem, "Name the video by its path")
        return fitting[0] if fitting else None

    def _common_folder(self, names: Iterable[str]) -> str:
        """What most paths begin with before they go on as known ones, with its ``/``; or nothing."""
        votes: Counter[str] = Counter()
        for stem in map(stem_of, names):
            votes.update(stem.removesuffix(end) for end in _ends(stem)[1:] if end in self.stems)
        (first, count), (_, next_count) = (*votes.most_common(2), ("", 0), ("", 0))[:2]
        return first if count > next_count else ""


def _ends(path: str) -> list[str]:
    """A path, and what is left of it without its first folders, down to the base name."""
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _join(parts: Iterable[str]) -> str:
    """A path of parts, none of which leads upwards or nowhere."""
    kept: list[str] = []
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)


def _escape(character: str) -> str:
    """A character as ``%`` and two digits a byte; one that represents a byte of a file name as that byte."""
    byte = "\udc80" <= character <= "\udcff"
    return quote(character.encode("utf-8", "surrogateescape" if byte else "surrogatepass"), safe="")


def _stem_in_folder(path: str) -> str:
    return stem_of(path) if folder_of(path) else ""


def _quoted(path: str) -> str:
    """A path of which another spelling is another name."""
    return _join(quote(part.encode("utf-8", "surrogatepass"), safe="") for part in path.split("/"))
