"""Glances of GlanceVAD: a frame that a person marked inside each anomaly of training videos, a row each."""

from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets import ucf_crime, xd_violence
from wsvad_lightning.data.datasets.clicks import FILES, add_glances
from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``ucf_glance_annotations.csv``, ``xd_glance_annotations.csv`` or others of their form.

    The files hold abnormal training videos alone, without frame counts. Labels and classes follow from the
    names of the videos.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a file holds no glances, or a video is of neither data set.
    """
    for path in files_of(sources, FILES, draft):
        add_glances(path, draft, label_of_name)


def label_of_name(video: str) -> Label:
    """The label that a name of UCF-Crime or of XD-Violence gives."""
    of_xd = "_label_" in video
    return xd_violence.label_of_name(video) if of_xd else ucf_crime.label_of_name(video)
