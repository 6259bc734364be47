"""Translate the authors' parameter names into ours and back, strictly."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError


@dataclass(frozen=True)
class KeyTable:
    """Pairs of name prefixes, authors' and ours.

    ``*`` matches one part of a dotted name and is carried over:
    ``("selfatt.layers.*.0.norm", "transformer.*.attention_norm")``.

    Attributes:
        renames: pairs (authors' prefix, our prefix).
        dropped: authors' prefixes that we leave out on purpose.
        spare: authors' prefixes that are left out where the network has no such part.
    """

    renames: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()

    def to_ours(self, name: str) -> str | None:
        """Translate an authors' name; None where it is dropped on purpose, KeyError where it is unknown."""
        if _starts(name, self.dropped):
            return None
        return _rename(name, self.renames)

    def to_authors(self, name: str) -> str:
        """Translate one of our names; KeyError where the authors have no such parameter."""
        return _rename(name, ((ours, authors) for authors, ours in self.renames))


def _starts(name: str, prefixes: Iterable[str]) -> bool:
    return any(_pattern(prefix).fullmatch(name) for prefix in prefixes)


def _pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix).replace(r"\*", r"([^.]+)") + r"(\..+)?")


def _rename(name: str, renames: Iterable[tuple[str, str]]) -> str:
    for source, target in renames:
        match = _pattern(source).fullmatch(name)
        if match:
            *parts, rest = match.groups()
            return target.replace("*", "{}").format(*parts) + (rest or "")
    raise KeyError(name)


def load_official(net: nn.Module, state: Mapping[str, Tensor], table: KeyTable) -> list[str]:
    """Load the authors' parameters into a network of ours; all of ours must be filled.

    Args:
        net: network whose parameters are replaced.
        state: authors' names and tensors.
        table: how the names correspond.

    Returns:
        The authors' names that were dropped on purpose.

    Raises:
        WSVADError: with the first name or shape that does not fit; the network is then unchanged.
    """
    ours, dropped = {}, []
    expected = net.state_dict()
    for name, value in state.items():
        try:
            target = table.to_ours(name)
        except KeyError:
            raise _misfit(name, "the method has no such parameter") from None
        if target is None or (target not in expected and _starts(name, table.spare)):
            dropped.append(name)
        else:
            ours[target] = value
    for name, value in expected.items():
        if name not in ours:
            raise _misfit(table.to_authors(name), "the file lacks this parameter")
        if ours[name].shape != value.shape:
            found, wanted = tuple(ours[name].shape), tuple(value.shape)
            raise _misfit(table.to_authors(name), f"its shape is {found}, the method expects {wanted}")
    for name in ours:
        if name not in expected:
            raise _misfit(table.to_authors(name), "the method has no such parameter")
    net.load_state_dict(ours)
    return dropped


def _misfit(name: str, problem: str) -> WSVADError:
    return WSVADError("weights", name, problem, "Check that the file belongs to this method and feature size")


def export_official(net: nn.Module, table: KeyTable) -> dict[str, Tensor]:
    """Give a network's parameters under the authors' names (those dropped on import are not recreated)."""
    return {table.to_authors(name): value for name, value in net.state_dict().items()}
