"""Who moves through the demo clips: people, riders, carts, birds and trees, each a set of capsules in 3-D.

A capsule is a line segment with a radius (a sphere when both ends meet); its projection is the only shape the
rasteriser knows. Positions are in metres on a flat ground, z up; K counts capsules, F frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Part = tuple[ArrayLike, ArrayLike, float, ArrayLike]  # both ends [3] or [F, 3], radius, colour of a capsule

BACKSTAGE = (0.0, -100.0)  # behind every camera

SKIN = ((224, 184, 152), (190, 140, 105), (120, 82, 58))
HAIR = ((40, 30, 25), (85, 60, 40), (150, 130, 100), (25, 25, 28))
CLOTHES = (
    (176, 58, 52),
    (52, 78, 140),
    (64, 112, 78),
    (205, 200, 190),
    (60, 60, 66),
    (196, 158, 70),
    (120, 82, 128),
)
TROUSERS = ((44, 48, 62), (70, 66, 60), (96, 92, 84), (38, 38, 40))
BLACK, STEEL, CREAM = (28, 28, 30), (62, 66, 66), (228, 224, 204)
BARK, WOOD = (74, 58, 44), (122, 88, 58)

HUBS = np.array([(-0.45, 0, 0), (0.65, 0, 0)])  # of a bicycle's wheels, on the ground


@dataclass(frozen=True)
class Body:
    """An actor's shape over a clip.

    Attributes:
        ends: ``[F, K, 2, 3]`` both ends of each capsule in metres.
        radii: ``[K]`` metres.
        colours: ``[K, 3]`` red, green, blue in 0-255.
    """

    ends: Array
    radii: Array
    colours: Array


@dataclass(frozen=True)
class Track:
    """Where an actor is and how it moves, a value a frame.

    Attributes:
        clock: ``[F]`` seconds.
        position: ``[F, 2]`` metres on the ground.
        heading: ``[F]`` direction of travel in radians; kept while standing.
        speed: ``[F]`` metres a second.
        travelled: ``[F]`` metres since the first keyframe, which drive the gait.
    """

    clock: Array
    position: Array
    heading: Array
    speed: Array
    travelled: Array


def follow(clock: Array, times: ArrayLike, points: ArrayLike) -> Track:
    """Move on straight lines from keyframe to keyframe; turns take about half a second.

    Before the first and after the last keyframe the actor is behind the camera.

    Args:
        clock: ``[F]`` time of each frame in seconds.
        times: ``[M]`` increasing times of the keyframes.
        points: ``[M, 2]`` their places. Two equal places in a row are a stop.
    """
    times, points = np.asarray(times, float), np.asarray(points, float)
    steps = np.diff(points, axis=0)
    lengths = np.hypot(*steps.T)
    last_moving = np.maximum.accumulate(np.where(lengths > 0, np.arange(len(steps)), 0))
    headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])[last_moving])
    segment = np.clip(np.searchsorted(times, clock, side="right") - 1, 0, len(steps) - 1)
    present = (clock >= times[0]) & (clock < times[-1])
    turning = np.pad(headings[segment], 2, mode="edge")
    position = np.stack([np.interp(clock, times, axis) for axis in points.T], axis=1)
    return Track(
        clock=clock,
        position=np.where(present[:, None], position, BACKSTAGE),
        heading=np.convolve(turning, np.full(5, 0.2), mode="valid"),
        speed=np.where(present, (lengths / np.diff(times))[segment], 0.0),
        travelled=np.interp(clock, times, np.concatenate([[0.0], np.cumsum(lengths)])),
    )


@dataclass(frozen=True)
class Look:
    """How one person differs from the next: height in metres and colours ``[3]``."""

    height: float
    skin: Array
    hair: Array
    top: Array
    trousers: Array

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Look":
        """Pick a person at random."""
        height = rng.uniform(1.58, 1.88)
        colours = [rng.choice(palette) + rng.normal(0, 12, 3) for palette in (SKIN, HAIR, CLOTHES, TROUSERS)]
        return cls(height, *np.clip(colours, 0, 255))


def walker(track: Track, look: Look, fall: Array | float = 0.0) -> Body:
    """A person who walks, runs above 2.4 m/s or stands, by the speed of the track, and struggles when down.

    Args:
        track: the way.
        look: the person.
        fall: ``[F]`` angle of the body to the vertical in radians: 0 upright, pi / 2 flat on the ground.
    """
    run = np.clip((track.speed - 2.0) / 0.8, 0, 1)
    stride = np.clip(track.speed / 1.0, 0, 1)
    phase = 2 * np.pi * track.travelled / np.where(run > 0.5, 2.6, 1.45)
    sides = np.stack([phase, phase + np.pi], axis=1)  # left, right
    run, stride, fall = run[:, None], stride[:, None], np.broadcast_to(fall, track.speed.shape)[:, None]
    swing = stride * np.sin(sides)
    struggle = fall * np.sin(7.0 * track.clock[:, None] + (0.0, 2.0))
    lifted = np.clip(np.cos(sides), 0, 1)
    body = _person(
        look,
        hip=look.height * (0.52 + 0.02 * run[:, 0] * np.abs(np.sin(phase))),
        lean=0.05 + 0.22 * run[:, 0],
        thigh=(0.45 + 0.4 * run) * swing + 0.5 * fall + 0.35 * struggle,
        knee=stride * (0.15 + 0.5 * run + (0.55 + 0.6 * run) * lifted) + 0.7 * fall,
        shoulder=-(0.4 + 0.35 * run) * swing + 1.5 * fall + 0.5 * struggle,
        elbow=0.15 + 1.3 * np.repeat(run, 2, axis=1),
    )
    return _place(_topple(body, fall[:, 0]), track)


def cyclist(track: Track, look: Look) -> Body:
    """A bicycle with its rider, who pedals as the wheels turn."""
    phase = track.travelled / 0.55
    sides = np.stack([phase, phase + np.pi], axis=1)
    rider = _person(
        look,
        hip=np.full(len(phase), 0.95),
        lean=np.full(len(phase), 0.55),
        thigh=0.95 + 0.42 * np.sin(sides),
        knee=1.15 + 0.45 * np.cos(sides),
        shoulder=np.full_like(sides, 0.75),
        elbow=np.full_like(sides, 0.25),
    )
    angles = np.linspace(0, 2 * np.pi, 11)
    rim = 0.34 * np.stack([np.cos(angles), 0 * angles, 1 + np.sin(angles)], axis=1)
    wheels = [(rim[i] + hub, rim[i + 1] + hub, 0.035, BLACK) for hub in HUBS for i in range(10)]
    bars = [
        ((-0.45, 0, 0.34), (-0.15, 0, 0.85), 0.035, look.top),
        ((-0.15, 0, 0.85), (0.45, 0, 0.85), 0.035, look.top),
        ((0.1, 0, 0.3), (0.5, 0, 0.85), 0.035, look.top),
        ((0.65, 0, 0.34), (0.48, 0, 1.0), 0.035, look.top),
    ]
    bicycle = _assemble([*wheels, *bars], len(phase))
    return _place(_join(bicycle, rider), track)


def cart(track: Track, look: Look) -> Body:
    """A small electric cart with a roof and a driver."""
    paint = look.top * 0.5 + 110
    parts: list[Part] = [
        *(((x, y, 0.26), (x, 0.8 * y, 0.26), 0.26, BLACK) for x in (-0.85, 0.85) for y in (-0.6, 0.6)),
        *(((-1.1, y, 0.5), (1.15, y, 0.5), 0.24, paint) for y in (-0.45, 0, 0.45)),
        *(((1.0, y, 0.75), (1.1, y, 0.6), 0.22, paint * 0.9) for y in (-0.4, 0, 0.4)),
        *(((x, y, 0.7), (0.85 * x, y, 1.75), 0.04, STEEL) for x in (-0.95, 0.85) for y in (-0.5, 0.5)),
        *(((-1.0, y, 1.85), (0.85, y, 1.85), 0.12, CREAM) for y in (-0.5, -0.17, 0.17, 0.5)),
        ((-0.25, 0.2, 0.8), (-0.3, 0.2, 1.3), 0.2, look.top),
        ((-0.28, 0.2, 1.55), (-0.28, 0.2, 1.56), 0.12, look.skin),
    ]
    return _place(_assemble(parts, len(track.clock)), track)


def bird(track: Track, height: float) -> Body:
    """A bird that flaps along the track, at a height in metres."""
    beat = 0.9 * np.sin(26 * track.clock)
    span, lift = 0.5 * np.cos(beat), height + 0.5 * np.sin(beat)
    wings: list[Part] = [
        ((0, 0, height), np.stack([0 * beat, side * span, lift], axis=1), 0.07, STEEL) for side in (-1, 1)
    ]
    return _place(_assemble([((-0.2, 0, height), (0.2, 0, height), 0.11, STEEL), *wings], len(beat)), track)


def boughs(clock: Array, place: tuple[float, float], gusts: Array, rng: np.random.Generator) -> list[Body]:
    """The crown of a tree, which sways with the wind, bough by bough.

    Args:
        clock: ``[F]`` seconds.
        place: foot of the trunk in metres.
        gusts: ``[F]`` strength of the wind, 0 still to 1.
        rng: places the leaves.
    """
    bodies = []
    for side in (-0.9, -0.3, 0.3, 0.9):
        leaves = rng.normal((place[0] + side, place[1], 3.2 - 0.4 * abs(side)), (0.25, 0.4, 0.35), (6, 3))
        swing = gusts * np.sin(rng.uniform(5, 9) * clock + rng.uniform(0, 6))
        sway = swing[:, None] * np.array((0.22, 0.0, 0.08))
        centres = leaves + sway[:, None]
        green = np.array((62, 92, 48)) * rng.uniform(0.75, 1.2, (6, 1))
        bodies.append(Body(np.stack([centres, centres], axis=2), rng.uniform(0.25, 0.45, 6), green))
    return bodies


def trunk(x: float, y: float) -> Body:
    """The trunk of a tree, one frame."""
    return _assemble([((x, y, 0), (x, y, 2.9), 0.12, BARK)])


def lamp(x: float, y: float) -> Body:
    """A lamp post, one frame."""
    return _assemble(
        [
            ((x, y, 0), (x, y, 3.4), 0.06, STEEL),
            ((x, y, 3.4), (x, y - 0.7, 3.6), 0.04, STEEL),
            ((x, y - 0.6, 3.5), (x, y - 0.9, 3.5), 0.11, CREAM),
        ]
    )


def bench(x: float, y: float) -> Body:
    """A bench that faces the camera, one frame."""
    legs: list[Part] = [
        ((x + dx, y + dy, 0), (x + dx, y + dy, 0.42), 0.04, BLACK)
        for dx in (-0.7, 0.7)
        for dy in (-0.15, 0.2)
    ]
    profile = ((-0.2, 0.45), (0.0, 0.45), (0.2, 0.45), (0.25, 0.7), (0.28, 0.9))
    planks: list[Part] = [((x - 0.9, y + dy, z), (x + 0.9, y + dy, z), 0.06, WOOD) for dy, z in profile]
    return _assemble([*legs, *planks])


def _person(
    look: Look, hip: Array, lean: Array, thigh: Array, knee: Array, shoulder: Array, elbow: Array
) -> Body:
    """A skeleton from its joint angles, in local axes (forward, left, up).

    ``hip`` ``[F]`` is the height of the hips in metres, ``lean`` ``[F]`` the forward angle of the spine. The
    angles of the limbs ``[F, 2]`` (left, right) are from hanging down, positive forward; knees bend back.
    """
    tall = look.height
    spine = np.stack([np.sin(lean), 0 * lean, np.cos(lean)], axis=1)
    hips = np.stack([0 * hip, 0 * hip, hip], axis=1)
    head = hips + 0.40 * tall * spine
    parts: list[Part] = [
        (head, head, 0.062 * tall, look.skin),
        (head + 0.02 * tall * spine, head, 0.060 * tall, look.hair),
    ]
    for side, left in enumerate(np.array(((0.0, 1.0, 0.0), (0.0, -1.0, 0.0)))):
        socket = hips + 0.05 * tall * left
        joint = socket + 0.25 * tall * _hanging(thigh[:, side])
        foot = joint + 0.25 * tall * _hanging(thigh[:, side] - knee[:, side])
        collar = hips + 0.29 * tall * spine + 0.07 * tall * left
        shoulder_end = collar + 0.045 * tall * left
        bend = shoulder_end + 0.17 * tall * _hanging(shoulder[:, side])
        hand = bend + 0.17 * tall * _hanging(shoulder[:, side] + elbow[:, side])
        parts += [
            (socket, joint, 0.050 * tall, look.trousers),
            (joint, foot, 0.036 * tall, look.trousers),
            (socket, collar, 0.068 * tall, look.top),
            (shoulder_end, bend, 0.032 * tall, look.top),
            (bend, hand, 0.026 * tall, look.skin),
        ]
    return _assemble(parts, len(lean))


def _hanging(angle: Array) -> Array:
    """Unit vectors ``[F, 3]`` at an angle ``[F]`` from straight down, positive forward."""
    return np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], axis=1)


def _topple(body: Body, angle: Array) -> Body:
    """Turn a body forward about its feet; what would sink into the ground rests on it."""
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    forward, left, up = np.moveaxis(body.ends, -1, 0)
    turned = np.stack([forward * cos + up * sin, left, np.maximum(up * cos - forward * sin, 0.08)], axis=-1)
    return Body(turned, body.radii, body.colours)


def _place(body: Body, track: Track) -> Body:
    """From local axes to the ground: turn to the heading, move to the position."""
    cos, sin = np.cos(track.heading)[:, None, None], np.sin(track.heading)[:, None, None]
    forward, left, up = np.moveaxis(body.ends, -1, 0)
    x, y = track.position.T[:, :, None, None]
    ends = np.stack([x + forward * cos - left * sin, y + forward * sin + left * cos, up], axis=-1)
    return Body(ends, body.radii, body.colours)


def _assemble(parts: Sequence[Part], frames: int = 1) -> Body:
    """Capsules as an actor; an end that does not move stays where it is in all frames."""
    ends = [[np.broadcast_to(end, (frames, 3)) for end in part[:2]] for part in parts]  # [K, 2, F, 3]
    return Body(
        np.moveaxis(np.array(ends, float), 2, 0),
        np.array([radius for _, _, radius, _ in parts]),
        np.array([colour for _, _, _, colour in parts], float),
    )


def _join(*bodies: Body) -> Body:
    """Several shapes as one actor."""
    return Body(
        np.concatenate([body.ends for body in bodies], axis=1),
        np.concatenate([body.radii for body in bodies]),
        np.concatenate([body.colours for body in bodies]),
    )
