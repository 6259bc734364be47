"""``wsvad data annotations``: from official files to a plain table, with an account of what was repaired."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wsvad_lightning.data.datasets import (
    avenue,
    glances,
    hivau,
    msad,
    nwpu_campus,
    shanghaitech,
    sst_boxes,
    tad,
    ubnormal,
    uca,
    ucf_crime,
    ucsd,
    xd_violence,
)
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.captions import write_captions
from wsvad_lightning.data.datasets.counts import table_of_classes
from wsvad_lightning.data.datasets.draft import Draft
from wsvad_lightning.data.datasets.regions import needs_size
from wsvad_lightning.data.datasets.rules import Rule, find_rule
from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.files import replacing

BenchmarkName = Literal[
    "ucf_crime",
    "xd_violence",
    "shanghaitech",
    "msad",
    "ucsd",
    "avenue",
    "tad",
    "nwpu_campus",
    "ubnormal",
    "hivau",
    "uca",
    "sst_boxes",
    "glances",
]

READERS: dict[str, Callable[[Sequence[Path], Draft], None]] = {
    "ucf_crime": ucf_crime.read,
    "xd_violence": xd_violence.read,
    "shanghaitech": shanghaitech.read,
    "msad": msad.read,
    "ucsd": ucsd.read,
    "avenue": avenue.read,
    "tad": tad.read,
    "nwpu_campus": nwpu_campus.read,
    "ubnormal": ubnormal.read,
    "hivau": hivau.read,
    "uca": uca.read,
    "sst_boxes": sst_boxes.read,
    "glances": glances.read,
}
SHOWN = 5  # videos of a repair


def annotations(
    sources: list[str],
    *,
    from_: BenchmarkName,
    output: str,
    gt_rule: str = "exact",
    gt_vectors: str | None = None,
    captions: str | None = None,
) -> None:
    """Turn the official annotation files of a benchmark into a table for every other command.

    Args:
        sources: files, or folders that hold them.
        from_: the benchmark.
        output: CSV file to write.
        gt_rule: how the frames of ``gt_vectors`` are labelled: ``exact``, or as authors do.
        gt_vectors: file for the frame labels of all test videos, one array of 0 and 1 per video (.npz).
        captions: CSV file for the texts of what happens in the videos, with the seconds that each describes;
            ``hivau`` and ``uca`` have them.

    Raises:
        WSVADError: if the files are not those of the benchmark, contradict each other or lack something.
    """
    rule, draft = find_rule(gt_rule), Draft()
    videos = read_benchmark(from_, [Path(source) for source in sources], draft)
    if captions is not None and not draft.captions:
        raise WSVADError("captions", captions, "the files hold no texts of events", "Leave it out")
    if gt_vectors is not None:
        _write_vectors(Path(gt_vectors), label_tests(videos, rule))
    write_annotations(output, videos)
    if captions is not None:
        write_captions(captions, draft.captions)
    console = Console()
    console.print(
        _table_of_videos(videos, output), table_of_classes(videos.values()), *_tables_of_notes(draft)
    )
    if sizeless := sum(video.regions is not None and needs_size(video) for video in videos.values()):
        lacking = counted(sizeless, "video has", "videos have")
        note = f"{lacking} boxes and no frame size: add width and height to measure regions"
        console.print(note, soft_wrap=True)


def read_benchmark(
    name: BenchmarkName, sources: Sequence[Path], draft: Draft | None = None
) -> dict[str, VideoAnnotation]:
    """Read the official files of a benchmark.

    Args:
        name: of the benchmark.
        sources: files, or folders that hold them.
        draft: takes what they say, and keeps what was repaired in them; a new one unless given.

    Returns:
        The annotations by canonical name.

    Raises:
        WSVADError: if the files are none of the benchmark, or contradict each other.
    """
    draft = draft or Draft()
    READERS[name](sources, draft)
    return draft.finish(sources)


def label_tests(videos: Mapping[str, VideoAnnotation], rule: Rule) -> dict[str, NDArray[np.uint8]]:
    """Label the frames of the test videos.

    Args:
        videos: by name, their frame counts known.
        rule: how.

    Returns:
        0 or 1 for each frame, by name.

    Raises:
        WSVADError: without a test video, or if one lacks a frame count or intervals.
    """
    labels = {}
    for name, video in videos.items():
        if video.split != "test":
            continue
        if video.num_frames is None:
            problem = "its frame count is unknown, no file of the benchmark gives it"
            raise WSVADError("gt_vectors", name, problem, "Test with data.gt_rule: a store knows the frames")
        labels[name] = rule.label(video, video.num_frames)
    if not labels:
        raise WSVADError("gt_vectors", "", "no file names a test video", "Give the list of test videos")
    return labels


def _write_vectors(path: Path, labels: Mapping[str, NDArray[np.uint8]]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **labels)  # type: ignore[arg-type]  # NumPy types its own option


def _table_of_videos(videos: Mapping[str, VideoAnnotation], output: str) -> Table:
    """One row a part of the data set."""
    columns = (
        "videos",
        "normal",
        "abnormal",
        "with intervals",
        "with regions",
        "with glances",
        "with frame counts",
        "frames",
    )
    table = Table(*columns, title=escape(output))
    for split in sorted({video.split or "" for video in videos.values()}, reverse=True):
        own = [video for video in videos.values() if (video.split or "") == split]
        labels = [video.label for video in own]
        counts = [video.num_frames for video in own if video.num_frames is not None]
        located = sum(bool(video.intervals) for video in own)
        placed = sum(video.regions is not None for video in own)
        clicked = sum(bool(video.glances) for video in own)
        cells = (labels.count(0), labels.count(1), located, placed, clicked, len(counts), sum(counts))
        table.add_row(split or "no split", *map(str, cells))
    return table


def _tables_of_notes(draft: Draft) -> Iterator[Table]:
    """What was inferred and repaired, and which files were left out."""
    if draft.inferred:
        table = Table("inferred", "videos")
        for what, named in draft.inferred.items():
            table.add_row(escape(what), str(len(named)))
        yield table
    if draft.repairs:
        table = Table("repaired", "times", "where")
        for what, times in Counter(repair.what for repair in draft.repairs).items():
            where = [repair.where for repair in draft.repairs if repair.what == what]
            more = ", …" if times > SHOWN else ""
            table.add_row(escape(what), str(times), escape(", ".join(where[:SHOWN]) + more))
        yield table
    if draft.left_out:
        table = Table("files not read")
        for path in draft.left_out:
            table.add_row(escape(path.name))
        yield table
