"""Blocks that compute on rows take any leading axes: videos, crops, chunks."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from torch import Tensor

Block = TypeVar("Block")
Others = ParamSpec("Others")
Result = TypeVar("Result")


def over_rows(
    forward: Callable[Concatenate[Block, Tensor, Others], Result],
) -> Callable[Concatenate[Block, Tensor, Others], Result]:
    """Turn a method of rows ``[R, T, D]`` into one of ``[..., T, D]``.

    The leading axes of the first tensor become one, and are put back in every tensor that comes out. The
    other arguments have the same leading axes, or are None.
    """

    @wraps(forward)
    def of_any(self: Block, x: Tensor, *others: Others.args, **named: Others.kwargs) -> Result:
        leading = x.shape[:-2]
        if len(leading) == 1:
            return forward(self, x, *others, **named)

        def rows(value: Any) -> Any:
            if value is None:
                return None
            return value.flatten(0, len(leading) - 1) if leading else value[None]

        def restored(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(restored, value))
            return value.reshape(*leading, *value.shape[1:])

        out = forward(self, rows(x), *map(rows, others), **named)
        result: Result = restored(out)
        return result

    return of_any
