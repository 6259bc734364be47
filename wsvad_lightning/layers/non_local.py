"""Non-local block: every snippet attends to every other one (Wang et al., CVPR 2018, dot-product version)."""

from einops import rearrange
from torch import Tensor, nn


class NonLocalBlock(nn.Module):
    """Attention along time without softmax, with a residual.

    ``x + BN(W (theta(x) phi(x)^T / T) g(x))``. Gain and bias of the normalisation start at zero, so that a
    new block changes nothing.

    Without a softmax the products may be taken in either order; the shorter one keeps the memory linear in T.

    Args:
        dim: channels in and out; attention works on half of them.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = max(1, dim // 2)
        self.query = nn.Conv1d(dim, inner, kernel_size=1)
        self.key = nn.Conv1d(dim, inner, kernel_size=1)
        self.value = nn.Conv1d(dim, inner, kernel_size=1)
        self.project_out = nn.Conv1d(inner, dim, kernel_size=1)
        self.norm = nn.BatchNorm1d(dim)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Attend along time: ``[R, D, T]`` to ``[R, D, T]``, channels first as convolutions have them."""
        query, key = self.query(x).transpose(1, 2), self.key(x) / x.shape[-1]
        value = self.value(x).transpose(1, 2)
        inner, length = key.shape[1:]
        attended = (query @ key) @ value if length <= inner else query @ (key @ value)
        out: Tensor = self.norm(self.project_out(rearrange(attended, "r t d -> r d t"))) + x
        return out
