r"""Text files of the benchmarks: one line per video, with numbers and words after its name.

The forms that are in use differ in order and separators; these lines say the same::

    Arrest/Arrest039_x264.mp4 15836 Arrest 7215 10335 -1 -1
    Arrest039_x264.mp4  Arrest  7215  10335  -1  -1
    Arrest/Arrest039_x264.mp4|15836|[7215, 10335]
    C:\videos\Arrest039_x264.mp4,15836,7215,10335,1
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from wsvad_lightning.data.datasets.draft import Draft
from wsvad_lightning.data.datasets.labels import Label, folded, label_of, part_of
from wsvad_lightning.data.datasets.names import FEATURE_SUFFIXES, VIDEO_SUFFIXES, canonical_id
from wsvad_lightning.data.datasets.reading import read_text
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Interval

SUFFIX_OF_FEATURES = re.compile(r"(?:_i3d|_c3d|_clip|_videomae|__vggish|__\d{1,2}|_crop\d{1,2})+$")
SUFFIXES = "|".join(map(re.escape, VIDEO_SUFFIXES + FEATURE_SUFFIXES))
NAME = re.compile(  # quoted; or up to a suffix, as paths hold blanks; or up to a blank or separator
    rf'\s*(?:"([^"]+)"|([^|;\t"]*?(?:{SUFFIXES}))(?=[\s,;|]|$)|([^\s,;|"]+))', re.IGNORECASE
)
NUMBER = re.compile(r"-?\d{1,15}(?:\.0+)?")
RANGE = re.compile(r"(?<![\w-])(\d+)[-\u2013~](\d+)(?![\w-])")  # an interval in one cell
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
FIRST_COLUMN = ("video id", "video", "videos", "path", "name", "file", "filename", "file name")
COLUMNS = {  # of lists that are tables, in the order in which a line has them
    "num_frames": re.compile(r"(?:num|n|number of|total)? ?frames|frame count"),
    "words": re.compile(r"labels?|class(?:es)?|category|type"),
    "pairs": re.compile(r"(?:start|end)(?: frame)? ?\d*"),
}
SHORTEST = 16  # frames of a video; a smaller number after a name is the number of a class, if not a label


class Line(NamedTuple):
    """What a line says.

    Attributes:
        name: as it is written.
        video_id: canonical name, without what features files add to it.
        words: class names or codes.
        num_frames: frames of the video, if given.
        pairs: pairs of frame numbers as they are written.
        label: 0 or 1 at the end of the line, if given.
        none: whether ``-1`` says that there are no more pairs, or none.
    """

    name: str
    video_id: str
    words: tuple[str, ...]
    num_frames: int | None
    pairs: tuple[Interval, ...]
    label: int | None
    none: bool

    @property
    def annotated(self) -> bool:
        """Whether the line says where anomalies are, or that there are none: so it is of a test video."""
        return bool(self.pairs) or self.none


def read_lines(path: Path, draft: Draft | None = None) -> Iterator[Line]:
    """Read the lines that are neither empty nor comments.

    Args:
        path: the file.
        draft: takes notes on its encoding and comments.

    Raises:
        WSVADError: if it cannot be read, or a line is in another form.
    """
    notes: list[str] = []
    draft = draft or Draft()
    lines = [line.strip() for line in read_text(path, "sources", notes).splitlines()]
    comments = sum(line.startswith("#") for line in lines)
    for note in [*notes, *(["lines that begin with # passed over"] * comments)]:
        draft.repair(note, path.name)
    lines = [line for line in lines if line and not line.startswith("#")]
    header = _read_header(path, lines[0]) if lines else []
    for line in lines[bool(header) :]:
        yield _parse(path, _in_order(line, header))


def read_once(path: Path, draft: Draft) -> Iterator[Line]:
    """Read the lines; one that repeats another is noted and left out.

    Args:
        path: the file.
        draft: takes the notes.

    Raises:
        WSVADError: as :func:`read_lines`, or if two lines contradict each other.
    """
    seen: dict[str, Line] = {}
    for line in read_lines(path, draft):
        if line.name not in seen:
            seen[line.name] = line
            yield line
        elif seen[line.name] == line:
            draft.repair(f"listed twice in {path.name}, taken once", line.video_id)
        else:
            problem = f"has two lines of {line.name} that differ"
            raise WSVADError("sources", path, problem, "Remove one of them")


def check_label(path: Path, line: Line, label: Label) -> None:
    """Compare what a line says of a label with that of the name; the number of a class is not read.

    Args:
        path: the file, for the message.
        line: what it says.
        label: that the name gives; its classes are empty where names give none.

    Raises:
        WSVADError: if they differ, or a number is perhaps that of a class.
    """
    try:
        said = label_of(" ".join(line.words)) if line.words else label
    except WSVADError as error:
        problem = f"calls {line.video_id} {error.value}, which {error.problem}"
        raise WSVADError("sources", path, problem, "Correct the class by the name") from None
    spelt, known = ([folded(name).replace(" ", "") for name in given.classes] for given in (said, label))
    if said.label != label.label or (spelt and known and spelt != known):
        problem = f"calls {line.video_id} {' '.join(line.words)}"
        raise WSVADError("sources", path, problem, "Correct the class by the name")
    if line.label not in (None, label.label):
        problem = f"labels {line.video_id} {line.label}, the name says {label}"
        raise WSVADError("sources", path, problem, "Correct the label by the name")
    if line.num_frames is not None and line.num_frames < SHORTEST and not line.pairs:
        problem = f"gives {line.video_id} {line.num_frames}, which is neither a label nor a number of frames"
        raise WSVADError("sources", path, problem, "Give the class by its name")
    if line.none and not line.pairs and label.label == 1:
        problem = f"gives {line.video_id} no anomaly (-1), the name says {label}"
        raise WSVADError("sources", path, problem, "Give its frames, or the list without numbers")


def infer_part(path: Path, line: Line, draft: Draft) -> str | None:
    """The part of a video: by the words in the name of its list, or else test where anomalies are given.

    Args:
        path: the list, such as ``Anomaly_Train.txt``.
        line: of the video.
        draft: notes by what the part is known.
    """
    part = split_of(path)
    if part is not None:
        draft.infer(f"part {part} by the name of {path.name}", line.video_id)
    elif line.annotated:
        part = "test"
        draft.infer(f"part test by the intervals in {path.name}", line.video_id)
    return part


def split_of(path: Path) -> str | None:
    """The part of the data set that the words in the name of a list give; None if they give none or two."""
    parts = {part for word in WORD.findall(path.stem) if (part := part_of(word)) is not None}
    return parts.pop() if len(parts) == 1 else None


def _read_header(path: Path, line: str) -> list[str]:
    """What the columns of a list with a header hold; nothing if the line is that of a video."""
    names = re.split("[,;\t|]", line)
    if folded(names[0]) not in FIRST_COLUMN:
        return []
    header = [""]
    for name in names[1:]:
        held = [what for what, pattern in COLUMNS.items() if pattern.fullmatch(folded(name))]
        if not held and name.strip():
            remedy = f"Keep the columns of videos, {', '.join(COLUMNS)}; or give a table to --annotations"
            raise WSVADError("sources", path, f"has a column {name.strip()!r}, which is not read", remedy)
        header += held or [""]
    return header


def _in_order(line: str, header: Sequence[str]) -> str:
    """A line with its cells in the order of lines without a header."""
    cells = re.split("[,;\t|]", line)
    if len(header) < 2 or len(cells) != len(header):
        return line
    order = ["", *COLUMNS]
    return "\t".join(cells[i] for i in sorted(range(len(cells)), key=lambda i: order.index(header[i])))


def _parse(path: Path, line: str) -> Line:
    match = NAME.match(line)
    if match is None:
        raise WSVADError("sources", path, f"has a line without a name: {line}", "Begin lines with the video")
    name = next(filter(None, match.groups()))
    cells = re.sub(r"[\[\](){},;|]", " ", RANGE.sub(r"\1 \2", line[match.end() :])).split()
    numbers = [int(float(cell)) for cell in cells if NUMBER.fullmatch(cell)]
    words = tuple(cell for cell in cells if not NUMBER.fullmatch(cell))
    given = [number for number in numbers if number != -1]
    label = given.pop() if _ends_in_label(given) else None
    ordered = [*given, *[-1] * numbers.count(-1), *([] if label is None else [label])] == numbers
    num_frames = given.pop(0) if len(given) % 2 else None
    pairs = tuple(zip(given[::2], given[1::2], strict=True))
    whole = label is not None and len(pairs) == 1 and pairs[0][0] == 0  # perhaps the frames of the video
    if not ordered or whole or min(given, default=0) < 0:
        remedy = (
            "Give: name, frames, class, start and end of each anomaly, -1 for none; all but the name may lack"
        )
        raise WSVADError("sources", path, f"has a line of a form that is not read: {line}", remedy)
    video_id = SUFFIX_OF_FEATURES.sub("", canonical_id(name))
    return Line(name, video_id, words, num_frames, pairs, label, -1 in numbers)


def _ends_in_label(numbers: Sequence[int]) -> bool:
    """Whether the last number is 0 or 1 and cannot be the end of an interval."""
    if not numbers or numbers[-1] not in (0, 1):
        return False
    return len(numbers) == 1 or numbers[-2] >= numbers[-1]
