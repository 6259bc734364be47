"""The authors' numbers, and a door that can tell them from wrong ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity import golden
from wsvad_lightning.methods import ur_dmu

MANIFESTS = sorted((Path(__file__).parent / "data").glob("*.npz"))


@pytest.mark.parametrize("reference", MANIFESTS, ids=lambda path: path.stem)
def test_method_gives_the_authors_numbers(reference: Path) -> None:
    rows = golden.check(reference.with_suffix(".json"))
    assert {row.verdict for row in rows} == {"agrees"}
    with np.load(reference) as expected:
        assert len(rows) == len(expected.files)


def test_the_door_sees_a_wrong_reduction(monkeypatch: pytest.MonkeyPatch) -> None:
    def kl_over_channels(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
        return (-0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(dim=2)).mean()

    monkeypatch.setattr(ur_dmu, "gaussian_kl", kl_over_channels)
    rows = golden.check(Path(__file__).parent / "data" / "ur_dmu.json")
    failed = {row.key for row in rows if golden.is_failure(row)}
    assert {"train/loss/kl", "train/grad_norm", "train/loss_after_step", "train4d/loss/kl"} <= failed
    assert "eval/scores" not in failed


def test_a_missing_proof_fails_but_a_missing_intermediate_does_not() -> None:
    reference = {"eval/scores": np.zeros(2), "eval/hidden_sub": np.zeros(2)}
    rows = golden.compare({}, reference, {}, {})
    assert [golden.is_failure(row) for row in rows] == [True, False]
