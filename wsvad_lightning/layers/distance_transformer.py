"""The encoder of UR-DMU and BN-WVAD: self-attention together with attention by temporal distance."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import blocks_of, joined
from wsvad_lightning.layers.dropout import Dropout
from wsvad_lightning.layers.pre_norm import PreNormLayer
from wsvad_lightning.layers.rows import over_rows
from wsvad_lightning.layers.snippet_graph import proximity_graph
from wsvad_lightning.layers.temporal_conv import TemporalConv

WHOLE = 512  # snippets of which all pairs are computed; of more, only those within reach
ROWS = 128  # of these, snippets that are averaged for at a time
REACH = (
    64  # snippets: all weights exp(-distance / e) beyond sum to 6e-11 of the whole, below float32's rounding
)


def attend_by_distance(values: Tensor, queries: slice = slice(None)) -> Tensor:
    """Average along time by fixed weights that fall with temporal distance.

    ``P[i, j] = exp(-|i - j| / e) / sum_m exp(-|j - m| / e)``. The authors divide row i by the sums of all
    rows at once, so that columns sum to one and rows do not; their numbers depend on it.

    Args:
        values: ``[..., T, D]``.
        queries: the snippets i.

    Returns:
        ``P @ values`` at these snippets.
    """
    count = values.shape[-2]
    if (
        torch.compiler.is_exporting() or count <= WHOLE
    ):  # exported, how many blocks there will be is not known
        graph = proximity_graph(count, values.device)
        return (graph / graph.sum(dim=-1)).to(values.dtype)[queries] @ values
    start, stop, _ = queries.indices(count)
    blocks = [slice(first, min(first + ROWS, stop)) for first in range(start, stop, ROWS)]
    return torch.cat([_attend_by_distance(values, block) for block in blocks], dim=-2)


def _attend_by_distance(values: Tensor, block: slice) -> Tensor:
    count, device = values.shape[-2], values.device
    near, behind = _around(block), _around(_around(block))
    sums = proximity_graph(count, device, near, behind).sum(dim=-1)
    weights = (proximity_graph(count, device, block, near) / sums).to(values.dtype)
    return weights @ values[..., near, :]


def _around(block: slice) -> slice:
    return slice(max(0, block.start - REACH), block.stop + REACH)


class DistanceAttention(nn.Module):
    """Multi-head attention with two branches a head: learnt self-attention and :func:`attend_by_distance`.

    One projection yields queries, keys, values, and separate values for the distance branch. Weights of
    distance are the same for every channel, so that branch is projected in and out before it is averaged, by
    the product of its two matrices.

    Args:
        dim: channels in and out.
        heads: number of heads.
        head_dim: channels a head and branch.
        dropout: probability after the output projection.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.width = heads, heads * head_dim
        self.project_in = nn.Linear(dim, 4 * heads * head_dim, bias=False)
        self.project_out = nn.Linear(2 * heads * head_dim, dim)
        self.dropout = Dropout(dropout)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Attend along time: ``[..., T, dim]`` to ``[..., T, dim]``."""
        of_content, of_distance = self.project_in.weight.tensor_split([3 * self.width])
        from_content, from_distance = self._project_out()
        values = _project(x, of_distance, from_distance)
        blocks = blocks_of(x, self.project_in.out_features)

        def attend(queries: Tensor, keys: Tensor, block: slice) -> Tensor:
            by_content = self._attend(queries, *keys.chunk(2, dim=-1))
            from_all = F.linear(by_content, from_content, self.project_out.bias)
            out: Tensor = self.dropout(from_all + attend_by_distance(values, block))
            return out

        if len(blocks) == 1:
            query, others = F.linear(x, of_content).tensor_split([self.width], dim=-1)
            return attend(query, others, blocks[0])
        of_query, of_others = of_content.tensor_split([self.width])
        others = F.linear(x, of_others)
        return joined(lambda block: attend(F.linear(x[:, block], of_query), others, block), blocks)

    def _project_out(self) -> tuple[Tensor, Tensor]:
        """Divide the output projection by branches, ``[dim, heads * head_dim]`` each: heads lie outside."""
        branches = rearrange(self.project_out.weight, "d (h b c) -> b d (h c)", h=self.heads, b=2)
        return branches[0], branches[1]

    def _attend(self, *projected: Tensor) -> Tensor:
        query, key, value = (rearrange(part, "r t (h d) -> r h t d", h=self.heads) for part in projected)
        by_content = F.scaled_dot_product_attention(query, key, value)
        return rearrange(by_content, "r h t d -> r t (h d)")


def _project(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Apply two linear maps: their product, unless the snippets ``[R, T, D]`` are too few to repay it."""
    if torch.compiler.is_exporting() or x.shape[:-1].numel() < x.shape[-1]:
        return F.linear(F.linear(x, first), second)
    return F.linear(x, second @ first)


class DistanceTransformer(nn.Sequential):
    """Stack of layers with :class:`DistanceAttention`: no position code, no final norm.

    Args:
        dim: channels in and out.
        depth: number of layers.
        heads: attention heads a layer.
        head_dim: channels a head and branch.
        mlp_dim: hidden width of the feed-forward networks.
        dropout: probability, in attention output and feed-forward networks.
    """

    def __init__(self, dim: int, depth: int, heads: int, head_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__(
            *(
                PreNormLayer(DistanceAttention(dim, heads, head_dim, dropout), dim, mlp_dim, dropout)
                for _ in range(depth)
            )
        )


class DistanceEncoder(nn.Module):
    """Convolution over three snippets, ReLU, then :class:`DistanceTransformer`.

    Args:
        feature_dim: D, channels of the features.
        dim: H, channels of the encoding.
        depth: layers of the transformer.
        heads: attention heads a layer.
        head_dim: channels a head and branch.
        mlp_dim: hidden width of the feed-forward networks.
        dropout: probability inside the transformer.
    """

    def __init__(
        self, feature_dim: int, dim: int, depth: int, heads: int, head_dim: int, mlp_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.embed = TemporalConv(feature_dim, dim, kernel_size=3)
        self.transformer = DistanceTransformer(dim, depth, heads, head_dim, mlp_dim, dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Add temporal context: ``[..., T, D]`` to ``[..., T, H]``."""
        encoded: Tensor = self.transformer(F.relu(self.embed(features)))
        return encoded
