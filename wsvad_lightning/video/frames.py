"""Videos that are folders of numbered images, as ShanghaiTech, UCSD and Avenue publish theirs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsvad_lightning.folders import passed_by_name, series_of
from wsvad_lightning.video.film import OPTIONS, Film, Shot, import_av

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
IMAGE_FPS = 30.0  # of folders whose rate nobody states
MASKS = ("_gt", "_annotations")  # UCSD: the masks of Test001 are images in Test001_gt; UBnormal


@dataclass(frozen=True)
class FrameFolder:
    """A folder of images, one a frame.

    Attributes:
        path: the folder.
        images: the frames, in the order of their numbers.
        fps: frames a second, which the folder does not state.
        absent: how many numbers between the first and the last have no image.
        others: images without a number, which are not frames.
    """

    path: Path
    images: tuple[Path, ...]
    fps: float = IMAGE_FPS
    absent: int = 0
    others: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)


class ImageFilm(Film):
    """The images of a folder, each shown at its even moment; one that cannot be decoded is a lost frame.

    Args:
        folder: of the images.
    """

    def __init__(self, folder: FrameFolder) -> None:
        self._folder, self._error = folder, ""
        self.rate, self.tags, self.notes, self.failed = folder.fps, {}, [], []
        self.codec, self.size = folder.images[0].suffix.lower().removeprefix("."), 0

    def shots(self) -> Iterator[Shot]:
        """Give every image that can be decoded."""
        av = import_av()
        for number, image in enumerate(self._folder.images):
            stamp = number / self.rate
            try:
                frame = decode_image(image)
                self.size += image.stat().st_size
            except (av.FFmpegError, OSError, StopIteration, IndexError) as error:
                self.failed.append(stamp)
                self._error = getattr(error, "strerror", None) or "it holds no picture"
            else:
                yield Shot(frame, stamp, doubtful=False)

    def stated_counts(self) -> list[float]:
        """A folder states no number of frames."""
        return []

    def unread(self) -> float:
        """Every image is read."""
        return 0.0

    def is_cut(self) -> bool:
        """A folder has no end that could be missing."""
        return False

    @property
    def holds_music(self) -> bool:
        """A folder of images does not."""
        return False


def decode_image(image: Path) -> Any:
    """Decode one image to a frame of PyAV.

    Raises:
        FFmpegError, OSError, StopIteration or IndexError: if it cannot be decoded.
    """
    # FFmpeg would take a path with % for a pattern.
    with image.open("rb") as file, import_av().open(file, options=OPTIONS) as container:
        return next(container.decode(video=0))


@contextmanager
def open_images(folder: FrameFolder) -> Iterator[ImageFilm]:
    """Open a folder of images as the video that it is."""
    yield ImageFilm(folder)


Footage = Path | FrameFolder  # a video, whether in a file or in a folder


def frame_folder(images: Sequence[Path], fps: float = IMAGE_FPS) -> FrameFolder | str:
    """Take the images of a folder for the frames of a video, or say why they are none.

    Args:
        images: all images of one folder, one at least.
        fps: frames a second.
    """
    folder = images[0].parent
    if is_masks(folder):
        return f"of masks, as of {_unmasked(folder).name}"
    series = series_of(images)
    if isinstance(series, str):
        return series
    return FrameFolder(folder, series.paths, fps, series.absent, series.others)


def is_masks(folder: Path) -> bool:
    """Whether a folder holds the masks of the folder, or of the ``.mp4`` file, next to it."""
    video = _unmasked(folder)
    return video.name != folder.absolute().name and (video.is_dir() or Path(f"{video}.mp4").is_file())


def _unmasked(folder: Path) -> Path:
    """The path of a folder without what names of masks end in."""
    folder = folder.absolute()
    for end in MASKS:
        if folder.name.endswith(end) and folder.name != end:
            return folder.with_name(folder.name.removesuffix(end))
    return folder


def images_of(folder: Path) -> list[Path]:
    """The images of a folder by their numbers, or by their names where these are not a series."""
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not passed_by_name(path.name) and path.is_file()
    )
    series = series_of(images)
    return images if isinstance(series, str) else [*series.paths]
