"""Render videos whose anomalies are seen or heard: two fifths of them only the one, the rest only the other.

    python scripts/render_sounds.py runs/sounds --seed 0

The pictures are the demo's. All videos have a sound track: wind, a hum, steps, and in some a bird or a
passing car. What is seen to be anomalous (someone runs, a bicycle or cart) makes no sound of its own. What is
heard to be (screams, bangs, an alarm) happens outside the picture.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import auto_cli
from numpy.typing import NDArray
from rich.progress import track

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.demo.render import Clip, DemoSpec, annotate_clip, list_clips, render_clip
from wsvad_lightning.files import replacing
from wsvad_lightning.types import NORMAL
from wsvad_lightning.video.film import import_av

RATE = 16_000
SEEN = ("running", "vehicle")

Sound = NDArray[np.float32]
Chance = np.random.Generator


def main(folder: str, seed: int = 0) -> None:
    """Write ``videos/*.mp4`` and ``annotations.csv``; what is there already is kept.

    Args:
        folder: for everything.
        seed: of everything that is left to chance.
    """
    spec = DemoSpec(20, 25, 12, 15, width=120, height=80, difficulty="plain")
    annotations = {}
    for number, clip in enumerate(track(list_clips(spec, seed), "Rendering videos")):
        kinds = [*SEEN, *HEARD]
        label = NORMAL if clip.label == NORMAL else kinds[number % len(kinds)]
        named = replace(
            clip, name=clip.name.replace(clip.label, label), label=label if label in SEEN else NORMAL
        )
        truth = annotate_clip(named)
        sound, truth = _record(named, label, truth)
        annotations[named.name] = truth
        _render(named, sound, Path(folder) / "videos")
    write_annotations(Path(folder) / "annotations.csv", annotations)


def _record(clip: Clip, label: str, truth: VideoAnnotation) -> tuple[Sound, VideoAnnotation]:
    """Make the sound of a clip, and the truth about it if the anomaly is heard."""
    assert truth.num_frames is not None, "of a clip that is rendered"
    rng = np.random.default_rng((*clip.seed, 1))
    seconds = truth.num_frames / clip.spec.fps
    sound = _background(rng, round(seconds * RATE))
    if label not in HEARD:
        return sound, truth
    start = round(rng.uniform(0.1, 0.5) * truth.num_frames)
    end = start + round(rng.uniform(2, 4) * clip.spec.fps)
    length = round((end - start) / clip.spec.fps * RATE)
    place = round(start / clip.spec.fps * RATE)
    sound[place : place + length] += HEARD[label](rng, length)[: len(sound) - place]
    return sound, replace(truth, label=1, classes=(label,), intervals=((start, end),))


def _background(rng: Chance, length: int) -> Sound:
    """Wind and hum of a loudness of their own, steps, in a third of the clips a bird and in a third a car."""
    t = np.arange(length) / RATE
    sound = _wind(rng, length) * rng.uniform(0.02, 0.06) + rng.uniform(0.005, 0.02) * np.sin(
        2 * np.pi * 100 * t
    )
    for at in np.arange(rng.uniform(0, 0.5), t[-1] - 0.1, rng.uniform(0.45, 0.6)):
        near = t - at
        sound += rng.uniform(0.02, 0.08) * np.sin(2 * np.pi * 180 * near) * np.exp(-near * 40) * (near > 0)
    if rng.random() < 1 / 3:
        near = t - rng.uniform(0, t[-1])
        sound += 0.05 * np.sin(2 * np.pi * (4000 + 600 * np.sin(60 * t)) * t) * np.exp(-((near / 0.4) ** 2))
    if rng.random() < 1 / 3:
        near = t - rng.uniform(0, t[-1])
        sound += 0.25 * _wind(rng, length) * np.exp(-((near / 1.5) ** 2))
    return sound.astype(np.float32)


def _wind(rng: Chance, length: int) -> NDArray[np.float64]:
    """Noise with less of the high frequencies, of deviation 1."""
    spectrum = np.fft.rfft(rng.normal(size=length)) / np.sqrt(1 + np.arange(length // 2 + 1) / length * 200)
    noise: NDArray[np.float64] = np.fft.irfft(spectrum, length)
    noise /= noise.std()
    return noise


def _scream(rng: Chance, length: int) -> NDArray[np.float64]:
    """A voice whose pitch rises and trembles, with its harmonics."""
    t = np.arange(length) / RATE
    pitch = rng.uniform(700, 1000) * (1 + 0.3 * np.sin(np.pi * t / t[-1]) + 0.03 * np.sin(2 * np.pi * 7 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tones = np.stack([np.sin(k * phase) / k for k in range(1, 5)])
    voice: NDArray[np.float64] = rng.uniform(0.08, 0.2) * tones.sum(axis=0)
    return voice


def _bangs(rng: Chance, length: int) -> NDArray[np.float64]:
    """Several short bursts of noise."""
    t, sound = np.arange(length) / RATE, np.zeros(length)
    for at in np.sort(rng.uniform(0, t[-1], rng.integers(4, 8))):
        sound += rng.normal(size=length) * np.exp(-np.maximum(t - at, 0) * 15) * (t >= at)
    return rng.uniform(0.1, 0.3) * sound


def _alarm(rng: Chance, length: int) -> NDArray[np.float64]:
    """Two tones by turns."""
    t = np.arange(length) / RATE
    tone = np.where(t % 0.6 < 0.3, 1300, 1000) * rng.uniform(0.8, 1.2)
    square: NDArray[np.float64] = np.sign(np.sin(2 * np.pi * np.cumsum(tone) / RATE))
    return rng.uniform(0.06, 0.15) * square


HEARD: dict[str, Callable[[Chance, int], NDArray[np.float64]]] = {
    "scream": _scream,
    "bangs": _bangs,
    "alarm": _alarm,
}


def _render(clip: Clip, sound: Sound, videos: Path) -> None:
    """Draw a clip, and add its sound to the file."""
    path = videos / f"{clip.name}.mp4"
    if path.exists():
        return
    silent = videos.parent / "silent"
    render_clip(clip, silent)
    av = import_av()
    with replacing(path) as temporary, av.open(temporary, "w", format="mp4") as output:
        with av.open(str(silent / path.name)) as film:
            pictures: Any = output.add_stream_from_template(film.streams.video[0])
            heard: Any = output.add_stream("aac", rate=RATE, layout="mono")
            for packet in film.demux(film.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = pictures
                    output.mux(packet)
        for start in range(0, len(sound), 1024):
            block = np.ascontiguousarray(sound[None, start : start + 1024].clip(-1, 1))
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            output.mux(heard.encode(frame))
        output.mux(heard.encode(None))


if __name__ == "__main__":
    auto_cli(main)
