"""What happens in a demo clip: the crowd, the light, what distracts and, in abnormal clips, one anomaly.

Everything but the anomaly is drawn from one distribution for normal and abnormal clips, so neither the crowd
nor the light distinguishes them. Lengths are in metres, times in seconds, speeds in metres a second.

How hard a clip is was fixed before any model was trained on it, by what a person sees in it (`Difficulty`):

* at once, in the plain clips: someone who runs, at 4.2 to 5.4 where others walk at 0.8 to 1.8; a bicycle or a
  cart among walkers; someone who walks through against the flow; someone who lies on the ground for two to
  five seconds;
* with attention: someone who leaves the path and paces to and fro next to it, at the speed of a walker. This
  is a fifth of the abnormal clips;
* not as anomalous, though the picture changes as much: crowds in bursts, gusts in the tree, birds, clouds,
  jumps of the exposure, flicker, people who stop for a moment. They are the same in plain and in hard clips,
  but for the number of people.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.demo.actors import (
    Body,
    Look,
    bench,
    bird,
    boughs,
    cart,
    cyclist,
    follow,
    lamp,
    trunk,
    walker,
)
from wsvad_lightning.demo.scenes import Array, Camera

Act = tuple[Body, NDArray[np.bool_]]  # who does it, and [F] when it is going on
Span = tuple[float, float]


@dataclass(frozen=True)
class Difficulty:
    """How far anomalies differ from what is normal, and how many people hide them.

    Attributes:
        groups: fewest and most groups of people in a clip.
        running: slowest and fastest runner.
        driving: slowest and fastest bicycle or cart.
        turning: whether those who walk against the flow do so for half of their way only: they go back, or
            come from the wrong end until they turn.
    """

    groups: tuple[int, int]
    running: Span
    driving: Span
    turning: bool


DIFFICULTIES = {
    "plain": Difficulty(groups=(1, 3), running=(4.2, 5.4), driving=(4.0, 5.5), turning=False),
    "hard": Difficulty(groups=(1, 6), running=(3.6, 4.6), driving=(3.2, 4.4), turning=True),
}


@dataclass(frozen=True)
class Stage:
    """The setting of one clip.

    Attributes:
        camera: which camera films.
        size: (W, H) of the frame in pixels.
        clock: ``[F]`` time of each frame in seconds.
        rng: the only source of chance.
        difficulty: of what happens.
    """

    camera: Camera
    size: tuple[int, int]
    clock: Array
    rng: np.random.Generator
    difficulty: Difficulty

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.clock[-1])

    def lane(self) -> float:
        """A place across the path."""
        return float(self.rng.uniform(-1, 1) * (self.camera.width / 2 - 0.5))


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn in a clip, and the truth about it.

    Attributes:
        bodies: the actors.
        furniture: what stands still behind them, one frame each.
        gain: ``[F]`` brightness.
        shadow: ``[F]`` darkness of the shadows, 0 to 1.
        anomalous: ``[F]`` whether the anomaly is going on inside the frame.
    """

    bodies: tuple[Body, ...]
    furniture: tuple[Body, ...]
    gain: Array
    shadow: Array
    anomalous: NDArray[np.bool_]


def stage_scene(stage: Stage, anomaly: str | None) -> Scene:
    """Cast a clip.

    Args:
        stage: the setting.
        anomaly: a key of `ANOMALIES`, or None for a normal clip.
    """
    bodies = [*_crowd(stage), *_tree(stage), *_birds(stage)]
    gain, shadow = _light(stage)
    anomalous = np.zeros(len(stage.clock), bool)
    if anomaly is not None:
        body, active = ANOMALIES[anomaly](stage)
        bodies.append(body)
        anomalous = active & _in_view(stage, body)
        assert anomalous.any(), f"{anomaly} happens outside the clip"
    camera = stage.camera
    furniture = (trunk(*camera.tree), *starmap(lamp, camera.lamps), *starmap(bench, camera.benches))
    return Scene(tuple(bodies), furniture, gain, shadow, anomalous)


def _in_view(stage: Stage, body: Body) -> NDArray[np.bool_]:
    """``[F]`` whether the middle of an actor is inside the frame."""
    pixels, _ = stage.camera.project(body.ends.mean(axis=(1, 2)), stage.size)
    inside: NDArray[np.bool_] = np.all((pixels >= 0) & (pixels < stage.size), axis=1)
    return inside


def _crowd(stage: Stage) -> list[Body]:
    """Some groups, half of them in one rush: motion comes in bursts and some clips are almost empty."""
    rush = stage.rng.uniform(-6, stage.duration - 3)
    number = stage.rng.integers(*stage.difficulty.groups, endpoint=True)
    return [body for _ in range(number) for body in _group(stage, rush)]


def _group(stage: Stage, rush: float) -> list[Body]:
    """One to three people who walk abreast with the flow; one group in five stops for a moment."""
    rng, (enter, leave) = stage.rng, stage.camera.span(stage.size)
    speed = rng.uniform(0.8, 1.5) if rng.random() < 0.85 else rng.uniform(1.5, 1.8)
    start = rng.normal(rush, 1.0) if rng.random() < 0.5 else rng.uniform(enter - leave, stage.duration - 1)
    pause = rng.uniform(0.8, 2.5) if rng.random() < 0.2 else 1e-3
    stop, lane = rng.uniform(enter + 1, leave - 1), stage.lane()
    along = np.array([enter - 1.5, stop, stop, leave + 1.5])
    times = start + (along - along[0]) / speed + (0.0, 0.0, pause, pause)
    bodies = []
    for abreast in (0.0, 0.75, -0.75)[: rng.choice((1, 2, 3), p=(0.65, 0.25, 0.10))]:
        ground = stage.camera.on_path(along + rng.uniform(-0.3, 0.3), lane + abreast)
        bodies.append(walker(follow(stage.clock, times, ground), Look.draw(rng)))
    return bodies


def _tree(stage: Stage) -> list[Body]:
    """The crown of the tree next to the path; in half of the clips a gust of wind shakes it."""
    rng, place = stage.rng, stage.camera.tree
    gust = np.exp(-(((stage.clock - rng.uniform(0, stage.duration)) / rng.uniform(0.8, 2.0)) ** 2))
    leaves = np.random.default_rng(round(place[1] * 10))  # a camera sees the same tree in every clip
    return boughs(stage.clock, place, 0.1 + 0.9 * gust * (rng.random() < 0.5), leaves)


def _birds(stage: Stage) -> list[Body]:
    """In one clip of seven a bird flies across, in any direction."""
    rng = stage.rng
    if rng.random() > 0.15:
        return []
    start, speed, side = rng.uniform(0, stage.duration - 2), rng.uniform(5, 8), rng.choice((-1.0, 1.0))
    near, far = stage.camera.origin[1] + rng.uniform(-2, 4, 2)
    track = follow(stage.clock, [start, start + 24 / speed], [(-12 * side, near), (12 * side, far)])
    return [bird(track, rng.uniform(2.0, 4.0))]


def _light(stage: Stage) -> tuple[Array, Array]:
    """Brightness, and darkness of the shadows: clouds, a sudden change of exposure, flicker for a while."""
    rng, clock = stage.rng, stage.clock
    cloud = np.sin(2 * np.pi * clock / rng.uniform(5, 12) + rng.uniform(0, 6)) * rng.uniform(0.02, 0.12)
    since = clock - rng.uniform(0, stage.duration)
    jump = (rng.random() < 0.35) * rng.uniform(-0.2, 0.2) * (since > 0) * np.exp(-np.maximum(since, 0) / 1.5)
    flicker = rng.normal(0, rng.uniform(0.0, 0.015), len(clock))
    for _ in range(rng.integers(0, 5)):
        near = np.abs(clock - rng.uniform(0, stage.duration)) < rng.uniform(0.4, 2.0)
        flicker += near * rng.normal(0, rng.uniform(0.02, 0.06), len(clock))
    gain = stage.camera.gain * rng.uniform(0.85, 1.1) * (1 + cloud + jump + flicker)
    return gain, rng.uniform(0.1, 0.45) * np.clip(0.8 + 5 * cloud, 0, 1)


def _pass_by(stage: Stage, speed: float) -> tuple[Array, Array]:
    """Keyframes of one straight way through the view, within the clip if that is long enough."""
    enter, leave = stage.camera.span(stage.size)
    crossing = (leave - enter + 2) / speed
    start = stage.rng.uniform(0.08, 0.92) * max(stage.duration - crossing, 0.0)
    return start + np.array([0, crossing]), stage.camera.on_path([enter - 1, leave + 1], stage.lane())


def _running(stage: Stage) -> Act:
    """Someone runs through."""
    track = follow(stage.clock, *_pass_by(stage, stage.rng.uniform(*stage.difficulty.running)))
    return walker(track, Look.draw(stage.rng)), track.speed > 0


def _vehicle(stage: Stage) -> Act:
    """A bicycle or a cart drives along the path for walkers."""
    track = follow(stage.clock, *_pass_by(stage, stage.rng.uniform(*stage.difficulty.driving)))
    drive = cyclist if stage.rng.random() < 0.5 else cart
    return drive(track, Look.draw(stage.rng)), track.speed > 0


def _wrong_way(stage: Stage) -> Act:
    """Someone walks through against the flow: comes or goes in the middle of the clip."""
    if stage.difficulty.turning:
        return _turning(stage)
    rng, (enter, leave) = stage.rng, stage.camera.span(stage.size)
    crossing = (leave - enter + 2) / rng.uniform(1.4, 1.8)
    middle = rng.uniform(0.4, 0.6) * stage.duration
    start = middle if rng.random() < 0.5 else middle - crossing
    ground = stage.camera.on_path([leave + 1, enter - 1], stage.lane())
    track = follow(stage.clock, [start, start + crossing], ground)
    return walker(track, Look.draw(rng)), track.speed > 0


def _turning(stage: Stage) -> Act:
    """Someone walks against the flow: turns and goes back, or comes from the wrong end until they turn."""
    rng, ends = stage.rng, stage.camera.span(stage.size)
    first, last = ends if (turns_back := rng.random() < 0.5) else ends[::-1]
    speed, turn = rng.uniform(1.2, 1.6), rng.uniform(0.42, 0.55) * stage.duration
    reach = min(speed * rng.uniform(0.3, 0.42) * stage.duration, abs(last - first) - 0.5)
    inwards = np.sign(last - first)
    ground = stage.camera.on_path([first - inwards, first + inwards * reach, first - inwards], stage.lane())
    way = (reach + 1) / speed
    track = follow(stage.clock, [turn - way, turn, turn + way], ground)
    return walker(track, Look.draw(rng)), (stage.clock >= turn) == turns_back


def _loitering(stage: Stage) -> Act:
    """Someone leaves the path and paces to and fro next to it before going on."""
    rng, (enter, leave) = stage.rng, stage.camera.span(stage.size)
    speed, arrive, lane = rng.uniform(1.0, 1.5), rng.uniform(0.12, 0.35) * stage.duration, stage.lane()
    place = enter + rng.uniform(0.35, 0.65) * (leave - enter)
    aside = rng.choice((-1, 1)) * (stage.camera.width / 2 + 0.6)
    turns = 1 + round(rng.uniform(0.35, 0.5) * stage.duration / 1.8)
    paces = rng.uniform(0.6, 1.2, turns) * (-1.0) ** np.arange(turns)
    arrivals = arrive + 1.8 * np.arange(turns)
    stands = rng.uniform(0.2, 0.6, turns)
    paced = np.column_stack([arrivals, arrivals + stands]).ravel()
    times = [arrive - (place - enter + 1) / speed, *paced, paced[-1] + (leave - place + 1) / speed]
    along = [enter - 1, *np.repeat(place + paces, 2), leave + 1]
    across = [lane, *np.repeat(aside + rng.uniform(-0.4, 0.4, turns), 2), lane]
    track = follow(stage.clock, times, stage.camera.on_path(along, across))
    return walker(track, Look.draw(rng)), (stage.clock >= arrive) & (stage.clock < paced[-1])


def _fall(stage: Stage) -> Act:
    """Someone falls, lies on the ground, gets up and walks on."""
    rng, (enter, leave) = stage.rng, stage.camera.span(stage.size)
    speed, down = rng.uniform(0.9, 1.5), rng.uniform(0.2, 0.4) * stage.duration
    up = down + rng.uniform(0.28, 0.42) * stage.duration
    place, lane = enter + rng.uniform(0.25, 0.7) * (leave - enter), stage.lane()
    times = [down - (place - enter + 1) / speed, down, up, up + (leave - place + 1) / speed]
    track = follow(stage.clock, times, stage.camera.on_path([enter - 1, place, place, leave + 1], lane))
    angle = np.interp(stage.clock, [down - 0.2, down + 0.5, up - 1.2, up], [0.0, 1.5, 1.5, 0.0])
    return walker(track, Look.draw(rng), angle), (stage.clock >= down - 0.2) & (stage.clock < up)


ANOMALIES: dict[str, Callable[[Stage], Act]] = {
    "running": _running,
    "vehicle": _vehicle,
    "loitering": _loitering,
    "fall": _fall,
    "wrong_way": _wrong_way,
}
