"""From the attention of the last visits to a bag, labels for its snippets."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.ops import min_max
from wsvad_lightning.types import PseudoLabels


class AttentionHistory:
    """The attention curves of the last visits to every bag; on the CPU, and part of checkpoints.

    Args:
        length: H, visits that are kept.

    Attributes:
        rows: place of each bag in the tensors, by its key.
        curves: ``[K, H, T]``, visit v of a bag in slot v modulo H.
        visits: ``[K]`` how often each bag was visited.

    Raises:
        WSVADError: if ``length`` is below 2, which has no variance.
    """

    def __init__(self, length: int) -> None:
        if length < 2:
            raise WSVADError("model.history_length", length, "has no variance", "Give at least 2")
        self.length = length
        self.rows: dict[str, int] = {}
        self.curves = torch.empty(0, length, 0)
        self.visits = torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Give everything as tensors and names."""
        return {"keys": list(self.rows), "curves": self.curves, "visits": self.visits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave.

        Raises:
            WSVADError: if it is a history of another length.
        """
        length = state["curves"].shape[1]
        if length != self.length:
            problem = f"the checkpoint keeps {length} visits"
            raise WSVADError("model.history_length", self.length, problem, f"Give {length}, or train again")
        self.rows = {key: row for row, key in enumerate(state["keys"])}
        self.curves, self.visits = state["curves"].clone(), state["visits"].clone()

    def curves_of(self, key: str) -> Tensor | None:
        """Give the last curves of a bag, ``[H, T]``; None where there have been no more than H."""
        row = self.rows.get(key)
        return None if row is None or self.visits[row] <= self.length else self.curves[row]

    def visit(self, keys: Sequence[str], curves: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the curves of bags, in their order; a bag may come several times.

        Args:
            keys: of n bags.
            curves: ``[n, T]``.

        Returns:
            ``[n, H, T]`` the last curves of each bag, this one among them, in any order; and ``[n]`` whether
            there were H before it.

        Raises:
            WSVADError: if T differs from that of earlier curves.
        """
        self._make_room(keys, curves.shape[1])
        last = curves.new_empty(len(keys), self.length, curves.shape[1])
        complete = torch.empty(len(keys), dtype=torch.bool)
        for places in turns(keys):
            rows = torch.tensor([self.rows[keys[place]] for place in places])
            complete[places] = self.visits[rows] >= self.length
            self.curves[rows, self.visits[rows] % self.length] = curves[places]
            self.visits[rows] += 1
            last[places] = self.curves[rows]
        return last, complete

    def _make_room(self, keys: Sequence[str], num_snippets: int) -> None:
        known = self.curves.shape[2] if len(self) else num_snippets
        if num_snippets != known:
            problem = f"the attention of earlier visits has {known} segments"
            raise WSVADError("data.segments", num_snippets, problem, f"Give {known}, or train again")
        new = sorted({key for key in keys if key not in self.rows})
        if new:
            room = torch.zeros(len(new), self.length, num_snippets, dtype=torch.float32)
            self.curves = torch.cat([self.curves.reshape(len(self), *room.shape[1:]), room])
            self.visits = torch.cat([self.visits, torch.zeros(len(new), dtype=torch.long)])
            self.rows |= {key: row for row, key in enumerate(new, start=len(self))}


def turns(keys: Sequence[str]) -> list[list[int]]:
    """Deal the places of keys out so that each turn holds a key once, and a key's places stay in order."""
    seen: Counter[str] = Counter()
    dealt: list[list[int]] = []
    for place, key in enumerate(keys):
        if seen[key] == len(dealt):
            dealt.append([])
        dealt[seen[key]].append(place)
        seen[key] += 1
    return dealt


def from_all_processes(keys: list[str], curves: Tensor) -> tuple[list[str], Tensor, slice]:
    """Join the bags of all processes in the order of their ranks; the slice holds one's own."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return keys, curves, slice(len(keys))
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, (keys, curves))
    joined = [key for part, _ in parts for key in part]
    first = sum(len(part) for part, _ in parts[: distributed.get_rank()])
    return joined, torch.cat([part for _, part in parts]), slice(first, first + len(keys))


def label_snippets(curves: Tensor, threshold: float, max_variance: float) -> PseudoLabels:
    """Label snippets by their mean attention, and leave out those whose attention varies.

    Args:
        curves: ``[..., H, T]`` attention of H visits.
        threshold: minimum mean, scaled to [0, 1] over time, of an anomalous snippet.
        max_variance: maximum variance over the visits, scaled likewise, of a snippet that is used.
    """
    mean = curves.mean(dim=-2)
    deviation = curves - mean.unsqueeze(-2)
    variance = deviation.square().sum(dim=-2) / (curves.shape[-2] - 1)  # torch.var is slow along this axis
    target = (min_max(mean) >= threshold).float()
    return PseudoLabels(target, ignored=min_max(variance) > max_variance)


def snippet_bce(scores: Tensor, labels: PseudoLabels) -> Tensor:
    """Mean binary cross-entropy over the snippets whose loss is not 0, as the authors take it.

    Args:
        scores: ``[..., T]`` in [0, 1].
        labels: ``[..., T]`` what they should be.
    """
    with torch.autocast(scores.device.type, enabled=False):
        loss = F.binary_cross_entropy(scores.float(), labels.target, reduction="none")
    counts = (loss != 0) & ~labels.ignored
    return loss.where(counts, 0.0).sum() / counts.sum().clamp(min=1)
