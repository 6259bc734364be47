"""Ground truth that is given frame by frame, as arrays or as pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.components import Masks
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


def read_pictures(folder: Path, argument: str = "sources") -> Iterator[Masks]:
    """Read a folder of mask pictures one by one, in the order of their numbers.

    Args:
        folder: of the pictures.
        argument: what the user gave it as, for messages.

    Yields:
        ``[H, W]``, where any colour is not 0; transparency does not count.

    Raises:
        WSVADError: if Pillow is absent, a picture cannot be read, or JPEG has blurred the edges of a mask.
    """
    try:
        from PIL import Image
    except ImportError:
        remedy = 'Run pip install "wsvad-lightning[video]"'
        raise WSVADError(argument, folder, "reading pictures needs Pillow", remedy) from None
    for path in images_of(folder):
        try:
            with Image.open(path) as picture:
                colours, values = [band != "A" for band in picture.getbands()], np.asarray(picture)
                blurred = picture.format == "JPEG" and not np.isin(values, (0, 255)).all()
        except Exception:  # a damaged file fails anywhere in its reader
            raise WSVADError(
                argument, path, "is not a picture that can be read", "Replace the file"
            ) from None
        if blurred:
            problem = "has values between 0 and 255, which JPEG leaves around the edges of a mask"
            raise WSVADError(argument, path, problem, "Give masks as PNG")
        yield values != 0 if values.ndim == 2 else (values[..., colours] != 0).any(axis=-1)


def mask_shape(path: Path, video_id: str) -> tuple[int, int, int]:
    """Find F, H and W of the masks of a video.

    Args:
        path: HDF5 file, ``.npy`` file or folder of pictures.
        video_id: name of the video.

    Raises:
        WSVADError: if there are no such masks, or they cannot be read.
    """
    if path.is_dir():
        first = next(read_pictures(path, "regions"), None)
        if first is None:
            raise absent(path, video_id)
        return len(images_of(path)), first.shape[0], first.shape[1]
    if path.suffix.lower() == ".npy":
        num_frames, height, width = _load_npy(path).shape
        return num_frames, height, width
    with _open_masks(path, video_id) as file:
        num_frames, height, width = file[video_id].shape
        return num_frames, height, width


def read_masks(path: Path, video_id: str) -> Iterator[Masks]:
    """Read the masks ``[H, W]`` of a video one by one; arguments and errors as for :func:`mask_shape`."""
    if path.is_dir():
        yield from read_pictures(path, "regions")
    elif path.suffix.lower() == ".npy":
        for mask in _load_npy(path):
            yield mask != 0
    else:
        with _open_masks(path, video_id) as file:
            for frame in range(len(file[video_id])):
                yield file[video_id][frame] != 0


def absent(path: Path, video_id: str) -> WSVADError:
    """Make the error of a file that has nothing of a video."""
    return WSVADError("regions", path, f"holds nothing of {video_id}", "Correct the reference in the table")


def _load_npy(path: Path) -> NDArray[Any]:
    """Map an array ``[F, H, W]`` into memory."""
    try:
        with path.open("rb") as opened:
            check_npy(opened, path.stat().st_size)
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise WSVADError("regions", path, f"is not an array: {error}", "Give masks [F, H, W]") from None
    _check_array(path, "array", array.shape, array.dtype)
    return array


def _open_masks(path: Path, video_id: str) -> h5py.File:
    """Open an HDF5 file of masks that holds those of a video itself, and does not lead to other files."""
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise WSVADError("regions", path, f"cannot be read: {error}", "Correct the reference") from None
    try:
        if video_id not in file:
            raise absent(path, video_id)
        own = isinstance(file.get(video_id, getlink=True), h5py.HardLink)
        held = file[video_id] if own else None
        if not isinstance(held, h5py.Dataset) or held.external or held.is_virtual:
            raise WSVADError("regions", path, f"{video_id} is not an array of masks", "Give masks [F, H, W]")
        _check_array(path, f"data set {video_id}", held.shape, held.dtype)
    except BaseException:
        file.close()
        raise
    return file


def _check_array(path: Path, name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> None:
    """Refuse what is not whole numbers or booleans ``[F, H, W]``."""
    if shape is None or len(shape) != 3 or 0 in shape or dtype.kind not in "bui":
        problem = f"the {name} has shape {shape} and type {dtype}"
        raise WSVADError("regions", path, problem, "Give masks [F, H, W] of whole numbers or booleans")
