"""A small anti-aliased rasteriser: draws the capsules of actors far to near, and the shadows they throw."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.demo.actors import Body
from wsvad_lightning.demo.scenes import Camera, background
from wsvad_lightning.demo.script import Scene

Image = NDArray[np.float32]
Box = tuple[slice, slice]
SMALLEST_STEP = 0.5  # pixels from a frame to the next by which an actor moves


@dataclass(frozen=True)
class Outline:
    """An actor on the image plane.

    Attributes:
        ends: ``[F, K, 2, 2]`` pixels (u, v) of both ends of each capsule, far to near.
        radii: ``[F, K]`` pixels.
        colours: ``[F, K, 3]``.
        depth: ``[F]`` distance from the camera, any increasing measure.
    """

    ends: Image
    radii: Image
    colours: Image
    depth: Image

    @classmethod
    def of(cls, body: Body, camera: Camera, size: tuple[int, int]) -> "Outline":
        """Project an actor; a capsule's radius is taken at its middle."""
        pixels, scale = camera.project(body.ends, size)
        scale = scale.mean(axis=2)
        order = np.argsort(scale, axis=1)
        return cls(
            np.take_along_axis(pixels, order[..., None, None], axis=1).astype(np.float32),
            (np.take_along_axis(scale, order, axis=1) * body.radii[order]).astype(np.float32),
            body.colours[order].astype(np.float32),
            (1 / scale.mean(axis=1)).astype(np.float32),
        )

    def coverage(self, frame: int, shape: tuple[int, int]) -> tuple[Box, Image] | None:
        """How much of each pixel each capsule covers, ``[K, h, w]`` in a box; None outside the picture."""
        ends, radii = self.ends[frame], self.radii[frame]
        margin = radii[:, None, None] + 1
        low = np.clip(np.floor((ends - margin).min(axis=(0, 1))), 0, shape[::-1]).astype(int)
        high = np.clip(np.ceil((ends + margin).max(axis=(0, 1))), 0, shape[::-1]).astype(int)
        if np.any(high <= low):
            return None
        u = np.arange(low[0], high[0], dtype=np.float32) + 0.5
        v = np.arange(low[1], high[1], dtype=np.float32)[:, None] + 0.5
        start, axis = ends[:, 0], ends[:, 1] - ends[:, 0]
        axis_u, axis_v = axis.T[..., None, None]
        from_u, from_v = u - start[:, :1, None], v - start[:, 1:, None]  # [K, 1, w] and [K, h, 1]
        along = (from_u * axis_u + from_v * axis_v) / (axis_u**2 + axis_v**2 + 1e-6)
        along = np.minimum(np.maximum(along, 0), 1)
        distance = np.sqrt((from_u - along * axis_u) ** 2 + (from_v - along * axis_v) ** 2)
        alpha = np.minimum(np.maximum(radii[:, None, None] + 0.5 - distance, 0), 1)
        return np.s_[low[1] : high[1], low[0] : high[0]], alpha

    def draw(self, picture: Image, frame: int) -> None:
        """Paint the capsules over a picture ``[H, W, 3]``, the nearest last."""
        if (covered := self.coverage(frame, picture.shape[:2])) is None:
            return
        box, alpha = covered
        patch = picture[box]
        for part, colour in zip(alpha[..., None], self.colours[frame], strict=True):
            patch += part * (colour - patch)

    def darken(self, shade: Image, frame: int) -> None:
        """Add the outline to a mask ``[H, W]`` of what lies in shadow."""
        if (covered := self.coverage(frame, shade.shape)) is None:
            return
        box, alpha = covered
        np.maximum(shade[box], alpha.max(axis=0), out=shade[box])


def draw_scene(
    scene: Scene, camera: Camera, size: tuple[int, int], rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """Draw the frames ``[H, W, 3]`` of a scene one after the other.

    Args:
        scene: actors and light.
        camera: where it is filmed from.
        size: (W, H) in pixels.
        rng: draws the sensor noise.
    """
    empty, still = background(camera, size).copy(), np.zeros(size[::-1], np.float32)
    for body in scene.furniture:
        Outline.of(body, camera, size).draw(empty, 0)
        Outline.of(_shadow(body, camera), camera, size).darken(still, 0)
    outlines = [Outline.of(body, camera, size) for body in scene.bodies]
    shadows = [Outline.of(_shadow(body, camera), camera, size) for body in scene.bodies]
    for frame, (gain, darkness) in enumerate(zip(scene.gain.tolist(), scene.shadow.tolist(), strict=True)):
        shade = still.copy()
        for shadow in shadows:
            shadow.darken(shade, frame)
        picture = empty * (1 - darkness * shade[..., None])
        for outline in sorted(outlines, key=lambda outline: -outline.depth[frame]):
            outline.draw(picture, frame)
        noise = camera.noise * rng.standard_normal((*size[::-1], 1), np.float32)
        yield np.clip(gain * picture + noise, 0, 255).astype(np.uint8)


def moving_pixels(scene: Scene, camera: Camera, size: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """Say of each frame which pixels ``[H, W]`` an actor covers that moves by half a pixel or more.

    An actor moves where the ends of its capsules do, on average, since the frame before; shadows are left
    out, and so is what hides behind others.

    Args:
        scene: actors and light.
        camera: where it is filmed from.
        size: (W, H) in pixels.
    """
    outlines = [Outline.of(body, camera, size) for body in scene.bodies]
    steps = [np.linalg.norm(np.diff(outline.ends, axis=0), axis=-1).mean(axis=(1, 2)) for outline in outlines]
    for frame in range(len(scene.gain)):
        covered = np.zeros(size[::-1], bool)
        for outline, step in zip(outlines, steps, strict=True):
            moves = len(step) > 0 and step[max(0, frame - 1)] >= SMALLEST_STEP
            found = outline.coverage(frame, covered.shape) if moves else None
            if found is not None:
                box, alpha = found
                covered[box] |= alpha.max(axis=0) > 0.5
        yield covered


def _shadow(body: Body, camera: Camera) -> Body:
    """What the sun throws on the ground."""
    flat = body.ends.copy()
    flat[..., :2] += body.ends[..., 2:] * camera.sun
    flat[..., 2] = 0
    return Body(flat, body.radii, body.colours)
