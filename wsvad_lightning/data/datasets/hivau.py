"""HIVAU-70k (Zhang et al., CVPR 2025): events and texts of videos of UCF-Crime and XD-Violence, in seconds.

A second t is the frame t * fps, rounded. The events were annotated anew: they are others than those of the
data sets, for the training videos too. In normal videos they are parts of interest, not anomalies.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsvad_lightning.data.datasets.captions import Caption
from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.glances import label_of_name
from wsvad_lightning.data.datasets.names import canonical_id
from wsvad_lightning.data.datasets.reading import read_json
from wsvad_lightning.data.datasets.text import split_of
from wsvad_lightning.errors import WSVADError

FILES = ("ucf_database_*.json", "xd_database_*.json")
TEXTS = "events_summary"  # a sentence for each event, where a file has them


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``ucf_database_train.json`` and its like, of the folder ``raw_annotations``.

    An entry is ``{name: {"n_frames": F, "fps": f, "label": [classes], "events": [[start, end], ...]}}``, with
    a text for each event in ``events_summary`` where there are any. Classes are those of the names.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a file is of another form, a name is of neither data set, or a label differs from the
            name.
    """
    for path in files_of(sources, FILES, draft):
        held = read_json(path, "sources")
        if not isinstance(held, dict):
            raise WSVADError("sources", path, "holds no videos by name", "Give ucf_database_train.json")
        for name, facts in held.items():
            try:
                _add(draft, path, canonical_id(name), facts)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                problem = f"does not describe {name} as others ({type(error).__name__}: {error})"
                raise WSVADError(
                    "sources", path, problem, "Give ucf_database_train.json or its like"
                ) from None


def _add(draft: Draft, path: Path, video: str, facts: Mapping[str, Any]) -> None:
    label, num_frames, fps = label_of_name(video), int(facts["n_frames"]), float(facts["fps"])
    if bool(facts["label"]) != bool(label.label):
        problem = f"labels {video} {facts['label']}, the name says {label}"
        raise WSVADError("sources", path, problem, "Correct the label by the name")
    seconds = [(float(start), float(end)) for start, end in facts["events"]]
    frames = [(round(start * fps), round(end * fps)) for start, end in seconds]
    if frames and not label.label:
        draft.repair("parts of interest in normal videos, not taken for anomalies", video)
    draft.infer("classes by the names of the videos", video)
    draft.add(
        video,
        path,
        label=label.label,
        classes=label.classes,
        num_frames=num_frames,
        intervals=frames if label.label else None,
        split=split_of(path),
    )
    texts = facts.get(TEXTS, [])
    for (start, end), text in zip(seconds, texts, strict=True) if texts else ():
        if not isinstance(text, str):
            raise TypeError(f"{TEXTS} holds a {type(text).__name__}")
        draft.describe(Caption(video, start, end, text), path)
