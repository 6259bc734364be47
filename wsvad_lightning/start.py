"""Weights that a training starts from: those of another checkpoint, all of a part or whatever fits.

The one place where weights of one training go into another: SSRL's stages, GS-MoE's and SST's start from
UR-DMU, FRD-UVAD's auxiliary scorer and SVMAE's encoder take a part whole; ``wsvad fit --init_from`` takes
what fits. Optimizers and schedules always start anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.errors import WSVADError

INIT_FROM, INIT_PART = "--init_from", "--init_part"
NAMED = 4  # weights in a line


def read_weights(
    path: str | Path, argument: str, methods: Sequence[str], part: str | None = None, remedy: str = ""
) -> dict[str, Tensor]:
    """Read the weights of a checkpoint, or of a part of it by their names below that.

    Args:
        path: the checkpoint.
        argument: that names it, for messages.
        methods: classes, one of which the checkpoint is to be of; empty for any.
        part: name of the part, such as ``net.encoder``; None for all.
        remedy: of another method.

    Raises:
        WSVADError: if the checkpoint cannot be read, or is of another method.
    """
    checkpoint = read_checkpoint(path, argument)
    if methods and (found := checkpoint.get("method")) not in methods:
        wanted = " or ".join(methods)
        problem = f"is of {found}, not {wanted}"
        raise WSVADError(argument, path, problem, remedy or f"Give a checkpoint of {wanted}")
    return below(part, checkpoint["state_dict"])


def below(part: str | None, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights below a part of a network, by their names there; all without one."""
    prefix = "" if part is None else f"{part}."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def take_part(
    module: nn.Module,
    path: str | Path,
    part: str,
    argument: str,
    *,
    method: str | Sequence[str],
    new: str | None = None,
) -> None:
    """Load a part of the method in another checkpoint into a module: all of its weights, and no others.

    Args:
        module: that takes the weights.
        path: the checkpoint.
        part: name of the part, such as ``net.encoder``.
        argument: that names the checkpoint, for messages.
        method: class of the method that the checkpoint is to be of, or several, one of which it is to be.
        new: prefix of weights that only ``module`` has, which keep their values.

    Raises:
        WSVADError: if the checkpoint cannot be read, is of another method, or weights are missing, unexpected
            or of another shape; names the first of these.
    """
    weights = read_weights(path, argument, [method] if isinstance(method, str) else method, part)
    own: dict[str, Tensor] = {
        name: value for name, value in module.state_dict().items() if new is None or not name.startswith(new)
    }
    compared = compare(own, weights)
    problems = [
        *(f"lacks {part}.{name}" for name in compared.missing),
        *(f"has {part}.{name}, which does not belong there" for name in compared.unknown),
        *(f"has {part}.{name} {shapes}" for name, shapes in compared.other_shape.items()),
    ]
    if problems:
        more = f" ({len(problems) - 1} more differ)" if len(problems) > 1 else ""
        remedy = "Give one that was trained with the same features and settings"
        raise WSVADError(argument, path, problems[0] + more, remedy)
    module.load_state_dict(weights, strict=new is None)


@dataclass(frozen=True)
class Comparison:
    """How the weights of a file fit those of a module.

    Attributes:
        fitting: of one name and shape.
        missing: which only the module has.
        unknown: which only the file has.
        other_shape: both shapes in words, by name.
    """

    fitting: list[str]
    missing: list[str]
    unknown: list[str]
    other_shape: dict[str, str]

    def lines(self, path: str | Path) -> Iterator[str]:
        """Say in a line what is taken, and in another one what is not, if anything."""
        total = len(self.fitting) + len(self.missing) + len(self.other_shape)
        yield f"{len(self.fitting)} of {total} weights start from {path}"
        kinds = {
            "new here": self.missing,
            "left out": self.unknown,
            "new, as they have another shape": [" ".join(pair) for pair in self.other_shape.items()],
        }
        said = [f"{kind}: {_shortened(names)}" for kind, names in kinds.items() if names]
        if said:
            yield f"note: {'; '.join(said)}"


def compare(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Comparison:
    """Compare the weights of a module with those of a file by names and shapes."""
    return Comparison(
        [name for name, value in own.items() if name in weights and weights[name].shape == value.shape],
        [name for name in own if name not in weights],
        [name for name in weights if name not in own],
        {
            name: f"of shape {list(weights[name].shape)}, not {list(value.shape)}"
            for name, value in own.items()
            if name in weights and weights[name].shape != value.shape
        },
    )


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def take_fitting(module: nn.Module, path: str | Path, *, method: str, part: str | None = None) -> Comparison:
    """Load whatever fits of a checkpoint by name and shape; the rest of the module keeps its values.

    Args:
        module: a method.
        path: the checkpoint.
        method: its class, which the checkpoint is to be of, unless a part is named.
        part: of both methods, such as ``net.encoder``; None for all.

    Raises:
        WSVADError: if the checkpoint cannot be read or is of another method, a part is missing, or nothing
            fits; the module is unchanged then.
    """
    remedy = f"Give a checkpoint of {method}, or name a part of both by {INIT_PART}, such as net.encoder"
    weights = read_weights(path, INIT_FROM, [] if part else [method], part, remedy)
    own = below(part, module.state_dict(keep_vars=True))
    for names, where in ((own, method), (weights, str(path))):
        if part and not names:
            problem = f"is not a part of {where}"
            raise WSVADError(INIT_PART, part, problem, "Name one of both methods, such as net.encoder")
    compared = compare(own, weights)
    if not compared.fitting:
        problem = "has no weight of a name and shape that this method has"
        raise WSVADError(INIT_FROM, path, problem, "Give one of the same features and settings")
    with torch.no_grad():
        for name in compared.fitting:
            own[name].copy_(weights[name])
    return compared
