"""TAD, traffic anomalies: 500 videos, the class given by the name, as in ``01_Accident_001``."""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label
from wsvad_lightning.data.datasets.text import check_label, infer_part, read_once
from wsvad_lightning.errors import WSVADError

NAME = re.compile(r"Normal_\d+|\d+_([A-Za-z]+)_\d+")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read text lists: ``name [frames] [class] s1 e1 s2 e2``, frames ``[start, end)`` counted from 0.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name is none of TAD, or the files contradict each other.
    """
    for path in files_of(sources, ("*.txt", "*.list"), draft):
        for line in read_once(path, draft):
            match = NAME.fullmatch(line.video_id)
            if match is None:
                remedy = "Choose --from by the data set"
                raise WSVADError("video", line.video_id, "is not a video of TAD", remedy)
            label = Label(int(bool(match[1])), (match[1],) if match[1] else ())
            check_label(path, line, label)
            draft.infer("label and class by the names of the videos", line.video_id)
            draft.add(
                line.video_id,
                path,
                label=label.label,
                classes=label.classes,
                num_frames=line.num_frames,
                intervals=line.pairs or None,
                split=infer_part(path, line, draft),
            )
