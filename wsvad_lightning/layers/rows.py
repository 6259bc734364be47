"""Blocks that compute on rows take any leading axes: videos, crops, chunks."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from torch import Tensor

Forward = TypeVar("Forward", bound=Callable[..., Any])


def over_rows(forward: Forward) -> Forward:
    """Turn a method of rows ``[R, T, D]`` into one of ``[..., T, D]``.

    The leading axes of the first tensor become one, and are put back in every tensor that comes out. The
    other arguments have the same leading axes, or are None.
    """

    @wraps(forward)
    def of_any(self: Any, x: Tensor, *others: Tensor | None) -> Any:
        leading = x.shape[:-2]
        if len(leading) == 1:
            return forward(self, x, *others)

        def rows(value: Tensor | None) -> Tensor | None:
            if value is None:
                return None
            return value.flatten(0, len(leading) - 1) if leading else value[None]

        def restored(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(restored, value))
            return value.reshape(*leading, *value.shape[1:])

        return restored(forward(self, rows(x), *map(rows, others)))

    return cast(Forward, of_any)
