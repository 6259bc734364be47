"""Streamed scores: those of whole videos where the field of view allows it, elsewhere those of a window."""

import numpy as np
import pytest
import torch

from tests.methods.small import small
from tests.parity.batches import evaluation_batch
from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.serving.preparation import Preparation
from wsvad_lightning.serving.stream import ScoreStream, SnippetScore

FINITE = {"C2FPL", "FRDUVAD", "Gaussian", "Sultani"}
LENGTH = 90


def opened(method: WSVADModule, window: int | None = None, look_ahead: int | None = None) -> ScoreStream:
    return ScoreStream(method, Preparation({}, {}, method), window, look_ahead)


def streamed(stream: ScoreStream, features: np.ndarray, chunk: int) -> list[SnippetScore]:
    pieces = [features[start : start + chunk] for start in range(0, len(features), chunk)]
    return [score for piece in pieces for score in stream.update(piece)] + stream.close()


def values(scores: list[SnippetScore]) -> torch.Tensor:
    assert [score.snippet for score in scores] == list(range(len(scores)))
    return torch.tensor([score.score for score in scores])


@pytest.mark.parametrize("name", methods.__all__)
def test_a_method_sees_what_it_says(name: str) -> None:
    """A NaN reaches every snippet whose score depends on it."""
    method, features = small(name).eval(), torch.rand(2, LENGTH, 8)
    features[:, LENGTH // 2] = torch.nan
    with torch.inference_mode():
        reached = method.score(evaluation_batch(features))[0].isnan().nonzero().flatten() - LENGTH // 2
    if name in FINITE:
        before, after = method.field_of_view or (LENGTH, LENGTH)
        assert (int(reached.min()), int(reached.max())) == (-after, before)
    else:
        assert method.field_of_view is None
        assert len(reached) > LENGTH // 2


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
@pytest.mark.parametrize("name", sorted(FINITE))
def test_a_finite_view_gives_the_scores_of_the_whole_video(name: str, chunk: int) -> None:
    method, features = small(name).eval(), np.random.default_rng(0).random((LENGTH, 2, 8), np.float32)
    stream = opened(method)
    assert stream.exact
    with torch.inference_mode():
        whole = method.score(evaluation_batch(torch.from_numpy(features).transpose(0, 1)))[0]
    torch.testing.assert_close(values(streamed(stream, features, chunk)), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(methods.__all__) - FINITE))
def test_elsewhere_the_window_up_to_the_look_ahead_is_scored(name: str) -> None:
    method, features = small(name).eval(), np.random.default_rng(0).random((12, 2, 8), np.float32)
    window, ahead = 6, 2
    stream = opened(method, window, ahead)
    assert not stream.exact
    found = streamed(stream, features, 5)
    crops = torch.from_numpy(features).transpose(0, 1)
    with torch.inference_mode():
        for snippet, score, classes, _ in found:
            end = min(snippet + ahead + 1, len(features))
            start = max(0, end - window)
            batch = evaluation_batch(crops[:, start:end])
            scores, probabilities = method.score_and_classify(batch)
            assert score == pytest.approx(float(scores[0, snippet - start]), abs=1e-6)
            if probabilities is not None:
                assert classes is not None
                torch.testing.assert_close(classes, probabilities[0, snippet - start].float())
    assert [one.snippet for one in streamed(stream, features[:2], 1)] == [0, 1]  # once more, shorter than L


def test_memory_is_bounded_by_the_window() -> None:
    stream = opened(small("Sultani").eval(), window=3)
    for _ in range(10):
        stream.update(np.zeros((4, 1, 8), np.float32))
    assert len(stream._held) == 3


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (np.zeros((2, 8)), "must be"),
        ({"other": np.zeros((2, 1, 8))}, "is missing"),
        (np.zeros((2, 1, 9)), "have 9 channels"),
        (np.full((2, 1, 8), np.nan), "NaN"),
    ],
)
def test_other_features_are_refused(features: object, problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        opened(small("Sultani").eval()).update(features)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize(("window", "ahead", "problem"), [(3, 3, "longer than"), (None, -1, "at least 0")])
def test_window_and_look_ahead_must_fit(window: int | None, ahead: int, problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        opened(small("RTFM"), window, ahead)
