"""Compare a method with the authors' numbers: ``python -m tests.parity.golden MANIFEST.json``.

A manifest names the method, its configuration, and the key, shape and kind of every weight and input, all of
which ``fill`` makes from their keys. In an ``.npz`` of the same name are the outputs that the authors' code
computed. :mod:`tests.parity.case` describes how a method takes part, :mod:`tests.parity.compare` when numbers
agree.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tests.parity.case import Case, Manifest, Tensors, find_case
from tests.parity.compare import Outputs, Row, compare, float32_losses, is_failure
from tests.parity.fill import fill


def make_weights(manifest: Manifest) -> Tensors:
    """Make the authors' weights."""
    return {
        entry["name"]: torch.as_tensor(
            fill(f"{manifest['method']}/{entry['name']}", tuple(entry["shape"]), entry["kind"])
        )
        for entry in manifest["params"]
    }


def make_inputs(manifest: Manifest, case: Case) -> Tensors:
    """Make the inputs.

    Raises:
        ValueError: if the manifest gives a rule for inputs and the case follows none.
    """
    prefix = f"{manifest['method']}/{manifest['case']}"
    inputs = {
        entry["name"]: torch.from_numpy(
            fill(f"{prefix}/{entry['name']}", tuple(entry["shape"]), entry["kind"])
        ).mul(entry.get("scale", 1.0))
        for entry in manifest["inputs"]
        if all(isinstance(size, int) for size in entry["shape"])
    }
    rules = {entry["name"]: entry["rule"] for entry in manifest["inputs"] if "rule" in entry}
    if not rules:
        return inputs
    if case.follow is None:
        raise ValueError(f"{manifest['method']}: no case reads the rules of {list(rules)} yet")
    return case.follow(rules, inputs)


def compute(manifest: Manifest, reference: Outputs) -> Outputs:
    """Compute every output of the manifest that this project has."""
    case = find_case(manifest["method"])
    inputs = make_inputs(manifest, case)
    inputs |= {key: torch.from_numpy(reference[key]) for key in case.given if key in reference}
    return case.compute(manifest, make_weights(manifest), inputs)


def check(path: Path) -> list[Row]:
    """Compare one manifest.

    Args:
        path: the manifest; the reference has its name and ends in ``.npz``.
    """
    manifest = json.loads(path.read_text())
    loose = find_case(manifest["method"]).loose(manifest["config"])
    with np.load(path.with_suffix(".npz")) as arrays:
        reference = dict(arrays)
    return compare(compute(manifest, reference), reference, float32_losses(manifest, reference), loose)


def main() -> int:
    """Print the comparison; 0 only if everything that proves the method agrees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("manifest", type=Path)
    path = parser.parse_args().manifest
    rows = check(path)
    required = find_case(json.loads(path.read_text())["method"]).required
    table = Table("key", "largest error", "tolerance", "verdict", title=str(path))
    for row in rows:
        table.add_row(row.key, f"{row.error:.2e}", f"{row.floor:.1e} + {row.rtol:g} |x|", row.verdict)
    Console().print(table)
    unproved = [suffix for suffix in required if not any(row.key.endswith(suffix) for row in rows)]
    if unproved:
        Console().print(f"no proof: the reference holds no output that ends in {', '.join(unproved)}")
    return int(bool(unproved) or any(is_failure(row, required) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
