"""Renders the demo data set: surveillance-like clips as mp4, with exact ground truth for every frame."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.progress import track

from wsvad_lightning import __version__
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.demo.drawing import draw_scene
from wsvad_lightning.demo.scenes import CAMERAS, Camera
from wsvad_lightning.demo.script import ANOMALIES, DIFFICULTIES, Scene, Stage, stage_scene
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_json
from wsvad_lightning.startup import separate_processes
from wsvad_lightning.timeline import runs
from wsvad_lightning.types import NORMAL
from wsvad_lightning.video.writer import write_video

CRF = 26  # some blocks in the noise, as surveillance recorders give


@dataclass(frozen=True)
class DemoSpec:
    """How many clips are rendered, and how.

    Attributes:
        train_normal: number of normal clips to train on.
        train_abnormal: number of clips with an anomaly to train on; the kinds take turns, as do the cameras.
        test_normal: number of normal clips to test on.
        test_abnormal: number of clips with an anomaly to test on.
        min_frames: frames of the shortest clip, six seconds at least.
        max_frames: frames of the longest clip.
        width: of the frame in pixels, even.
        height: of the frame in pixels, even.
        fps: frames a second.
        difficulty: ``plain`` or ``hard``, see :mod:`wsvad_lightning.demo.script`.

    Raises:
        WSVADError: if the clips are too short for anything to happen, or the frame cannot be encoded.
    """

    train_normal: int = 32
    train_abnormal: int = 40
    test_normal: int = 16
    test_abnormal: int = 20
    min_frames: int = 90
    max_frames: int = 130
    width: int = 240
    height: int = 160
    fps: int = 10
    difficulty: Literal["plain", "hard"] = "hard"

    def __post_init__(self) -> None:
        if not 6 * self.fps <= self.min_frames <= self.max_frames:
            raise WSVADError(
                "min_frames",
                self.min_frames,
                f"clips last six seconds at least, and have at most {self.max_frames} frames",
                f"Give {6 * self.fps} to {self.max_frames}, or change fps or max_frames",
            )
        if self.width % 2 or self.height % 2:
            raise WSVADError(
                "width x height", f"{self.width}x{self.height}", "is odd", "Give even numbers of pixels"
            )


@dataclass(frozen=True)
class Clip:
    """One clip of the data set, not drawn yet.

    Attributes:
        name: of the video, without extension.
        label: ``normal`` or the kind of anomaly.
        split: ``train`` or ``test``.
        camera: where it is filmed.
        seed: the data set's and the clip's own.
        spec: how it is rendered.
    """

    name: str
    label: str
    split: str
    camera: Camera
    seed: tuple[int, int]
    spec: DemoSpec

    def scene(self) -> tuple[Scene, np.random.Generator]:
        """What happens, and the generator that goes on to draw the sensor noise."""
        rng = np.random.default_rng(self.seed)
        clock = np.arange(rng.integers(self.spec.min_frames, self.spec.max_frames + 1)) / self.spec.fps
        size = self.spec.width, self.spec.height
        stage = Stage(self.camera, size, clock, rng, DIFFICULTIES[self.spec.difficulty])
        return stage_scene(stage, None if self.label == NORMAL else self.label), rng


def list_clips(spec: DemoSpec, seed: int) -> list[Clip]:
    """The clips of a data set; every kind of anomaly meets every camera if there are enough clips."""
    kinds = list(ANOMALIES)
    clips: list[Clip] = []
    for split, normal, abnormal in (
        ("train", spec.train_normal, spec.train_abnormal),
        ("test", spec.test_normal, spec.test_abnormal),
    ):
        labels = [NORMAL] * normal + [kinds[index % len(kinds)] for index in range(abnormal)]
        for index, label in enumerate(labels):
            camera = CAMERAS[index % len(CAMERAS)]
            name = f"{split}_{index:02d}_{camera.name}_{label}"
            clips.append(Clip(name, label, split, camera, (seed, len(clips)), spec))
    return clips


def render_dataset(
    folder: Path, seed: int = 0, spec: DemoSpec | None = None, workers: int | None = None
) -> None:
    """Write ``folder/videos/*.mp4`` and, when all are there, ``folder/annotations.csv``.

    The same seed and specification give the same frames. What an interrupted call has finished is kept.

    Args:
        folder: made if it does not exist.
        seed: of everything that is left to chance.
        spec: how many clips, and how; the defaults of `DemoSpec` unless given.
        workers: processes that render; one per core unless given. They import the script that calls it, which
            needs the usual ``if __name__ == "__main__":``.

    Raises:
        WSVADError: if PyAV is not installed, or the folder holds other videos or cannot be written.
    """
    if find_spec("av") is None:
        raise WSVADError("folder", folder, "rendering needs PyAV", 'Run pip install "wsvad-lightning[video]"')
    spec = spec or DemoSpec()
    _claim(folder, {"version": __version__, "seed": seed, **asdict(spec)})
    clips = list_clips(spec, seed)
    missing = [clip for clip in clips if not (folder / "videos" / f"{clip.name}.mp4").exists()]
    with ProcessPoolExecutor(workers, mp_context=separate_processes(__name__)) as pool:
        rendered = pool.map(render_clip, missing, repeat(folder / "videos"))
        for _ in track(rendered, "Rendering demo clips", len(missing)):
            pass
    write_annotations(folder / "annotations.csv", {clip.name: annotate_clip(clip) for clip in clips})


def render_clip(clip: Clip, folder: Path) -> None:
    """Draw one clip and write it as H.264 in mp4, whole or not at all."""
    scene, rng = clip.scene()
    size = clip.spec.width, clip.spec.height
    # One thread: the pool keeps the cores busy.
    with write_video(folder / f"{clip.name}.mp4", clip.spec.fps, CRF, threads=1) as video:
        for picture in draw_scene(scene, clip.camera, size, rng):
            video.write(picture)


def _claim(folder: Path, recipe: dict[str, Any]) -> None:
    """Note in the folder what it holds, or make sure that it holds just that."""
    note = folder / "demo.json"
    if note.exists():
        if json.loads(note.read_text()) != recipe:
            raise WSVADError(
                "folder",
                folder,
                "holds a demo that was rendered differently",
                "Delete it or choose another folder",
            )
    elif (folder / "videos").exists() or (folder / "annotations.csv").exists():
        raise WSVADError("folder", folder, "holds videos that are not the demo's", "Choose another folder")
    else:
        write_json(recipe, note)


def annotate_clip(clip: Clip) -> VideoAnnotation:
    """The truth about a clip."""
    anomalous = clip.scene()[0].anomalous
    return VideoAnnotation(
        video_id=clip.name,
        label=int(clip.label != NORMAL),
        classes=() if clip.label == NORMAL else (clip.label,),
        num_frames=len(anomalous),
        intervals=tuple(runs(anomalous)),
        split=clip.split,
    )
