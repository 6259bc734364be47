"""The one exception that a user's mistake raises, and words of messages."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

NEAREST = 3  # names that a message suggests
NAMED = 3  # of many that a message is about


class WSVADError(ValueError):
    """Something the user gave does not work: one line that names it and says what to change.

    The command line prints the message alone and exits with status 2; in Python it is a ``ValueError``.

    Args:
        argument: what was given, by the name the user knows it under (``"data.store"``, ``"--videos"``).
        value: the value it had; None if it was not given: the message is then "--output is required".
        problem: what is wrong with the value.
        remedy: what to change, as a full sentence.
    """

    def __init__(self, argument: str, value: object, problem: str, remedy: str) -> None:
        self.argument, self.value, self.problem, self.remedy = argument, value, problem, remedy
        what = f"{argument} {problem}" if value is None else f"{argument}={str(value)!r}: {problem}"
        super().__init__(" ".join(f"{what}. {remedy}".split()))

    def __reduce__(self) -> tuple[type["WSVADError"], tuple[str, object, str, str]]:
        """Survive the trip from a DataLoader worker: exceptions are rebuilt from these arguments."""
        return type(self), (self.argument, self.value, self.problem, self.remedy)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest names, as a sentence; nothing if none is near.

    Args:
        name: what was given.
        known: what could have been given.
    """
    by_lower = {entry.lower(): entry for entry in sorted(known)}
    near = get_close_matches(name.lower(), by_lower, NEAREST)
    return f"Did you mean {' or '.join(by_lower[entry] for entry in near)}? " if near else ""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Count things in words.

    Args:
        number: of them.
        one: word for one.
        many: word for several, by default the same with an s.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def few(names: Sequence[str]) -> str:
    """Name the first of many."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
