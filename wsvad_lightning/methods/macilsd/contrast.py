"""What MACIL-SD contrasts: high and low rows of both streams; formulas in the package's docstring."""

from typing import NamedTuple

import torch
from torch import Tensor

from wsvad_lightning.layers import valid_positions
from wsvad_lightning.methods.macilsd.networks import MACILSDOutput
from wsvad_lightning.ops import cosine, topk_mean_each

CONTRASTS = ("a2v_a2b", "a2v_a2n", "v2a_a2b", "v2a_a2n")


class Picked(NamedTuple):
    """Rows of a stream, K places for each video.

    Attributes:
        top: ``[R, K, H]`` at the largest scores.
        low: ``[R, K, H]`` at the smallest scores.
        mean: ``[R, H]`` of the rows of ``top`` that count.
    """

    top: Tensor
    low: Tensor
    mean: Tensor


def contrast(out: MACILSDOutput, lengths: Tensor, temperature: float) -> dict[str, Tensor]:
    """Give the four terms of the contrast, by the names in ``CONTRASTS``.

    Args:
        out: of a training pass; every crop is a row.
        lengths: ``[B, N]`` valid snippets of each.
        temperature: that cosines are divided by.
    """
    visual_logits, audio_logits, visual, audio = (values.flatten(0, 1) for values in out)  # rows
    lengths = lengths.flatten()
    k = lengths // 16 + 1
    abnormal = topk_mean_each(visual_logits + audio_logits, lengths, k).sigmoid() > 0.5
    of_audio = pick_rows(visual, audio_logits, lengths, k)  # crossed, as the authors train it
    of_visual = pick_rows(audio, visual_logits, lengths, k)
    counts = valid_positions(k, of_audio.top.shape[1])
    queries = k * abnormal  # of each row: it is contrasted so many times
    other = counts & ~abnormal[:, None]
    both_kinds = abnormal.any() & ~abnormal.all()

    def distinguish(asking: Picked, asked: Picked, rows: Tensor, among: Tensor) -> Tensor:
        loss = info_nce(asking.mean, asked.mean, rows.flatten(0, 1), among.flatten(), temperature)
        return (loss * queries).sum() / queries.sum().clamp_min(1) * both_kinds

    return {
        "a2v_a2b": distinguish(of_audio, of_visual, of_visual.low, counts),
        "a2v_a2n": distinguish(of_audio, of_visual, of_visual.top, other),
        "v2a_a2b": distinguish(of_visual, of_audio, of_audio.low, counts),
        "v2a_a2n": distinguish(of_visual, of_audio, of_audio.top, other),
    }


def pick_rows(stream: Tensor, logits: Tensor, lengths: Tensor, k: Tensor) -> Picked:
    """Pick the rows of ``stream [R, T, H]`` at the k largest and the k smallest valid ``logits [R, T]``.

    So many places are picked that the longest video has enough; of a shorter one the first k count.
    """
    most = logits.shape[-1] // 16 + 1
    valid = valid_positions(lengths, logits.shape[-1])

    def at(scores: Tensor) -> Tensor:
        index = scores.masked_fill(~valid, -torch.inf).topk(most, dim=-1).indices
        return stream.take_along_dim(index[..., None], dim=-2).float()

    top = at(logits)
    counts = valid_positions(k, most)[..., None]
    return Picked(top, at(-logits), (top * counts).sum(dim=-2) / k[..., None])


def info_nce(queries: Tensor, positives: Tensor, rows: Tensor, among: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding the positive of each query among the other rows, ``[R]``.

    Args:
        queries: ``[R, H]``.
        positives: ``[R, H]``, one for each query.
        rows: ``[M, H]`` that it is among.
        among: ``[M]`` bool, which of them count.
        temperature: that cosines are divided by.
    """
    right = cosine(queries, positives).diagonal() / temperature
    wrong = (cosine(queries, rows) / temperature).masked_fill(~among, -torch.inf)
    return torch.cat([right[:, None], wrong], dim=-1).logsumexp(dim=-1) - right
