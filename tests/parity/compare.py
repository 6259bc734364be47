"""Compare computed outputs with the authors' numbers, key by key.

A number agrees within a relative 1e-4 and an absolute 1e-6, or three times what the authors' own code loses
in float32 where the manifest states it. A gradient norm may be off by 2e-6 of the largest one: where it is
zero but for rounding, its value says nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RTOL, ATOL = 1e-4, 1e-6
GRADIENT_ATOL = 2e-6  # of the largest gradient
REQUIRED = ("/scores", "/grad_norm", "/loss_after_step")  # endings of the outputs that prove a method

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One compared output.

    Attributes:
        key: Name of the output in the manifest.
        error: Largest absolute difference.
        floor: Absolute tolerance, the smallest one where values have tolerances of their own.
        rtol: Relative tolerance.
        verdict: ``agrees``, ``DIFFERS``, ``not computed``, or both shapes where they differ.
    """

    key: str
    error: float
    floor: float
    rtol: float
    verdict: str


def compare(
    found: Outputs, reference: Outputs, rounding: dict[str, Any], loose: dict[str, float]
) -> list[Row]:
    """Compare every output of the reference.

    Args:
        found: computed outputs.
        reference: the authors' outputs.
        rounding: what the authors' code loses in float32, a number per output or per value; see
            :func:`float32_losses`.
        loose: relative tolerances other than the usual one, by key.
    """
    rows = []
    for key, expected in reference.items():
        floors, rtol = np.fmax(ATOL, 3 * rounding.get(key, 0.0)), loose.get(key, RTOL)
        floor = float(np.min(floors))
        if key not in found:
            rows.append(Row(key, float("nan"), floor, rtol, "not computed"))
            continue
        ours = found[key]
        if ours.shape != expected.shape:
            rows.append(Row(key, float("inf"), floor, rtol, f"shape {ours.shape}, not {expected.shape}"))
            continue
        close = np.isclose(ours, expected, rtol=rtol, atol=floors, equal_nan=True)
        differs = np.abs(ours - expected.astype(np.float64))[~(np.isnan(ours) & np.isnan(expected))]
        error = float(np.max(differs, initial=0.0))
        rows.append(Row(key, error, floor, rtol, "agrees" if close.all() else "DIFFERS"))
    return rows


def is_failure(row: Row, required: tuple[str, ...] = REQUIRED) -> bool:
    """Decide whether a row fails the comparison: a difference always, a gap if the output is required.

    Args:
        row: the compared output.
        required: endings of the outputs that must be computed; every loss must be as well.
    """
    needed = "/loss/" in row.key or row.key.endswith(required)
    return row.verdict != "agrees" and (row.verdict != "not computed" or needed)


def float32_losses(manifest: dict[str, Any], reference: Outputs) -> dict[str, Any]:
    """What the authors' code loses in float32, where the manifest states it.

    The manifest gives it relative to the largest value of an output, for gradient norms relative to each.
    """
    absolute, relative = manifest.get("float32_vs_float64", {}), manifest.get("sensitivity", {})
    losses = {}
    for key, value in reference.items():
        sizes = np.abs(value)
        largest = np.nanmax(sizes, initial=0.0)
        of_gradients = key.endswith(("grad_norm", "grad_norm_clipped"))
        stated = np.array(absolute.get(key, 0.0), dtype=float)  # a number, or a list of them with nulls
        loss = stated if key in absolute else relative.get(key, 0.0) * (sizes if of_gradients else largest)
        losses[key] = np.fmax(loss, GRADIENT_ATOL / 3 * largest) if of_gradients else loss
    return losses
