"""The authors' numbers, and a comparison that detects wrong ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity import golden
from tests.parity.case import find_case
from tests.parity.compare import compare, float32_losses, is_failure
from wsvad_lightning.methods.base import dual_memory

MANIFESTS = sorted((Path(__file__).parent / "data").glob("*.npz"))


@pytest.mark.parametrize("reference", MANIFESTS, ids=lambda path: path.stem)
def test_method_gives_the_authors_numbers(reference: Path) -> None:
    rows = golden.check(reference.with_suffix(".json"))
    method = json.loads(reference.with_suffix(".json").read_text())["method"]
    elsewhere = find_case(method).elsewhere
    found = [row for row in rows if row.verdict != "not computed" or not row.key.startswith(elsewhere)]
    assert {row.verdict for row in found} == {"agrees"}
    with np.load(reference) as expected:
        assert len(rows) == len(expected.files)


def test_the_comparison_detects_a_wrong_reduction(monkeypatch: pytest.MonkeyPatch) -> None:
    def kl_over_channels(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        return (-0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(dim=-1)).mean()

    monkeypatch.setattr(dual_memory, "gaussian_kl", kl_over_channels)
    rows = golden.check(Path(__file__).parent / "data" / "ur_dmu.json")
    failed = {row.key for row in rows if is_failure(row)}
    assert {"train/loss/kl", "train/grad_norm", "train/loss_after_step", "train4d/loss/kl"} <= failed
    assert "eval/scores" not in failed


def test_a_missing_proof_fails_but_a_missing_intermediate_does_not() -> None:
    reference = {"eval/scores": np.zeros(2), "eval/hidden_sub": np.zeros(2)}
    rows = compare({}, reference, {}, {})
    assert [is_failure(row) for row in rows] == [True, False]


KEY = "train/grad_norm"
NORMS = np.array([10.0, np.nan, 0.01, 0.0])


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ([0.0, 0.0, 0.0, 0.0], "agrees"),
        ([0.0, 0.0, 0.0, 1.9e-5], "agrees"),  # zero but for rounding
        ([0.0, 0.0, 0.0, 2.1e-5], "DIFFERS"),
        ([0.0, 0.0, 4.5e-5, 0.0], "agrees"),  # 0.3 % of it and rounding
        ([0.0, 0.0, 5.5e-5, 0.0], "DIFFERS"),
        ([0.0, 0.0, np.nan, 0.0], "DIFFERS"),
    ],
)
def test_gradients_are_separated_from_rounding_one_by_one(change: list[float], verdict: str) -> None:
    sensitive = 1.5e-3 if change[2] else 1e-7
    allowed = float32_losses({"sensitivity": {KEY: sensitive}}, {KEY: NORMS})
    (row,) = compare({KEY: NORMS + change}, {KEY: NORMS}, allowed, {})
    assert row.verdict == verdict


def test_what_the_authors_lose_is_relative_to_the_largest_number() -> None:
    reference = {"eval/scores": np.array([np.nan, -4.0, 0.0])}
    allowed = float32_losses({"sensitivity": {"eval/scores": 1e-5}}, reference)
    for error, verdict in ((1.1e-4, "agrees"), (1.3e-4, "DIFFERS")):
        found = {"eval/scores": np.array([np.nan, -4.0, error])}
        (row,) = compare(found, reference, allowed, {})
        assert row.verdict == verdict
