"""Ground truth that is given frame by frame, as numbers or as pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.limits import check_npy
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.frames import images_of


def read_array(path: Path) -> NDArray[np.bool_]:
    """Read ``[F]``, or masks ``[F, H, W]`` of which any pixel makes the frame anomalous, from a .npy file.

    Args:
        path: the file.

    Returns:
        ``[F]``.

    Raises:
        WSVADError: if it holds no such array.
    """
    try:
        with path.open("rb") as opened:
            check_npy(opened, path.stat().st_size)
            array: NDArray[Any] = np.load(opened, allow_pickle=False)
    except Exception:  # a damaged file fails anywhere in its reader
        raise WSVADError(
            "sources", path, "is not an array of numbers", "Give a mask saved by NumPy"
        ) from None
    if array.ndim not in (1, 3) or not len(array):
        problem = f"has shape {array.shape}, not [F] or [F, H, W]"
        raise WSVADError("sources", path, problem, "Give one mask per frame")
    return np.array([frame.any() for frame in array], dtype=bool)


def picture_size(folder: Path) -> tuple[int, int] | None:
    """Width and height of the first picture of a folder; None without one, or without Pillow.

    Args:
        folder: of the pictures.
    """
    try:
        from PIL import Image
    except ImportError:
        return None
    for path in images_of(folder):
        with Image.open(path) as picture:
            return picture.size
    return None


def read_pictures(folder: Path) -> NDArray[np.bool_]:
    """Read a folder of mask pictures, one per frame, in the order of their numbers.

    Args:
        folder: of the pictures.

    Returns:
        ``[F]``, whether any pixel is set.

    Raises:
        WSVADError: if Pillow is absent.
    """
    try:
        from PIL import Image
    except ImportError:
        remedy = 'Run pip install "wsvad-lightning[video]"'
        raise WSVADError("sources", folder, "reading pictures needs Pillow", remedy) from None
    anomalous = []
    for path in images_of(folder):
        with Image.open(path) as picture:
            anomalous.append(bool(np.asarray(picture).any()))
    return np.array(anomalous, dtype=bool)
