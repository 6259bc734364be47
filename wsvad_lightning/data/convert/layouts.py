"""The layouts in which authors publish features, and how a source is recognised as one of them.

All but one are arrays in files; what a layout decides is how the axes of an array are read where its shape
leaves that open, and whether 32 rows may be the segments of a video in place of its snippets.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from wsvad_lightning.data.convert.arrays import PICKLE_SUFFIXES, READ_SUFFIXES
from wsvad_lightning.data.convert.names import FEATURES, PATCHES
from wsvad_lightning.data.convert.report import BROKEN
from wsvad_lightning.data.convert.source import Item, Source, is_nalist
from wsvad_lightning.errors import WSVADError, counted

LayoutName = Literal[
    "auto",
    "urdmu",
    "rtfm",
    "mgfn",
    "vadclip",
    "xdviodet",
    "c2fpl",
    "tevad",
    "ssrl",
    "s3r",
    "sst",
    "sultani",
    "plain",
]
Shapes = list[tuple[int, ...]]
Group = tuple[str, tuple[str, ...]]  # stream and folders
CROP_COUNTS = (1, 5, 10)


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes:
        crop_axis: axis of the crops in arrays of three axes, also where their shapes leave it open; shapes
            that imply another one are refused. None: it follows from the shapes alone.
        text_aligned: whether the backbone is CLIP's image tower.
        segments: whether arrays of 32 rows may be segments of whole videos, in place of snippets.
        stated: whether the crop axis is stated, so that no shape implies another one.
    """

    crop_axis: int | None = None
    text_aligned: bool = False
    segments: bool = False
    stated: bool = False


LAYOUTS: Mapping[str, Layout] = {
    "urdmu": Layout(),
    "rtfm": Layout(crop_axis=1),
    "mgfn": Layout(segments=True),
    "vadclip": Layout(text_aligned=True),
    "xdviodet": Layout(),
    "c2fpl": Layout(crop_axis=1),
    "tevad": Layout(crop_axis=1),
    "ssrl": Layout(segments=True),
    "s3r": Layout(segments=True),
    "sst": Layout(crop_axis=1),
    "sultani": Layout(segments=True),
    "plain": Layout(crop_axis=1),
}
assert ("auto", *LAYOUTS) == get_args(LayoutName)


def detect(source: Source) -> tuple[str, str]:
    """Recognise the layout of a source.

    Returns:
        Its name, and what it was recognised by.

    Raises:
        WSVADError: if nothing is recognised, or more than one layout.
    """
    _check_transposed(source.items)
    signs = dict(_signs(source)) or dict(_forms(source))
    if len(signs) != 1:
        candidates = "; or ".join(f"{name} ({why})" for name, why in signs.items())
        if not signs:
            raise _lack(source)
        problem = f"the source looks like {candidates}"
        raise WSVADError("from", "auto", problem, "Say which it is by --from")
    return next(iter(signs.items()))


def _check_transposed(items: Sequence[Item]) -> None:
    """Refuse matrices of the same rows and other columns, unless most share these: rows are the channels."""
    plain = [item for item in items if item.stream == FEATURES and len(item.array.shape or ()) == 2]
    rows, columns = (Counter((item.array.shape or ())[axis] for item in plain) for axis in (0, 1))
    if len(rows) == 1 and 2 * max(columns.values()) <= len(plain):
        found = f"{max(rows)} rows each and {min(columns)} to {max(columns)} columns, the channels"
        problem = f"its arrays have {found}, of which all videos have as many"
        remedy = f"Transpose them to [snippets, channels], such as {plain[0].file}, or leave others out"
        raise WSVADError("from", "auto", problem, remedy)


def _lack(source: Source) -> WSVADError:
    """The error of a source in which there is nothing to recognise."""
    if source.items:
        first = source.items[0]
        problem = f"its arrays are not features: {first.file} has shape {list(first.array.shape or ())}"
        return WSVADError("from", "auto", problem, "Give [snippets, channels], with crops between or before")
    why = sorted(source.rest, key=lambda entry: entry.status != BROKEN)
    problem = f"no arrays were found; {why[0].file}: {why[0].reason}" if why else "no arrays were found"
    return WSVADError("from", "auto", problem, f"Read are {', '.join(READ_SUFFIXES)}")


def crop_axes(items: Iterable[Item]) -> dict[Group, int | None]:
    """Which axis of arrays of three axes is that of the crops, by stream and folder.

    That is the axis that is the same in all arrays of the folder, next to one that is not; or else in all of
    the stream; or else the one that :func:`axis_of` gives for all of the folder; None where nothing helps.
    """
    shapes: dict[Group, Shapes] = defaultdict(list)
    of_streams: dict[str, Shapes] = defaultdict(list)
    for item in items:
        if item.array.shape is not None and len(item.array.shape) == 3:
            shapes[group_of(item)].append(item.array.shape)
            of_streams[item.stream].append(item.array.shape)
    voted = {stream: _vote(held) for stream, held in of_streams.items()}
    axes: dict[Group, int | None] = {}
    for group, held in shapes.items():
        ways = (_vote(held), voted[group[0]], _implied(held, view_counts(group[0])))
        axes[group] = next((axis for axis in ways if axis is not None), None)
    return axes


def group_of(item: Item) -> Group:
    """Stream and folder of an array: those of one group have their axes in one order."""
    return item.stream, item.file.folders


def view_counts(stream: str) -> tuple[int, ...]:
    """How many views a stream usually has."""
    grid = PATCHES.fullmatch(stream)
    return (int(grid[1]) * int(grid[2]),) if grid else CROP_COUNTS


def axis_of(shape: Sequence[int], counts: Sequence[int]) -> int | None:
    """The axis of the views in ``[T, N, D]`` or ``[N, T, D]``; None where either could be."""
    first, second = shape[0] in counts, shape[1] in counts
    return None if first == second else int(second)


def _vote(shapes: Shapes) -> int | None:
    """The axis that is the same in all, next to one that is not."""
    same = [len({shape[axis] for shape in shapes}) == 1 for axis in (0, 1)]
    return int(same[1]) if same[0] != same[1] else None


def _implied(shapes: Shapes, counts: Sequence[int]) -> int | None:
    """The axis that the shapes of all imply, as far as they imply one."""
    axes = {axis_of(shape, counts) for shape in shapes} - {None}
    return axes.pop() if len(axes) == 1 else None


def _signs(source: Source) -> Iterator[tuple[str, str]]:
    """Layouts that something gives away which no other has."""
    streams = Counter(item.stream for item in source.items)
    suffixes = Counter(item.file.suffix for item in source.items)
    pickles = sum(suffixes[suffix] for suffix in PICKLE_SUFFIXES)
    tables = suffixes[".txt"] + suffixes[".csv"]
    sides = [f"{counted(streams[name], 'file')} of {name}" for name in ("flow", "audio") if streams[name]]
    patches = sorted(name for name in streams if name.startswith("patches"))
    if any(is_nalist(item.file) for item in source.items):
        yield "c2fpl", "a file nalist"
    if pickles:
        yield "s3r", f"{pickles} arrays in pickles"
    if tables:
        yield "sultani", f"{tables} text files of numbers"
    if source.gives_classes and any(item.crop is not None for item in source.items):
        yield "vadclip", "a table with labels and the paths of crops, taken for CLIP's features"
    if sides:
        yield "xdviodet", ", ".join(sides)
    if streams["text"]:
        yield "tevad", f"{counted(streams['text'], 'file')} of text"
    if patches:
        yield "ssrl", f"files of {', '.join(patches)}"


def _forms(source: Source) -> Iterator[tuple[str, str]]:
    """Layouts that differ in the shape of their arrays alone."""
    crops = [item.crop for item in source.items if item.crop is not None]
    dims = Counter(len(item.array.shape) for item in source.items if item.array.shape is not None)
    if crops:
        yield "urdmu", f"{len(crops)} names that end in the number of a crop, {min(crops)} to {max(crops)}"
    whole = [item for item in source.items if item.crop is None and len(item.array.shape or ()) == 3]
    if whole:
        orders = _orders(whole)
        if orders in ({1}, set()):
            yield "rtfm", f"{len(whole)} arrays [snippets, crops, channels]"
        if orders != {1}:
            yield "mgfn", f"{len(whole)} arrays [crops, snippets, channels]"
    if not crops and (dims[2] or not dims):
        shape = f"{dims[2]} arrays [snippets, channels]" if dims[2] else "arrays of unknown shape"
        if source.items:
            yield ("sst" if source.is_list else "plain"), shape


def _orders(items: Sequence[Item]) -> set[int]:
    """The axes of the crops that occur."""
    axes = crop_axes(items)
    voted = {axis for axis in axes.values() if axis is not None}
    left = [item for item in items if axes[group_of(item)] is None]
    own = {axis_of(item.array.shape or (), view_counts(item.stream)) for item in left}
    return voted | {axis for axis in own if axis is not None}
