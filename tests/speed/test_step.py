from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.methods.small import small
from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import ADPLG, RTFM, S3R
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.prepared import PreparedModule
from wsvad_lightning.speed import measures, step
from wsvad_lightning.speed.measures import Measurement, Precision
from wsvad_lightning.speed.step import (
    OFFICIAL,
    benchmark_steps,
    labelling,
    labels_of_snippets,
    measure,
    measure_pretraining,
    noise,
    official,
    pretraining_table,
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
    monkeypatch.setattr(measures, "MATRIX", {"cpu": 16})


def rendered(table: object) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


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
        "DSANet": (128, 1, 256, 512),
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
def test_a_step_and_the_scoring_of_a_video_are_measured(precision: Precision) -> None:
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


@pytest.mark.usefixtures("_tiny")
def test_a_step_of_a_pre_training_is_measured(tmp_path: Path) -> None:
    sizes = "size: [8, 8], frames: 4, patch: 4, dim: 12, depth: 2, heads: 3, decoder_dim: 8, decoder_depth: 1"
    model = f"{{class_path: svmaepretraining, init_args: {{{sizes}, decoder_heads: 2, mask_ratio: 0.5}}}}"
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(f"model: {model}\ndata: {{videos: none, size: 8, length: 4, batch_size: 3}}\n")
    measured = measure_pretraining(str(recipe), 2, "cpu", "32-true")
    assert measured.shape == (3, 8)
    embedded = 3 * 4 * (2 * 3 * 32 * 12)  # clips, visible tubes, operations of each
    encoded = 3 * 4 * 2 * (2 * 12 * 12 * 12 + 2 * 2 * 4 * 12)  # layers; projections and perceptron, attention
    assert measured.flops > 3 * encoded + 2 * embedded
    table = rendered(pretraining_table("tiny.yaml", measured, "steps"))
    assert "3 clips x 8 tokens" in table
    assert f"{24 / min(measured.seconds):,.0f}" in table


def test_a_recipe_of_another_method_is_refused() -> None:
    with pytest.raises(WSVADError, match="pretraining='ucf_rtfm.yaml': trains RTFM"):
        measure_pretraining("ucf_rtfm.yaml", 1, "cpu", "32-true")


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
