"""DTFE of SST: a transformer on tubelets of a clip that drops the tokens it can do without.

Before some of its blocks a predictor decides for every token whether it is kept. In training nothing is
removed: a token that is dropped is no longer attended to, except by itself, and the decision is a Gumbel
sample whose gradient is that of the probabilities. At test the tokens most probably kept remain, as many in
every tubelet.

The transformer is that of STPrivacy, the pruning that of DynamicViT (Rao et al., NeurIPS 2021).
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import PreNormLayer, TubeGrid, take_tokens

Motion = Literal["reversal", "difference"]
TokenOrder = Literal["score", "raster"]

NORM_EPS = 1e-6
SOFTMAX_EPS = 1e-6
INIT_STD = 0.02
MLP_RATIO = 4
PRUNING = MappingProxyType({3: 0.7, 6: 0.5, 9: 0.3})
CHANGE = 0.3  # of the grey range, that counts as 1 where the mean frame is subtracted


class KeptTokens(NamedTuple):
    """What is left of clips at test.

    Attributes:
        tokens: ``[B, K, D]``.
        places: ``[B, K]`` of each among all tokens of the clip.
    """

    tokens: Tensor
    places: Tensor


class MaskedTokens(NamedTuple):
    """What a training pass yields.

    Attributes:
        tokens: ``[B, N, D]``, all of them.
        keep: ``[stages, B, N]`` decisions, 1 for a token that is kept.
        motion: ``[B]`` motion that the tokens kept hold, summed over them and the stages; 0 unless asked for.
    """

    tokens: Tensor
    keep: Tensor
    motion: Tensor


class TokenAttention(nn.Module):
    """Multi-head self-attention that leaves out tokens which are not kept, except of each to itself.

    Args:
        dim: channels in and out.
        heads: number of heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(dim, 3 * dim)
        self.project_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Attend to the tokens that are kept, all if ``keep [B, N]`` is None: ``[B, N, dim]`` to the same."""
        query, key, value = rearrange(
            self.project_in(x), "b n (part h d) -> part b h n d", part=3, h=self.heads
        )
        if keep is None:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            attended = masked_softmax(query @ key.mT * query.shape[-1] ** -0.5, keep).to(value.dtype) @ value
        out: Tensor = self.project_out(rearrange(attended, "b h n d -> b n (h d)"))
        return out


def masked_softmax(logits: Tensor, keep: Tensor) -> Tensor:
    """Softmax over the tokens that are kept and the token itself, smoothed as DynamicViT does.

    Args:
        logits: ``[B, heads, N, N]``.
        keep: ``[B, N]``, 1 or 0; it gets the gradient of a weight.

    Returns:
        ``[B, heads, N, N]`` float32.
    """
    number = keep.shape[-1]
    own = torch.eye(number, dtype=torch.bool, device=keep.device)
    weights = torch.where(own, 1.0, keep.float()[:, None, None, :])
    logits = logits.float()
    weighed = (logits - logits.detach().amax(dim=-1, keepdim=True)).exp() * weights
    return (weighed + SOFTMAX_EPS / number) / (weighed.sum(dim=-1, keepdim=True) + SOFTMAX_EPS)


class KeepPredictor(nn.Module):
    """Decides by a token, the mean of its tubelet and that of the clip, a third of the channels each.

    Args:
        dim: channels of the tokens, a multiple of 3.
        tubelets: of a clip.
    """

    def __init__(self, dim: int, tubelets: int) -> None:
        super().__init__()
        self.tubelets = tubelets
        self.embed = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        self.decide = nn.Sequential(
            nn.Linear(dim, dim // 2),
            nn.GELU(),
            nn.Linear(dim // 2, dim // 4),
            nn.GELU(),
            nn.Linear(dim // 4, 2),
        )

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """Give ``[B, N, 2]`` log-probabilities to keep and to drop tokens ``[B, N, dim]``.

        Args:
            x: tokens, as many in every tubelet.
            keep: ``[B, N]`` which of them count in the means.
        """
        own, tubelet, clip = rearrange(self.embed(x), "b (t p) c -> b t p c", t=self.tubelets).chunk(
            3, dim=-1
        )
        keep = rearrange(keep, "b (t p) -> b t p 1", t=self.tubelets)
        means = [kept_mean(tubelet, keep, (2,)).expand_as(own), kept_mean(clip, keep, (1, 2)).expand_as(own)]
        joined = rearrange(torch.cat([own, *means], dim=-1), "b t p c -> b (t p) c").to(own.dtype)
        return F.log_softmax(self.decide(joined).float(), dim=-1)


def kept_mean(x: Tensor, keep: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Mean of the tokens that are kept; zero where none is, which the authors divide by zero."""
    total = keep.sum(dim=dims, keepdim=True)
    return (x * keep).sum(dim=dims, keepdim=True) / total.where(total > 0.5, 1.0)  # a sum of ones and zeros


class PatchTransformer(nn.Module):
    """DTFE: from clips to features of their patches.

    Args:
        grid: how clips are cut into tokens.
        dim: channels inside, a multiple of 3 and of ``heads``.
        depth: number of blocks.
        heads: of their attention.
        pruning: for each of the blocks before which tokens are dropped, the part of all tokens that is left
            at test; empty for no pruning.
        token_order: in which the tokens of a tubelet leave at test: the most probably kept first, as the
            authors have it (``score``), or as they lie in the frame, as in training (``raster``).
        motion: what the motion of a token is: half the difference to the embedding of the reversed clip
            (``reversal``), or the difference to the tubelet before (``difference``); None for none.
        subtract_mean: whether the mean frame of each clip is subtracted, so that a still background is 0; 0.3
            of the grey range then count as 1. The authors do not.

    Raises:
        WSVADError: if the sizes do not fit together, or a ratio leaves no token.
    """

    def __init__(
        self,
        grid: TubeGrid,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        pruning: Mapping[int, float] = PRUNING,
        token_order: TokenOrder = "score",
        motion: Motion | None = None,
        *,
        subtract_mean: bool = False,
    ) -> None:
        super().__init__()
        grid.check()
        self.tubelets, *rest = grid.shape
        patches = math.prod(rest)
        _check(dim, depth, heads, pruning, patches)
        self.kept = {block: int(patches * ratio) for block, ratio in pruning.items()}
        self.token_order, self.motion, self.subtract_mean = token_order, motion, subtract_mean
        self.output_dim = 3 * grid.pixels
        kernel = (grid.tube, grid.patch, grid.patch)
        self.embedding = nn.Conv3d(3, dim, kernel, stride=kernel)
        self.positions = nn.Parameter(torch.empty(1, grid.tokens, dim))
        self.blocks = nn.ModuleList(
            PreNormLayer(TokenAttention(dim, heads), dim, MLP_RATIO * dim, norm_eps=NORM_EPS)
            for _ in range(depth)
        )
        self.predictors = nn.ModuleList(KeepPredictor(dim, self.tubelets) for _ in pruning)
        self.norm = nn.LayerNorm(dim, NORM_EPS)
        self.project_out = nn.Linear(dim, self.output_dim)
        nn.init.trunc_normal_(self.positions, std=INIT_STD)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=INIT_STD)
                nn.init.zeros_(layer.bias)

    def predictor_before(self, block: int) -> nn.Module | None:
        """The predictor that decides before a block; None where there is none."""
        stages = [*self.kept]
        return self.predictors[stages.index(block)] if block in stages else None

    def embed_clips(self, clips: Tensor) -> Tensor:
        """Embed ``[B, 3, F, H, W]`` clips in [0, 1], without positions: ``[B, N, dim]``."""
        if self.subtract_mean:
            clips = (clips - clips.mean(dim=2, keepdim=True)) / CHANGE
        embedded: Tensor = self.embedding(clips.to(self.embedding.weight.dtype))
        return rearrange(embedded, "b c t h w -> b (t h w) c")

    def forward(self, clips: Tensor) -> KeptTokens:
        """Describe the patches that are kept of ``[B, 3, F, H, W]`` clips in [0, 1]."""
        x = self.embed_clips(clips) + self.positions
        places = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        for number, block in enumerate(self.blocks):
            if (predict := self.predictor_before(number)) is not None:
                keep = x.new_ones(x.shape[:2], dtype=torch.float32)
                chosen = self.strongest(predict(x, keep)[..., 0], self.kept[number])
                x, places = take_tokens(x, chosen), take_tokens(places, chosen)
            x = block(x)
        return KeptTokens(self.project_out(self.norm(x)), places)

    def strongest(self, scores: Tensor, number: int) -> Tensor:
        """Choose tokens of every tubelet by ``[B, N]`` scores: ``[B, tubelets * number]`` places."""
        of_tubelets = rearrange(scores, "b (t p) -> b t p", t=self.tubelets)
        chosen = of_tubelets.argsort(dim=-1, descending=True)[..., :number]
        if self.token_order == "raster":
            chosen = chosen.sort(dim=-1).values
        before = torch.arange(self.tubelets, device=scores.device)[:, None] * of_tubelets.shape[-1]
        return (chosen + before).flatten(start_dim=1)

    def forward_masked(self, clips: Tensor) -> MaskedTokens:
        """Training pass over ``[B, 3, F, H, W]`` clips in [0, 1]."""
        embedded = self.embed_clips(clips)
        x, keep, decisions = embedded + self.positions, None, list[Tensor]()
        for number, block in enumerate(self.blocks):
            if (predict := self.predictor_before(number)) is not None:
                before = x.new_ones(x.shape[:2], dtype=torch.float32) if keep is None else keep
                keep = F.gumbel_softmax(predict(x, before), hard=True)[..., 0] * before
                decisions.append(keep)
            x = block(x, keep)
        stages = torch.stack(decisions) if decisions else embedded.new_zeros(0, *x.shape[:2])
        return MaskedTokens(self.project_out(self.norm(x)), stages, self.kept_motion(clips, embedded, stages))

    def kept_motion(self, clips: Tensor, embedded: Tensor, stages: Tensor) -> Tensor:
        """Sum the motion of the tokens that are kept, ``[B]``; zero without a measure of it."""
        if self.motion is None:
            return embedded.new_zeros(len(embedded), dtype=torch.float32)
        if self.motion == "reversal":
            motion = (0.5 * (embedded - self.embed_clips(clips.flip(2)))).norm(dim=-1)
        else:
            motion = self.changes(embedded)
        kept: Tensor = (stages * motion).sum(dim=(0, 2))
        return kept.float()

    def changes(self, embedded: Tensor) -> Tensor:
        """Length of the difference of ``[B, N, dim]`` tokens to the tubelet before: ``[B, N]``.

        The first tubelet gets the difference of the second. The authors repeat the T - 1 differences of T
        tubelets, which equals this for two tubelets and stops their code for any other number.
        """
        x = rearrange(embedded, "b (t p) c -> b t p c", t=self.tubelets)
        if self.tubelets == 1:
            return embedded.new_zeros(embedded.shape[:2])
        lengths = x.diff(dim=1).norm(dim=-1)
        return torch.cat([lengths[:, :1], lengths], dim=1).flatten(start_dim=1)


def _check(dim: int, depth: int, heads: int, pruning: Mapping[int, float], patches: int) -> None:
    if dim % heads:
        raise WSVADError(
            "model.heads", heads, f"does not divide {dim} channels", "Give a divisor of model.dim"
        )
    if pruning and dim % 3:
        problem = "must be a multiple of 3: a third of the channels each is of token, tubelet and clip"
        raise WSVADError(
            "model.dim", dim, problem, f"Give {dim // 3 * 3 or 3}, or turn model.token_ratio off"
        )
    left = 1.0
    for ratio in pruning.values():
        if not 1 <= int(patches * ratio) <= int(patches * left):
            problem = f"{ratio} leaves {int(patches * ratio)} of {patches} patches in a tubelet"
            remedy = "Give falling ratios up to 1 that leave a patch or more"
            raise WSVADError("model.token_ratio", [*pruning.values()], problem, remedy)
        left = ratio
