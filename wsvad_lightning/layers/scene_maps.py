"""What is known of a scene before any training: where it moves, and how far away it is. A value a token.

Source: SVMAE, "Scene-aware Probabilistic Masking and Fusion for Video Anomaly Detection". The paper gives the
parts; how they are computed here is stated at each function.
"""

import torch
from einops import reduce
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers.vit import TubeGrid
from wsvad_lightning.ops import min_max

FLOOR = 1e-3  # of a token's weight: none is never seen


def cube_difference(clips: Tensor, grid: TubeGrid) -> Tensor:
    """Motion of every tube: the mean absolute difference between consecutive frames, over its pixels.

    The differences are those within the tube, and that to the next tube in time; the last tube is compared
    with the one before it.

    Args:
        clips: ``[B, 3, T, H, W]`` in [0, 1].
        grid: how they are cut.

    Returns:
        ``[B, N]`` in [0, 1].
    """
    grid.check_clips(clips)
    changes = (clips[:, :, 1:] - clips[:, :, :-1]).abs_()
    if changes.shape[2] == 0:
        return clips.new_zeros(len(clips), grid.tokens)
    pooled = reduce(changes, "b c t (h p) (w q) -> b t h w", "mean", p=grid.patch, q=grid.patch)
    border = max(0, grid.frames - 1 - grid.tube)  # between the last two tubes
    pooled = torch.cat([pooled, pooled[:, border : border + 1]], dim=1)
    return reduce(pooled, "b (t l) h w -> b (t h w)", "mean", l=grid.tube)


def perspective_prior(grid: TubeGrid) -> Tensor:
    """Depth without a depth network: it grows from the bottom of the frame (0) to its top (1), ``[1, N]``."""
    times, rows, columns = grid.shape
    depth = torch.linspace(1, 0, rows) if rows > 1 else torch.zeros(1)
    return depth[None, :, None].expand(times, rows, columns).reshape(1, -1)


def depth_of_tubes(depth: Tensor, grid: TubeGrid) -> Tensor:
    """Average a depth stream over tubes, and stretch it to [0, 1] in each clip.

    Args:
        depth: ``[B, T, h, w]``, larger is farther. The rows h and columns w are those of the tokens or
            multiples of them.
        grid: how clips are cut.

    Returns:
        ``[B, N]``.

    Raises:
        WSVADError: if the stream has another grid or number of frames.
    """
    _, frames, height, width = depth.shape
    _, rows, columns = grid.shape
    if frames != grid.frames or height % rows or width % columns:
        problem = (
            f"has {frames} frames of {height} x {width} values a clip, the tokens are {rows} x {columns}"
        )
        problem += f" in {grid.frames} frames"
        raise WSVADError(
            "data.depth", None, problem, "Give depth on the grid of the tokens or a multiple of it"
        )
    pattern = "b (t l) (h p) (w q) -> b (t h w)"
    pooled = reduce(depth.float(), pattern, "mean", l=grid.tube, h=rows, w=columns)
    return min_max(pooled)


def scene_weights(motion: Tensor, depth: Tensor, depth_share: float) -> Tensor:
    """Fuse both maps: ``a * depth + (1 - a) * motion``, each stretched to [0, 1] in its clip.

    Far regions are small in pixels and hold more of the scene in a token, so they weigh more.

    Args:
        motion: ``[B, N]``.
        depth: ``[B, N]`` in [0, 1], larger is farther.
        depth_share: a.

    Returns:
        ``[B, N]``, at least a thousandth.
    """
    fused = depth_share * depth + (1 - depth_share) * min_max(motion)
    return fused.clamp(min=FLOOR)


def levels_of(depth: Tensor, values: Tensor) -> Tensor:
    """Map depth ``[B, N]`` in [0, 1] to one of L values, by L even intervals from near to far."""
    place = (depth * len(values)).long().clamp(0, len(values) - 1)
    return values[place]
