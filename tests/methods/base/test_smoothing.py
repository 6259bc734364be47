"""Smoothing: by hand, where it is applied, and in a stream."""

import numpy as np
import pytest
import torch

from tests.methods.small import SMALLER, small
from tests.parity.batches import evaluation_batch
from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import RTFM, HLNet
from wsvad_lightning.methods.base.smoothing import Smoothing, smooth
from wsvad_lightning.serving.preparation import Preparation
from wsvad_lightning.serving.stream import ScoreStream


def test_scores_are_averaged_with_those_ahead_or_by_blocks() -> None:
    scores = torch.tensor([[3.0, 6, 0, 3, 9]])
    assert smooth(scores, "slide", 3).tolist() == [[3, 3, 4, 4, 3]]
    assert smooth(scores, "blocks", 3).tolist() == [[3, 3, 3, 4, 4]]
    assert smooth(scores, "none", 3) is scores
    for smoothing in ("slide", "blocks"):
        assert smooth(scores, smoothing, 1).tolist() == scores.tolist()


@pytest.mark.parametrize("smoothing", ["slide", "blocks"])
def test_what_any_method_predicts_is_smoothed_and_its_score_is_not(smoothing: Smoothing) -> None:
    method = small("RTFM").eval()
    batch = evaluation_batch(torch.rand(2, 12, 8))._replace(num_frames=torch.tensor([192]))
    with torch.no_grad():
        plain = method.score(batch)
        method.smoothing, method.smooth_over = smoothing, 4
        torch.testing.assert_close(method.score(batch), plain)
        torch.testing.assert_close(method.reported(batch)[0], smooth(plain, smoothing, 4))


@pytest.mark.parametrize("name", methods.__all__)
def test_every_method_takes_it(name: str) -> None:
    made = getattr(methods, name)(feature_dim=8, **SMALLER.get(name, {}), smoothing="slide", smooth_over=3)
    assert made.described_smoothing == "slide over 3"


@pytest.mark.parametrize("chunk", [1, 5])
def test_a_stream_waits_for_what_is_averaged(chunk: int) -> None:
    method = HLNet(8, score_from="online", smoothing="slide", smooth_over=3).eval()
    features = np.random.default_rng(0).random((20, 2, 8), np.float32)
    stream = ScoreStream(method, Preparation({}, {}, method))
    assert (stream.exact, stream.look_ahead, stream.window) == (True, 2, 7)
    pieces = [features[start : start + chunk] for start in range(0, 20, chunk)]
    given = [score for piece in pieces for score in stream.update(piece)] + stream.close()
    batch = evaluation_batch(torch.from_numpy(features).transpose(0, 1))
    with torch.no_grad():
        whole = method.reported(batch)[0][0]
    torch.testing.assert_close(torch.tensor([score.score for score in given]), whole, rtol=0, atol=1e-6)
    assert RTFM(8, smoothing="slide", smooth_over=3).look_ahead == 2
    assert HLNet(8, score_from="online", smoothing="blocks").reported_view is None


def test_what_cannot_be_smoothed_is_refused() -> None:
    with pytest.raises(WSVADError, match="model.smoothing='all': is not a way of smoothing. Give one of"):
        RTFM(8, smoothing="all")
    with pytest.raises(WSVADError, match="model.smooth_over='0': must be at least 1"):
        RTFM(8, smooth_over=0)
