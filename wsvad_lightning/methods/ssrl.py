"""SSRL: scale-aware spatio-temporal relation learning (Li, Cai, Zeng and Zhao, ECCV 2022).

A snippet is seen in views of whole frames, and in patches of finer and finer grids. What the patches of a
grid have to do with each other becomes one vector, added to the features of every crop; the rest is RTFM.

    v_g = to_vector(to_map(multi-scale(patches_g)))      along the patches of one snippet, then over the grid
    F = dropout(multi-scale(x + sum_g v_g))              temporal context, [B, N, T, D]
    s = mean_crops(sigmoid(mlp(F)))                      score

Training has stages, one more than there are grids. Stage 1 is RTFM on crops alone. Every further stage starts
from what the one before has learnt, freezes it, and trains the branch of one more grid: frozen BatchNorms
keep their statistics, while dropout acts everywhere. Loss terms are RTFM's, see
:mod:`wsvad_lightning.methods.base.magnitude`.

Numbers equal the authors' code, with its quirks: ReLU before BatchNorm, padding of the map only for grids
too small for a 3 x 3 convolution, dropout in the branch of the last grid alone. Deviations: a stage loads
what it starts from (the authors' script forgets to, and freezes random weights instead); any grids, crops and
snippets; k is clamped to T. Frozen branches take the snippets in parts, so that long videos fit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.checkpoint import fits, read_checkpoint
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import Dropout, MultiScaleTemporal, ScoreHead, init_xavier, over_rows
from wsvad_lightning.methods.base.magnitude import MagnitudeMIL, MagnitudeOutput
from wsvad_lightning.methods.base.staged import StagedModule
from wsvad_lightning.start import take_part
from wsvad_lightning.types import FeatureRequirements, StreamShape, WSVADBatch
from wsvad_lightning.video.views import parse_grid

GRIDS = ("2x3", "3x5", "4x7")
KERNEL = 3  # of the convolution over a grid
AT_ONCE = 256  # snippets whose patches pass through a frozen branch together


class GridConv(nn.Conv2d):
    """``nn.Conv2d`` as one matrix product over the cells of all grids; the weights have the same shape.

    Cells are few and channels many: on a CPU training is faster than by PyTorch's own convolution, and so is
    scoring in float64, where that takes one grid after the other and reads all weights for each of them.

    Args:
        dim: channels in.
        width: channels out.
        margin: cells of zeros around a grid.
    """

    def __init__(self, dim: int, width: int, margin: int) -> None:
        super().__init__(dim, width, KERNEL)
        self.margin = margin

    def forward(self, grids: Tensor) -> Tensor:
        """Convolve ``[R, D, h, w]``."""
        seen = F.unfold(grids, KERNEL, padding=self.margin).mT  # [R, cells, D * 9]
        out = F.linear(seen.flatten(0, 1), self.weight.flatten(1), self.bias)  # else a product for each grid
        rows = grids.shape[-2] + 2 * self.margin - KERNEL + 1
        cells = out.view(*seen.shape[:2], -1)
        convolved: Tensor = rearrange(cells, "r (rows columns) d -> r d rows columns", rows=rows)
        return convolved


class GridBranch(nn.Module):
    """Turns the patches of a snippet into one vector: how they relate, then where they lie.

    Args:
        dim: channels of patches and vector.
        grid: rows and columns, such as ``2x3``.
        dropout: probability in the vector.
    """

    def __init__(self, dim: int, grid: str, dropout: float) -> None:
        super().__init__()
        self.rows, columns = parse_grid(grid, "model.grids")
        width = max(1, dim // 2)
        padding = int(min(self.rows, columns) < KERNEL)
        trimmed = KERNEL - 1 - 2 * padding
        self.context = MultiScaleTemporal(dim)
        self.to_map = nn.Sequential(GridConv(dim, width, padding), nn.ReLU(), nn.BatchNorm2d(width))
        cells = (self.rows - trimmed) * (columns - trimmed)
        self.to_vector = nn.Sequential(nn.Linear(cells * width, dim), nn.ReLU(), Dropout(dropout))

    @over_rows
    def forward(self, patches: Tensor) -> Tensor:
        """Join the patches of each snippet, row by row of the grid: ``[..., P, D]`` to ``[..., D]``."""
        if self.context.training or torch.compiler.is_exporting():
            return self._join(patches)  # BatchNorm learns from all of them
        return torch.cat([self._join(part) for part in torch.split(patches, AT_ONCE)])

    def _join(self, snippets: Tensor) -> Tensor:
        grid = rearrange(self.context(snippets), "r (rows columns) d -> r d rows columns", rows=self.rows)
        joined: Tensor = self.to_vector(self.to_map(grid).flatten(1))
        return joined


class SSRLNet(nn.Module):
    """The network of a stage, usable without Lightning: ``SSRLNet()(features, patches).scores``.

    With grids, only the branch of the last one learns.

    Args:
        feature_dim: D, channels of crops and patches.
        grids: grids of the patches, none in stage 1.
        dropout: probability after the temporal network and in the score head.
        branch_dropouts: probability in the vector of each grid.
    """

    def __init__(
        self,
        feature_dim: int = 2048,
        grids: Sequence[str] = (),
        dropout: float = 0.7,
        branch_dropouts: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            GridBranch(feature_dim, grid, p) for grid, p in zip(grids, branch_dropouts, strict=True)
        )
        self.context = MultiScaleTemporal(feature_dim)
        self.dropout = Dropout(dropout)
        self.to_score = ScoreHead(feature_dim, dropout)
        init_xavier(self)
        if grids:
            self.requires_grad_(False)
            self.branches[-1].requires_grad_(True)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode, but leave frozen BatchNorms their statistics; dropout follows the mode everywhere."""
        super().train(mode)
        if self.branches:
            self.context.eval()
        for branch in self.branches[:-1]:
            assert isinstance(branch, GridBranch)
            branch.context.eval()
            branch.to_map.eval()
        return self

    def forward(self, features: Tensor, patches: Sequence[Tensor] = ()) -> MagnitudeOutput:
        """Score videos of any length.

        Args:
            features: ``[B, N, T, D]``.
            patches: ``[B, T, P, D]`` for each grid.
        """
        for branch, seen in zip(self.branches, patches, strict=True):
            features = features + branch(seen)[:, None]
        encoded = self.dropout(self.context(features))
        return MagnitudeOutput(encoded, self.to_score(encoded))


class SSRL(StagedModule, MagnitudeMIL):
    """One stage of SSRL as a LightningModule; ``wsvad stages --config sht_ssrl.yaml`` runs all of them.

    Args:
        feature_dim: D, channels of crops and patches; taken from the store on the command line.
        stage: 1, or one more for each of the grids in use.
        previous: checkpoint of the stage before, which training starts from; none in stage 1.
        grids: of patches, one more a stage; ``2x3`` is read from the stream ``patches_2x3``.
        dropout: probability in the network.
        **kwargs: arguments of :class:`MagnitudeMIL`.

    Raises:
        WSVADError: if a grid is not rows x columns, or ``stage`` is out of range.
    """

    not_saved: ClassVar[tuple[str, ...]] = (*MagnitudeMIL.not_saved, "previous")

    net: SSRLNet

    def __init__(
        self,
        feature_dim: int = 2048,
        stage: int = 1,
        previous: str | None = None,
        grids: Sequence[str] = GRIDS,
        dropout: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.num_stages = len(grids) + 1
        if not 1 <= stage <= self.num_stages:
            raise WSVADError(
                "model.stage", stage, f"{len(grids)} grids make {self.num_stages} stages", "Give one of these"
            )
        self.stage, self.previous = stage, previous
        self.grids = tuple(grids[: stage - 1])
        shapes = {f"patches_{grid}": StreamShape(feature_dim, patch_count(grid)) for grid in self.grids}
        self.requires = FeatureRequirements(streams=shapes)
        branch_dropouts = [dropout if grid == grids[-1] else 0.0 for grid in self.grids]
        self.net = SSRLNet(feature_dim, self.grids, dropout, branch_dropouts)

    def start_from(self, path: str) -> None:
        """Load all but the branch of the newest grid from a checkpoint of the stage before.

        Raises:
            WSVADError: if it cannot be read or is of anything else.
        """
        found, wanted = _described(read_checkpoint(path, "model.previous")), self._stage_before()
        if found != wanted:
            problem = f"is of {found}, where {wanted} is what stage {self.stage} starts from"
            raise WSVADError("model.previous", path, problem, "Give the checkpoint of the stage before")
        newest = f"branches.{self.stage - 2}."
        take_part(self.net, path, "net", "model.previous", method="SSRL", new=newest)

    def _stage_before(self) -> str:
        return _words("SSRL", self.stage - 1, self.grids[:-1], self.feature_dim)

    def patch_maps(self, batch: WSVADBatch) -> Tensor | None:
        """Give the score of a video with one patch of each grid left in, the others being 0: ``[T, h, w]``.

        The crops are 0 as well where features are normalised by z-scores, which is the average of normal
        videos; otherwise they stay. Stage 1 has no patches.
        """
        if not self.grids:
            return super().patch_maps(batch)
        assert batch.patches is not None, "maps are asked for with patches"
        centred, sizes = batch.patches.centred, [parse_grid(grid, "model.grids") for grid in self.grids]
        rows, columns = max(sizes, key=lambda size: size[0] * size[1])
        features = torch.zeros_like(batch.features) if centred else batch.features
        scores = []
        for cell in self.advancing(range(rows * columns), rows * columns):
            row, column = (cell // columns + 0.5) / rows, (cell % columns + 0.5) / columns
            streams = dict(batch.streams)
            for grid, (height, width) in zip(self.grids, sizes, strict=True):
                patch = int(row * height) * width + int(column * width)
                left = torch.zeros_like(streams[f"patches_{grid}"])
                left[:, :, patch] = streams[f"patches_{grid}"][:, :, patch]
                streams[f"patches_{grid}"] = left
            scores.append(self.score(batch._replace(features=features, streams=streams))[0])
        return torch.stack(scores, dim=1).reshape(-1, rows, columns)

    def encode(self, batch: WSVADBatch) -> MagnitudeOutput:
        """Pass crops and patches through the network."""
        out: MagnitudeOutput = self.net(batch.features, [batch.streams[f"patches_{g}"] for g in self.grids])
        return out


def _described(checkpoint: Mapping[str, Any]) -> str:
    """Say what a checkpoint is of, as far as the next stage depends on it."""
    settings = checkpoint.get("hyper_parameters", {})
    stage, every = settings.get("stage", 1), settings.get("grids", ())
    grids = every[: stage - 1] if fits(stage, int) and fits(every, Sequence[str]) else ()
    return _words(checkpoint.get("method"), stage, grids, settings.get("feature_dim"))


def _words(method: object, stage: int, grids: Sequence[str], feature_dim: object) -> str:
    on = ", ".join(["crops", *grids])
    return f"{method} in stage {stage} on {on} of {feature_dim} channels"


def patch_count(grid: str) -> int:
    """Count the patches of a grid."""
    rows, columns = parse_grid(grid, "model.grids")
    return rows * columns
