"""Motion without learning: dense optical flow, and what it says of a part of the frame in a few numbers.

Flow: pyramidal Lucas-Kanade (B. Lucas, T. Kanade, "An iterative image registration technique", 1981;
pyramid and warping after J.-Y. Bouguet, 2000). Deviations: frames are first normalized by their local
contrast, so that neither flicker nor a change of exposure looks like motion; the normal matrix is
regularized, so that flow fades to zero in places without texture.

Everything is measured at a fixed working size, whatever the size of the video: a speed is in pixels from one
sampled frame to the next when the shorter side of the frame has ``size`` pixels. Speeds up to a thirtieth of
that side are followed; what is faster looks slower than it is, but still shows in the energy.
"""

import torch
from torch import Tensor
from torch.nn import functional

from wsvad_lightning.video.views import View, resize

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
CONTRAST_WINDOW = 25  # pixels of the working size, like every length below
CONTRAST_FLOOR = 8.0  # grey levels: contrast below that of sensor noise is not amplified
FLOW_WINDOW = 9
REGULARIZER = 0.05  # squared gradient of normalized contrast
LEVELS = 3  # one step each: a second one follows faster objects, and follows noise more than it gains
MAX_STEP = 2.0  # pixels of the level
SAMPLING = 2  # flow is smooth within its window: every second pixel of it is enough

MOVING = 0.5  # speed from which a pixel counts as moving
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)
STATISTICS = ("energy", "moving", "mean", "std", *(f"q{round(100 * q)}" for q in QUANTILES), "max")
DIRECTIONS = 8
BANDS = (MOVING, 1.5, 3.0)  # lower limits of the speeds of a walker, a runner, a vehicle


def measure_motion(frames: Tensor, size: int) -> Tensor:
    """Flow and change between consecutive frames.

    Args:
        frames: ``[K + 1, 3, H, W]`` uint8 RGB.
        size: shorter side of the frames while they are compared.

    Returns:
        ``[K, 3, h, w]``: displacement to the right and downwards in pixels, and the absolute change in grey
        levels, from each frame to the next.
    """
    height, width = frames.shape[-2:]
    scale = size / min(height, width)
    small = resize(frames, round(scale * height), round(scale * width)).float()
    # Frames lie in the place of channels, innermost in memory: box filters are then many times faster.
    grey = torch.einsum("kchw,c->hwk", small, torch.tensor(LUMA)).permute(2, 0, 1)[None]
    contrast = _local_contrast(grey)
    flow = _lucas_kanade(contrast[:, :-1], contrast[:, 1:])
    change = (grey[:, 1:] - grey[:, :-1]).abs()
    return torch.cat([*flow, change]).transpose(0, 1)


def _box(x: Tensor, window: int) -> Tensor:
    """Mean of ``[1, K, h, w]`` over a square window; what is beyond the border counts as zero."""
    kernel = x.new_full((x.shape[1], 1, window, 1), 1 / window)
    x = functional.conv2d(x, kernel, padding=(window // 2, 0), groups=x.shape[1])
    return functional.conv2d(x, kernel.transpose(2, 3), padding=(0, window // 2), groups=x.shape[1])


def _local_contrast(grey: Tensor) -> Tensor:
    """Deviation from the local mean in units of the local standard deviation."""
    inside = _box(torch.ones_like(grey[:, :1]), CONTRAST_WINDOW)
    mean = _box(grey, CONTRAST_WINDOW) / inside
    variance = _box((grey - mean).square(), CONTRAST_WINDOW) / inside
    return (grey - mean) / (variance + CONTRAST_FLOOR**2).sqrt()


def _lucas_kanade(earlier: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
    """Displacements ``u, v`` with ``earlier(x, y) = later(x + u, y + v)``, all ``[1, K, h, w]``."""
    pyramid = [(earlier, later)]
    for _ in range(1, LEVELS):
        earlier, later = (functional.avg_pool2d(image, 2, ceil_mode=True) for image in (earlier, later))
        pyramid.append((earlier, later))
    u = v = torch.zeros_like(earlier)
    for earlier, later in reversed(pyramid):
        if u.shape != earlier.shape:
            u, v = (2 * functional.interpolate(x, earlier.shape[-2:], mode="bilinear") for x in (u, v))
        u, v = _refine(earlier, later, u, v)
    return u, v


def _refine(earlier: Tensor, later: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """One Gauss-Newton step of the least-squares displacement of every window."""
    gy, gx = torch.gradient(earlier, dim=(2, 3))
    xx = _box(gx * gx, FLOW_WINDOW) + REGULARIZER
    yy = _box(gy * gy, FLOW_WINDOW) + REGULARIZER
    xy = _box(gx * gy, FLOW_WINDOW)
    rest = _warp(later, u, v) - earlier
    xt, yt = _box(gx * rest, FLOW_WINDOW), _box(gy * rest, FLOW_WINDOW)
    determinant = xx * yy - xy * xy
    u = u - ((yy * xt - xy * yt) / determinant).clamp(-MAX_STEP, MAX_STEP)
    v = v - ((xx * yt - xy * xt) / determinant).clamp(-MAX_STEP, MAX_STEP)
    return u, v


def _warp(image: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """``image(x + u, y + v)``, bilinear; beyond the border the border's value."""
    height, width = image.shape[-2:]
    x = (torch.arange(width) + 0.5 + u[0]) * (2 / width) - 1
    y = (torch.arange(height)[:, None] + 0.5 + v[0]) * (2 / height) - 1
    grid = torch.stack([x, y], dim=-1)
    warped = functional.grid_sample(image.transpose(0, 1), grid, padding_mode="border", align_corners=False)
    return warped.transpose(0, 1).contiguous(memory_format=torch.channels_last)


def flow_statistics(motion: Tensor, view: View) -> Tensor:
    """How much moves, and how fast; the directions do not matter.

    Args:
        motion: ``[K, 3, h, w]`` from :func:`measure_motion`.
        view: part of the frame.

    Returns:
        ``[K, 10]``, named by :data:`STATISTICS`: the energy (mean absolute change in grey levels, index 0),
        the fraction of the area that moves, then mean, deviation, quantiles and maximum of the speed.
    """
    cut = view.cut(motion)
    energy = cut[:, 2].mean(dim=(1, 2))
    speed = torch.hypot(cut[:, 0, ::SAMPLING, ::SAMPLING], cut[:, 1, ::SAMPLING, ::SAMPLING]).flatten(1)
    quantiles = torch.quantile(speed, torch.tensor(QUANTILES), dim=1)
    moving = (speed >= MOVING).float().mean(dim=1)
    moments = speed.mean(dim=1), speed.std(dim=1, correction=0)
    return torch.stack([energy, moving, *moments, *quantiles, speed.amax(dim=1)], dim=1)


def flow_histogram(motion: Tensor, view: View) -> Tensor:
    """How much moves how fast in which direction.

    Args:
        motion: ``[K, 3, h, w]`` from :func:`measure_motion`.
        view: part of the frame; a mirrored one mirrors the directions.

    Returns:
        ``[K, 34]``: the 10 statistics of :func:`flow_statistics`, then for the speeds of a walker, a runner
        and a vehicle (:data:`BANDS`) the fraction of the area that moves right, down right, down, and so on
        through 8 directions.
    """
    flow = view.cut(motion)[:, :2, ::SAMPLING, ::SAMPLING].flatten(2)
    u, v = (-flow[:, 0] if view.mirrored else flow[:, 0]), flow[:, 1]
    direction = torch.atan2(v, u).mul(DIRECTIONS / (2 * torch.pi)).round().long() % DIRECTIONS
    band = torch.bucketize(torch.hypot(u, v), torch.tensor(BANDS), right=True)
    cells = torch.zeros(len(flow), (1 + len(BANDS)) * DIRECTIONS)
    cells.scatter_add_(1, band * DIRECTIONS + direction, torch.ones_like(u) / u.shape[1])
    return torch.cat([flow_statistics(motion, view), cells[:, DIRECTIONS:]], dim=1)
