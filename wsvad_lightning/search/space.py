"""The space of a search: which settings vary, and over what."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from wsvad_lightning.bench.recipes import OWN
from wsvad_lightning.errors import WSVADError, did_you_mean

if TYPE_CHECKING:
    from optuna import Trial

KEYS = {"low", "high", "log"}
FIXED = {  # settings that no search may vary, with the reason
    **dict.fromkeys(OWN, "is set by the search, or says which videos train"),
    **dict.fromkeys(("model.stage", "model.previous"), "is set by the search, which trains all stages"),
    **dict.fromkeys(
        ("data.annotations", "data.gt_rule", "data.gt_vector", "data.gt_list"), "says what is measured"
    ),
    **dict.fromkeys(
        ("trainer.val_check_interval", "trainer.check_val_every_n_epoch", "trainer.limit_val_batches"),
        "says when the search looks",
    ),
}
EXAMPLE = "Write {low: 1.0e-4, high: 1.0e-2, log: true}, or a list of choices"
Value = int | float | str


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, which belong to it.

    Attributes:
        low: the lowest, an integer if only integers are meant.
        high: the highest, of the same kind.
        log: whether to draw their logarithms evenly.
    """

    low: int | float
    high: int | float
    log: bool = False

    def suggest(self, trial: "Trial", key: str) -> Value:
        """Draw a number."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, log=self.log)
        return trial.suggest_float(key, self.low, self.high, log=self.log)

    def holds(self, value: object) -> bool:
        """Whether a value lies in the range."""
        return type(value) is type(self.low) and self.low <= value <= self.high

    def examples(self) -> list[Value]:
        """Both ends."""
        return [self.low, self.high]

    def for_sweep(self) -> dict[str, Any]:
        """The parameter as a sweep of Weights & Biases writes it."""
        whole = isinstance(self.low, int)
        kind = ("q_log_uniform_values" if whole else "log_uniform_values") if self.log else None
        kind = kind or ("int_uniform" if whole else "uniform")
        return {"distribution": kind, "min": self.low, "max": self.high}


@dataclass(frozen=True)
class Choices:
    """A few values, as they are typed on the command line.

    Attributes:
        values: at least two, each another one.
    """

    values: tuple[str, ...]

    def suggest(self, trial: "Trial", key: str) -> Value:
        """Draw one."""
        chosen: str = trial.suggest_categorical(key, self.values)
        return chosen

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        return value in self.values

    def examples(self) -> list[Value]:
        """All of them."""
        return list(self.values)

    def for_sweep(self) -> dict[str, Any]:
        """The parameter as a sweep of Weights & Biases writes it."""
        return {"values": list(self.values)}


@dataclass(frozen=True)
class Space:
    """Settings that vary, by the names of the options of ``wsvad fit`` without their dashes."""

    settings: Mapping[str, Range | Choices]

    def suggest(self, trial: "Trial") -> dict[str, Value]:
        """Draw a value of every setting."""
        return {key: setting.suggest(trial, key) for key, setting in self.settings.items()}

    def check(self, values: Mapping[str, Any], where: Path) -> None:
        """Validate values that a journal gives: they become arguments, and a journal may be a stranger's.

        Raises:
            WSVADError: if a setting is missing or is not of the space, or its value lies outside.
        """
        odd = values.keys() ^ self.settings.keys()
        odd |= {key for key, own in self.settings.items() if key in values and not own.holds(values[key])}
        if odd:
            problem = f"a trial has {', '.join(sorted(odd))} not as the space has it"
            raise WSVADError("--output", where, problem, "Give another folder")

    def examples(self) -> Iterator[dict[str, Value]]:
        """Values that between them hold both ends of every range and every choice."""
        several = {key: setting.examples() for key, setting in self.settings.items()}
        for i in range(max(map(len, several.values()))):
            yield {key: values[i % len(values)] for key, values in several.items()}

    def described(self) -> dict[str, Any]:
        """The space as plain values."""
        return {
            key: list(own.values) if isinstance(own, Choices) else [own.low, own.high, own.log]
            for key, own in self.settings.items()
        }


def arguments_of(values: Mapping[str, Value]) -> list[str]:
    """Write values as arguments of ``wsvad fit``."""
    return [word for key, value in values.items() for word in (f"--{key}", str(value))]


def read_space(path: str, recipe: Mapping[str, Any]) -> Space:
    """Read a space.

    Args:
        path: YAML: a setting on each line, with ``{low, high, log}`` or a list of choices.
        recipe: whose settings may vary, as nested mappings.

    Raises:
        WSVADError: if it is not such a file, or names a setting that the recipe lacks or no search may vary.
    """
    try:
        given = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:150]
        raise WSVADError("--space", path, f"cannot be read ({reason})", "Give a YAML file") from None
    if not isinstance(given, dict) or not given:
        raise WSVADError("--space", path, "must map settings to what they may be", EXAMPLE)
    known = [name for part in ("model", "data", "trainer") for name in names_in(recipe[part], part)]
    for key in given:
        check_name(str(key), known)
    return Space({str(key): read_setting(str(key), value) for key, value in given.items()})


def check_name(key: str, known: list[str]) -> None:
    """Validate the name of a setting.

    Raises:
        WSVADError: if the recipe lacks it, or no search may vary it.
    """
    name = key.replace(".init_args", "")
    if reason := FIXED.get(name):
        raise WSVADError("--space", key, reason, "Leave it out of the space")
    if name not in known:
        remedy = did_you_mean(name, known) or "Name it as `wsvad fit` does, such as model.dropout. "
        raise WSVADError("--space", key, "is not a setting of this recipe", remedy)


def names_in(values: Any, name: str) -> Iterator[str]:
    """List all settings in nested mappings, the outer ones too, without what only nests them."""
    yield name
    for key, value in values.items() if isinstance(values, Mapping) else ():
        inner = name if key == "init_args" else f"{name}.{key}"
        yield from names_in(value, inner)


def read_setting(key: str, value: Any) -> Range | Choices:
    """Read what a setting may be.

    Raises:
        WSVADError: if it is neither a range nor a list of choices.
    """
    if isinstance(value, list):
        texts = tuple(one if isinstance(one, str) else json.dumps(one) for one in value)
        if len(set(texts)) < max(2, len(texts)):
            raise WSVADError("--space", key, "must have two or more different choices", EXAMPLE)
        return Choices(texts)
    if not isinstance(value, dict) or not {"low", "high"} <= value.keys() <= KEYS:
        raise WSVADError("--space", key, "must be a range or a list of choices", EXAMPLE)
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not isinstance(log, bool):
        raise WSVADError("--space", f"{key}.log", "must be true or false", EXAMPLE)
    low, high = (number_of(f"{key}.{end}", value[end]) for end in ("low", "high"))
    if not low < high:
        raise WSVADError("--space", key, f"low {low} is not below high {high}", "Exchange them")
    if log and low <= 0:
        raise WSVADError("--space", f"{key}.low", f"{low} has no logarithm", "Give more than 0")
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    return Range(low, high, log)


def number_of(name: str, value: Any) -> int | float:
    """Give a number; YAML takes ``1e-4``, without a point, for text.

    Raises:
        WSVADError: if it is not one.
    """
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise WSVADError("--space", name, "must be a number", EXAMPLE)
    return number
