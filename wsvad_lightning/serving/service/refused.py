"""Requests that are not taken, and why."""

from collections.abc import Mapping


class Refused(Exception):  # noqa: N818  # an answer, not a fault of the program
    """A request is not taken, or not answered with scores.

    Args:
        status: of HTTP.
        problem: in one line, which may be shown to strangers.
        headers: of the answer.
    """

    def __init__(self, status: int, problem: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem)
        self.status, self.problem, self.headers = status, " ".join(problem.split()), dict(headers or {})
