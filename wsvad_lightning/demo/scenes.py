"""Where the demo clips are filmed: four fixed elevated cameras with their backgrounds, paths and light.

A camera is a pinhole above the origin that looks along +y and down. The ground is the plane z = 0 and ends
at a wall. Lengths are in metres, pixels are (u right, v down), H and W are the frame's size.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Place = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Camera:
    """A fixed camera and the one-way path that it watches.

    Attributes:
        name: for the names of the clips.
        height: of the camera above the ground in metres.
        tilt: downward angle of the optical axis in radians.
        focal: focal length in frame widths.
        gain: brightness.
        noise: standard deviation of the sensor noise in grey levels.
        origin: a point on the centre line of the path in metres.
        direction: of the flow on the path in radians, 0 is to the right and pi / 2 away from the camera.
        width: of the path in metres.
        wall: distance of the backdrop in metres.
        sun: metres that the shadow of one metre extends to the right and away.
        ground: colour next to the path.
        paving: colour of the path.
        tile: distance of the joints in the paving in metres.
        facade: colour of the wall.
        tree: place of a tree next to the path.
        lamps: places of lamp posts behind the path.
        benches: places of benches behind the path.
    """

    name: str
    height: float
    tilt: float
    focal: float
    gain: float
    noise: float
    origin: Place
    direction: float
    width: float
    wall: float
    sun: Place
    ground: Colour
    paving: Colour
    tile: float
    facade: Colour
    tree: Place
    lamps: tuple[Place, ...]
    benches: tuple[Place, ...]

    def project(self, points: Array, size: tuple[int, int]) -> tuple[Array, Array]:
        """Pixels ``[..., 2]`` and pixels per metre ``[...]`` of points ``[..., 3]``; size is (W, H)."""
        x, y, z = np.moveaxis(points, -1, 0)
        depth = np.maximum(y * np.cos(self.tilt) + (self.height - z) * np.sin(self.tilt), 0.5)
        down = (self.height - z) * np.cos(self.tilt) - y * np.sin(self.tilt)
        scale = self.focal * size[0] / depth
        return np.stack([size[0] / 2 + scale * x, size[1] / 2 + scale * down], axis=-1), scale

    def on_path(self, along: ArrayLike, across: ArrayLike) -> Array:
        """Ground points ``[..., 2]`` from metres along the flow and to the left of the centre line."""
        along, across = np.broadcast_arrays(along, across)
        cos, sin = np.cos(self.direction), np.sin(self.direction)
        return np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1) + self.origin

    def to_path(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The inverse of `on_path`: metres along the flow and to the left of the centre line."""
        cos, sin = np.cos(self.direction), np.sin(self.direction)
        x, y = x - self.origin[0], y - self.origin[1]
        return x * cos + y * sin, y * cos - x * sin

    def span(self, size: tuple[int, int]) -> tuple[float, float]:
        """Where along the path people come into view and leave it."""
        along = np.linspace(-30, 30, 601)
        ground = self.on_path(along, 0.0)
        pixels, _ = self.project(np.column_stack([ground, np.full(len(along), 0.9)]), size)
        seen = along[np.all((pixels >= 0) & (pixels < size), axis=1) & (ground[:, 1] < self.wall)]
        return float(seen[0]), float(seen[-1])


CAMERAS = (
    Camera(
        name="lawn", height=6.0, tilt=0.52, focal=0.90, gain=1.0, noise=3.0,
        origin=(0.0, 9.6), direction=0.06, width=3.4, wall=19.0, sun=(0.55, 0.35),
        ground=(96, 118, 70), paving=(168, 160, 146), tile=1.2, facade=(150, 122, 100),
        tree=(-4.6, 14.6), lamps=((3.2, 12.6),), benches=((0.2, 14.2), (6.4, 14.2)),
    ),
    Camera(
        name="avenue", height=6.5, tilt=0.46, focal=0.95, gain=0.9, noise=3.5,
        origin=(0.6, 14.0), direction=-1.72, width=4.2, wall=22.5, sun=(-0.7, -0.2),
        ground=(108, 104, 88), paving=(136, 138, 142), tile=2.0, facade=(118, 126, 134),
        tree=(5.4, 17.0), lamps=((-3.6, 19.0), (4.2, 21.5)), benches=((5.0, 12.6),),
    ),
    Camera(
        name="square", height=7.5, tilt=0.60, focal=0.90, gain=1.08, noise=2.5,
        origin=(0.0, 10.0), direction=0.46, width=5.0, wall=18.5, sun=(0.3, 0.6),
        ground=(142, 132, 118), paving=(176, 150, 126), tile=0.8, facade=(182, 172, 152),
        tree=(1.6, 16.2), lamps=((-4.4, 12.2),), benches=((-1.6, 14.6), (-6.2, 14.0)),
    ),
    Camera(
        name="yard", height=5.2, tilt=0.48, focal=0.86, gain=0.78, noise=4.0,
        origin=(0.0, 8.6), direction=-0.19, width=3.6, wall=15.5, sun=(-0.4, 0.5),
        ground=(82, 86, 94), paving=(104, 106, 112), tile=1.6, facade=(90, 84, 92),
        tree=(4.8, 12.6), lamps=((-4.8, 12.2), (0.4, 11.6)), benches=((-2.2, 13.4),),
    ),
)  # fmt: skip


def value_noise(x: Array, y: Array, seed: int) -> Array:
    """Smooth noise in -1..1 with one lattice point a unit, periodic over 64 units."""
    lattice = np.random.default_rng(seed).uniform(-1, 1, (64, 64))
    left, low = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - left, y - low
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    corners = [[lattice[(low + j) % 64, (left + i) % 64] for i in (0, 1)] for j in (0, 1)]
    low_row, high_row = (row[0] + fx * (row[1] - row[0]) for row in corners)
    smooth: Array = low_row + fy * (high_row - low_row)
    return smooth


@cache
def background(camera: Camera, size: tuple[int, int]) -> NDArray[np.float32]:
    """The empty scene ``[H, W, 3]`` in full light; painted twice as large and averaged against aliasing."""
    width, height = size
    u, v = np.meshgrid((np.arange(2 * width) + 0.5) / 2, (np.arange(2 * height) + 0.5) / 2)
    right, down = (u - width / 2) / (camera.focal * width), (v - height / 2) / (camera.focal * width)
    forward = np.cos(camera.tilt) - down * np.sin(camera.tilt)
    drop = np.maximum(np.sin(camera.tilt) + down * np.cos(camera.tilt), 1e-3)
    to_ground = camera.height / drop
    is_wall = to_ground * forward > camera.wall
    reach = np.where(is_wall, camera.wall / forward, to_ground)
    x, y, z = reach * right, reach * forward, camera.height - reach * drop
    fine = np.where(is_wall[..., None], _facade(camera, x, z), _ground(camera, x, y))
    picture: NDArray[np.float32] = fine.reshape(height, 2, width, 2, 3).mean(axis=(1, 3), dtype=np.float32)
    return picture


def _ground(camera: Camera, x: Array, y: Array) -> Array:
    """Colours of the ground: rough next to the path, paved with joints and a kerb on it."""
    along, across = camera.to_path(x, y)
    rough = sum(value_noise(x * f, y * f, seed) / f**0.5 for seed, f in enumerate((0.4, 1.3, 4.0, 11.0)))
    verge = np.array(camera.ground) * (1 + 0.13 * rough)[..., None]
    joint = np.minimum(np.abs(along % camera.tile), np.abs(across % camera.tile)) < 0.05
    slab = value_noise(np.floor(along / camera.tile), np.floor(across / camera.tile), 7)
    shade = (1 + 0.05 * slab + 0.03 * rough) * np.where(joint, 0.84, 1.0)
    paved = np.array(camera.paving) * shade[..., None]
    kerb = np.abs(np.abs(across) - camera.width / 2) < 0.09
    picture = np.where((np.abs(across) < camera.width / 2)[..., None], paved, verge)
    return np.where(kerb[..., None], np.array(camera.paving) * 1.18, picture)


def _facade(camera: Camera, x: Array, z: Array) -> Array:
    """Colours of the wall: courses of stone, a plinth, windows, and a gate where the path meets it."""
    course = (np.abs(z % 0.5) < 0.05) | (np.abs((x + 0.5 * (np.floor(z / 0.5) % 2)) % 1.0) < 0.05)
    shade = np.where(course, 0.9, 1.0) * np.where(z < 0.6, 0.75, 1.0)
    stone = np.array(camera.facade) * (shade * (1 + 0.06 * value_noise(x * 2, z * 2, 11)))[..., None]
    window = (np.abs(x % 3.2 - 1.6) < 0.7) & (np.abs(z % 3.0 - 1.9) < 0.65)
    glass = np.array((62, 72, 84)) * (1 + 0.25 * value_noise(x, z, 13))[..., None]
    _, across = camera.to_path(x, np.full_like(x, camera.wall))
    gate = (np.abs(across) < camera.width / 2) & (z < 3.0)
    return np.where(gate[..., None], 30.0, np.where(window[..., None], glass, stone))
