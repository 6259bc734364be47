"""UCA (Yuan et al., CVPR 2024): sentences of what happens in 1854 videos of UCF-Crime, with their seconds.

The sentences describe normal and abnormal videos alike and say nowhere what is anomalous, so they are texts
and never intervals. The parts are those of UCA, which are not those of UCF-Crime.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from wsvad_lightning.data.datasets.captions import Caption
from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.names import canonical_id
from wsvad_lightning.data.datasets.reading import read_json, read_text
from wsvad_lightning.data.datasets.text import split_of
from wsvad_lightning.data.datasets.ucf_crime import label_of_name
from wsvad_lightning.errors import WSVADError

FILES = ("UCFCrime_*.json", "*UCFCrime_*.txt")
LINE = re.compile(r"(\S+)\s+(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)\s+(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)\s*##(.*)")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``UCFCrime_Train.json`` and its like, or the same as lines ``name 00:03.4 00:07.4 ##text``.

    Args:
        sources: files, or folders that hold them.
        draft: takes names, labels, classes, parts and texts.

    Raises:
        WSVADError: if a file is of another form, or a name none of UCF-Crime.
    """
    for path in files_of(sources, FILES, draft):
        split = split_of(path)
        for caption in _of_json(path) if path.suffix.lower() == ".json" else _of_lines(path, draft):
            label = label_of_name(caption.video_id)
            draft.infer("label and class by the names of the videos", caption.video_id)
            if split is not None:
                draft.infer(f"part {split} of UCA by the name of {path.name}", caption.video_id)
            draft.add(caption.video_id, path, label=label.label, classes=label.classes, split=split)
            draft.describe(caption, path)


def _of_json(path: Path) -> Iterator[Caption]:
    """Read ``{name: {"timestamps": [[start, end], ...], "sentences": [text, ...]}}``."""
    try:
        for name, held in read_json(path, "sources").items():
            for (start, end), text in zip(held["timestamps"], held["sentences"], strict=True):
                yield Caption(canonical_id(name), float(start), float(end), str(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        problem = "holds no sentences with their times"
        raise WSVADError("sources", path, problem, "Give UCFCrime_Train.json or its like") from None


def _of_lines(path: Path, draft: Draft) -> Iterator[Caption]:
    notes: list[str] = []
    for number, line in enumerate(read_text(path, "sources", notes).splitlines(), start=1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            problem = "is not a name, two times and ## before a text"
            raise WSVADError(
                "sources", f"{path}, line {number}", problem, "Give UCFCrime_Train.txt or its like"
            )
        start, end = (
            3600 * int(match[i] or 0) + 60 * int(match[i + 1]) + float(match[i + 2]) for i in (2, 5)
        )
        yield Caption(canonical_id(match[1]), start, end, match[8])
    for note in notes:
        draft.repair(note, path.name)
