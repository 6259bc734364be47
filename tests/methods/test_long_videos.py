"""Long videos: scored block by block, which changes the memory and not the scores."""

import pytest
import torch

from tests.methods.small import small
from tests.parity.batches import evaluation_batch
from wsvad_lightning import methods
from wsvad_lightning.layers import blocks

SNIPPETS = 90


@pytest.mark.parametrize("name", methods.__all__)
def test_blocks_change_no_score(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-6: sums are taken in another order."""
    method = small(name).eval()
    batch = evaluation_batch(torch.randn(2, SNIPPETS, 8).abs())
    with torch.no_grad():
        whole = method.score(batch)
        monkeypatch.setattr(blocks, "AT_ONCE", 1000)
        torch.testing.assert_close(method.score(batch), whole, rtol=0, atol=1e-6)
