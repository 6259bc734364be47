"""The one exception that a user's mistake raises."""


class WSVADError(ValueError):
    """Something the user gave does not work: one line that names it and says what to change.

    The command line prints the message alone and exits with status 2; in Python it is a ``ValueError``.

    Args:
        argument: what was given, by the name the user knows it under (``"data.store"``, ``"--videos"``).
        value: the value it had.
        problem: what is wrong with the value.
        remedy: what to change, as a full sentence.
    """

    def __init__(self, argument: str, value: object, problem: str, remedy: str) -> None:
        self.argument, self.value, self.problem, self.remedy = argument, value, problem, remedy
        super().__init__(" ".join(f"{argument}={str(value)!r}: {problem}. {remedy}".split()))

    def __reduce__(self) -> tuple[type["WSVADError"], tuple[str, object, str, str]]:
        """Survive the trip from a DataLoader worker: exceptions are rebuilt from these arguments."""
        return type(self), (self.argument, self.value, self.problem, self.remedy)
