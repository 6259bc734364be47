"""The three networks of SST, usable without Lightning."""

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers import CrossAttention, PreNormLayer, TubeGrid
from wsvad_lightning.methods.base.dual_memory import DualMemoryNet
from wsvad_lightning.methods.sst.patches import PRUNING, KeptTokens, Motion, PatchTransformer, TokenOrder

LOOK_HEADS, LOOK_HEAD_DIM = 8, 64


class SSTNet(nn.Module):
    """The temporal network, DTFE and the spatial network.

    Args:
        feature_dim: D, channels of the snippet features.
        grid: how the clip of a snippet is cut into tokens.
        hidden_dim: H of both dual memory networks.
        abnormal_slots: size of their abnormal memories.
        normal_slots: size of their normal memories.
        dropout: probability inside both, and in the attention of patches to snippets.
        dim: channels of DTFE.
        depth: its blocks.
        heads: its attention heads.
        pruning: see :class:`PatchTransformer`.
        token_order: likewise.
        motion: likewise.
        cross_attention: whether patches attend to snippets (PSA).
        subtract_mean: see :class:`PatchTransformer`.
    """

    def __init__(
        self,
        feature_dim: int,
        grid: TubeGrid,
        hidden_dim: int = 512,
        abnormal_slots: int = 60,
        normal_slots: int = 60,
        dropout: float = 0.5,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        pruning: Mapping[int, float] = PRUNING,
        token_order: TokenOrder = "score",
        motion: Motion | None = None,
        *,
        cross_attention: bool = True,
        subtract_mean: bool = False,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.dtfe = PatchTransformer(
            grid, dim, depth, heads, pruning, token_order, motion, subtract_mean=subtract_mean
        )
        attention = CrossAttention(2 * hidden_dim, LOOK_HEADS, LOOK_HEAD_DIM, dropout)
        look = PreNormLayer(attention, 2 * hidden_dim, hidden_dim, dropout) if cross_attention else None
        self.temporal, self.spatial = (
            DualMemoryNet(
                channels,
                hidden_dim,
                abnormal_slots,
                normal_slots,
                mlp_dim=hidden_dim,
                dropout=dropout,
                look=block,
            )
            for channels, block in ((feature_dim, None), (self.dtfe.output_dim, look))
        )

    def score_patches(self, clips: Tensor, described: Tensor) -> tuple[Tensor, KeptTokens]:
        """Score the patches that DTFE keeps.

        Args:
            clips: ``[B, 3, F, H, W]`` in [0, 1], of a snippet each.
            described: ``[B, 2H]`` what the temporal network describes that snippet by.

        Returns:
            ``[B, K]`` in [0, 1], and the tokens.
        """
        kept: KeptTokens = self.dtfe(clips)
        looked_at = None if self.spatial.look is None else described[:, None, None]
        return self.spatial(kept.tokens[:, None], looked_at), kept

    def map_patches(self, clips: Tensor, described: Tensor) -> Tensor:
        """Give the strongest score of every patch over the tubelets: ``[B, rows, columns]``.

        A patch that is dropped in all tubelets has the score 0.
        """
        scores, kept = self.score_patches(clips, described)
        placed = torch.zeros(len(scores), self.grid.tokens, device=scores.device)
        placed.scatter_(1, kept.places, scores.float())
        _, rows, columns = self.grid.shape
        return rearrange(placed, "b (t h w) -> b t h w", h=rows, w=columns).amax(dim=1)
