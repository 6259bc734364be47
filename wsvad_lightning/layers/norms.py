"""Normalisation of snippets ``[R, T, C]`` as they lie in memory."""

from torch import Tensor, nn


class BatchNormRows(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` on ``[R, T, C]``: statistics of a channel over all snippets."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[R, T, C]``."""
        normalized: Tensor = super().forward(x.flatten(0, 1))
        return normalized.view_as(x)


class GroupNormRows(nn.GroupNorm):
    """``nn.GroupNorm`` on ``[R, T, C]``: statistics of a group of channels over the snippets of a row."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[R, T, C]``, seen as an image of one row that has its channels last."""
        normalized: Tensor = super().forward(x.transpose(1, 2).unsqueeze(2))
        return normalized.squeeze(2).transpose(1, 2)
