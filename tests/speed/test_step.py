from functools import partial
from io import StringIO

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console

from tests.methods.small import small
from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import ADPLG, RTFM, S3R
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.prepared import PreparedModule
from wsvad_lightning.speed import step
from wsvad_lightning.speed.step import (
    OFFICIAL,
    Measurement,
    benchmark_steps,
    count_flops,
    labelling,
    labels_of_snippets,
    measure,
    noise,
    official,
    scoring_pass,
    scoring_table,
    training_step,
    training_table,
)

SHAPE = (4, 2, 8, 16)


def tiny(name: str) -> tuple[WSVADModule, tuple[int, int, int, int]]:
    return RTFM(feature_dim=16), SHAPE


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "official", tiny)
    monkeypatch.setattr(step, "MATRIX", {"cpu": 16})


def rendered(table: object) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_operations_of_a_product_a_convolution_and_attention_with_its_gradient_are_counted() -> None:
    assert count_flops(partial(torch.mm, torch.ones(3, 5), torch.ones(5, 7))) == 2 * 3 * 5 * 7
    image, kernel = torch.ones(2, 5, 1, 9), torch.ones(7, 5, 1, 3)
    assert count_flops(partial(F.conv2d, image, kernel, padding=(0, 1))) == 2 * (2 * 9) * (5 * 3) * 7
    query, key, value = torch.ones(3, 2, 4, 11, 8)
    assert count_flops(partial(F.scaled_dot_product_attention, query, key, value)) == 2 * 8 * (
        2 * 11 * 11 * 8
    )

    def attend_and_back() -> None:
        q, k, v = (x.clone().requires_grad_() for x in (query, key, value))
        torch.autograd.backward(F.scaled_dot_product_attention(q, k, v).sum())

    assert count_flops(attend_and_back) == 7 * 8 * (2 * 11 * 11 * 8)  # backwards the scores are made again


def test_official_batches_are_those_of_the_papers() -> None:
    with torch.device("meta"):
        shapes = {name: official(name)[1] for name in OFFICIAL}
        dictionary = official("S3R")[0]
    assert set(OFFICIAL) <= set(methods.__all__)
    assert shapes == {
        "Sultani": (60, 1, 32, 4096),
        "RTFM": (64, 10, 32, 2048),
        "MGFN": (32, 10, 32, 2048),
        "S3R": (64, 10, 32, 2048),
        "BNWVAD": (128, 1, 200, 1024),
        "URDMU": (128, 1, 200, 1024),
        "SSRL": (8, 10, 32, 2048),
        "SVMAE": (64, 10, 32, 1536),
        "CLIPTSA": (32, 1, 32, 512),
        "VadCLIP": (128, 1, 256, 512),
        "TPWNG": (128, 1, 200, 512),
        "GSMoE": (128, 1, 200, 1024),
        "ADPLG": (64, 1, 64, 1024),
        "C2FPL": (128, 10, 1, 2048),
        "FRDUVAD": (320, 10, 4, 2048),
    }
    assert isinstance(dictionary, S3R)
    assert dictionary.net.dictionary.shape == (400, 2048)


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_step_and_the_scoring_of_a_video_are_measured(precision: step.Precision) -> None:
    trained = measure("RTFM", 2, "cpu", precision, snippets=None)
    scored = measure("RTFM", 2, "cpu", precision, snippets=20)
    assert trained.shape == SHAPE
    assert scored.shape == (1, 10, 20, 16)
    for measured in (trained, scored):
        assert len(measured.seconds) == len(measured.limits) == 2
        assert min(measured.seconds) > 0
        assert min(measured.limits) > 0
        assert 0 < measured.start_bytes <= measured.peak_bytes
    rows, scored_rows = 4 * 2 * 8, 10 * 20
    forward_of_a_row = scored.flops / scored_rows  # all of it, but for attention, belongs to a row alone
    assert trained.flops == pytest.approx(3 * rows * forward_of_a_row, rel=0.1)


@pytest.mark.parametrize("name", ["SSRL", "SVMAE", "ADPLG", "C2FPL", "FRDUVAD"])
def test_a_batch_of_noise_is_what_a_method_learns_from(name: str) -> None:
    model = small(name)
    shape = (4, 2, 8, model.feature_dim)
    for artefact in model.requires.prepared:
        assert isinstance(model, PreparedModule)
        model.take_prepared(artefact, labels_of_snippets(shape))
    before = [p.clone() for p in model.parameters()]
    training_step(model, shape)()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert scoring_pass(model, (1, 3, 20, model.feature_dim))().shape == (1, 20)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "labels"), [("RTFM", [0, 0, 1, 1]), ("FRDUVAD", [torch.nan] * 4)])
def test_windows_of_noise_have_places_in_the_training_videos_but_no_labels(
    name: str, labels: list[float]
) -> None:
    batch = noise((4, 1, 3, 8), small(name))
    torch.testing.assert_close(batch.labels, torch.tensor(labels), equal_nan=True, check_dtype=False)
    places = None if batch.positions is None else batch.positions.tolist()
    assert places == (None if name == "RTFM" else [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]])


def test_shares_compare_with_the_fastest_product_and_with_the_one_beside() -> None:
    measured = Measurement((1, 1, 1, 1), 100, [1.0, 4.0, 2.0], [200.0, 100.0, 100.0], 5, 9)
    assert measured.share == 0.5
    assert measured.median_share == 0.5
    assert measured.added_bytes == 4


def test_the_tables_name_what_they_show() -> None:
    short = Measurement((1, 10, 1000, 16), 10**9, [1.0], [2e9], 0, 2**30)
    long = Measurement((1, 10, 2000, 16), 4 * 10**9, [2.0], [4e9], 0, 3 * 2**30)
    trained = rendered(training_table({"RTFM": long}, "steps"))
    for text in ("1 x 10 x 2000 x 16", "4.0", "2,000 ms", "0.50", "3.00 GiB", "median share", "memory"):
        assert text in trained
    scored = rendered(scoring_table({"RTFM": [short, long]}, "scoring"))
    for text in ("2,000", "x 4.00 GFLOP, x 3.00 memory", "3.00 GiB", "memory added"):
        assert text in scored


def test_tables_that_no_terminal_shows_are_not_cropped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Measurement((128, 10, 2000, 4096), 10**13, [1e2], [2e9], 0, 2**34)
    monkeypatch.setattr(step, "in_fresh_process", lambda *_: long)
    monkeypatch.setattr(step, "labelling", lambda _: lambda: None)
    benchmark_steps(["FRDUVAD", "ADPLG"])
    reported = capsys.readouterr().out
    assert "…" not in reported
    for text in (
        "128 x 10 x 2000 x 4096",
        "100,000 ms",
        "x 1.00 GFLOP, x 1.00 memory",
        "pseudo-labels take 0",
    ):
        assert text in reported


def test_the_labels_of_adplg_are_timed_on_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    adplg = small("ADPLG")
    assert isinstance(adplg, ADPLG)
    monkeypatch.setattr(step, "official", lambda _: (adplg, (4, 1, 6, adplg.feature_dim)))
    task = labelling("cpu")
    for visit in range(1, 5):
        task()
        assert adplg.history.visits.tolist() == [visit] * 2


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(WSVADError, match="Nonsense.*no official batch"):
        benchmark_steps(["Nonsense"])
