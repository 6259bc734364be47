"""Avenue: 21 test videos with masks of every frame, in MATLAB or NumPy files.

The training videos have the same names as the first test videos, so the table holds only the test videos.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.masks import read_array
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import runs

NAME = re.compile(r"(\d+)(_label)?")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``testing_label_mask/N_label.mat`` (``volLabel``), or ``NN.npy`` of ``[F]`` or ``[F, H, W]``.

    Video N is called by two digits, as its file ``NN.avi``.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a file holds no masks or its name no number.
    """
    for path in files_of(sources, ("*_label.mat", "[0-9]*.npy"), draft):
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise WSVADError("sources", path, "its name gives no video", "Name it as 1_label.mat or 01.npy")
        masks = _read_matlab(path) if path.suffix == ".mat" else read_array(path)
        draft.add(
            f"{int(match[1]):02d}",
            path,
            label=int(masks.any()),
            num_frames=len(masks),
            intervals=runs(masks),
            split="test",
        )


def _read_matlab(path: Path) -> NDArray[np.bool_]:
    try:
        from scipy.io import loadmat
    except ImportError:
        remedy = 'Run pip install "wsvad-lightning[prepare]"'
        raise WSVADError("sources", path, "reading MATLAB files needs SciPy", remedy) from None
    try:
        cells = loadmat(path, variable_names=["volLabel"])["volLabel"].ravel()
        return np.array([np.asarray(mask).any() for mask in cells], dtype=bool)
    except Exception as error:  # a damaged file fails anywhere in its reader
        problem = f"holds no volLabel that can be read ({type(error).__name__})"
        raise WSVADError("sources", path, problem, "Give a file of testing_label_mask") from None
