"""Exported files give the scores of the checkpoint, at any length, and say what they are."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.methods.small import small, smaller
from wsvad_lightning import Detector, methods
from wsvad_lightning.cli import main
from wsvad_lightning.data.loading.transform import FeatureTransform
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.serving.export import (
    COMPARED,
    TOLERANCE,
    drawn,
    largest_difference,
    refuse_draws,
    run_onnx,
    trace,
)
from wsvad_lightning.serving.exported import TransformModule, scoring_module
from wsvad_lightning.serving.preparation import Preparation
from wsvad_lightning.types import StreamInfo

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
DIM, CROPS = 6, 2
STREAMS = {"features": StreamInfo(5, ("a", "b")), "other": StreamInfo(3, ("a", "b"))}


def test_nothing_is_reported_by_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    monkeypatch.setitem(
        sys.modules, "onnxruntime", None
    )  # its import fails, and what was set before it shows
    with pytest.raises(ImportError):
        run_onnx(Path("model.onnx"), None)  # type: ignore[arg-type]  # not reached
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("crops", ["all", "mean", "max", "concat"])
@pytest.mark.parametrize("normalize", ["none", "l2", "zscore", "zscore_shared"])
@pytest.mark.parametrize("pca_dim", [None, 3])
def test_the_transform_is_that_of_the_data_module(normalize: Any, crops: Any, pca_dim: int | None) -> None:
    random = np.random.default_rng(0)

    def video() -> dict[str, Any]:
        return {
            name: random.normal(size=(9, len(info.views), info.dim)).astype(np.float32)
            for name, info in STREAMS.items()
        }

    transform = FeatureTransform(STREAMS, normalize, 1.5, crops, pca_dim)
    videos = [video() for _ in range(3)]
    transform.fit(lambda: videos)
    given = video()
    given["features"][2] = 0  # a vector without a direction
    found = TransformModule(transform)(*map(torch.tensor, given.values()))
    torch.testing.assert_close(found, torch.tensor(transform(given)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", methods.__all__)
def test_what_an_exported_program_computes_gives_the_same_scores(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks compute differently where lengths are not known; here they do so without being traced."""
    model = small(name).eval()
    module = scoring_module(model, Preparation({}, {}, model), name)
    for snippets, views in COMPARED:
        streams = drawn(module, min(snippets, 64) if name == "ADPLG" else snippets, views)
        expected = module.reference(*streams)
        with monkeypatch.context() as patched, torch.no_grad():
            patched.setattr(torch.compiler, "is_exporting", lambda: True)
            found = module(*streams)
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)


def test_a_program_scores_any_length() -> None:
    model = small("URDMU").eval()
    module = scoring_module(model, Preparation({}, {}, model), "a.ckpt")
    program = trace(module).module()
    assert largest_difference(module, lambda streams: program(*streams), None) <= TOLERANCE


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "a.h5", dim=DIM, crops=CROPS)


def fitted(folder: Path, store: Path, config: str, method: str, *more: str) -> Path:
    """Train for a few steps and give the checkpoint."""
    where = ["--output", str(folder), "--name", "run", "--data.store", str(store)]
    args = ["--config", config, "--config", "with/smoke.yaml", *smaller(method, folder, DIM), *more]
    assert main(["fit", *args, *where]) == 0
    return folder / "run" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def checkpoint(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = ["--data.normalize", "zscore", "--data.clip", "2", "--data.crops", "mean"]
    return fitted(tmp_path_factory.mktemp("run"), store, "ucf_sultani.yaml", "Sultani", *more)


@pytest.mark.parametrize("kind", ["torch", "onnx", "openvino"])
def test_a_file_scores_the_videos_of_a_store(
    kind: str,
    store: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    where = ["--ckpt_path", str(checkpoint), "--format", kind, "-o", str(folder / "model")]
    assert main(["export", *where]) == 0
    assert "Sultani, any number of snippets" in " ".join(capsys.readouterr().out.split())
    assert {path.name for path in folder.iterdir()} == FILES[kind]
    run, about = OPENED[kind](folder)
    assert about["method"] == "Sultani"
    assert about["inputs"] == {"features": [None, CROPS, DIM]}
    assert about["most_snippets"] is None
    assert about["transform"]["clip"] == 2
    read = FeatureStore(store)
    for video_id, prediction in Detector.from_checkpoint(checkpoint).score_store(store).items():
        features = np.asarray(read.read(video_id, "features"), dtype=np.float32)
        np.testing.assert_allclose(run(features), prediction.scores, rtol=0, atol=TOLERANCE)
    if kind == "onnx":
        monkeypatch.chdir(folder)
        run_example()
        assert re.fullmatch(r"highest score 0\.\d{3} in frames \d+ to \d+\n", capsys.readouterr().out)


def run_example() -> None:
    """Run the first example of the page, which needs only numpy and ONNX Runtime."""
    features = Path("arrays/features/gate_01.npy")
    features.parent.mkdir(parents=True)
    np.save(features, np.random.default_rng(0).normal(size=(21, CROPS, DIM)))
    (code, *_) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    imported = {line.split()[1] for line in code.splitlines() if line.startswith(("import", "from"))}
    assert imported == {"json", "numpy", "onnxruntime"}
    exec(compile(code, str(PAGE), "exec"), {})


def open_torch(folder: Path) -> tuple[Any, dict[str, Any]]:
    files = {"wsvad": ""}
    program = torch.export.load(folder / "model.pt2", extra_files=files).module()
    return lambda features: program(torch.tensor(features))[0], json.loads(files["wsvad"])


def open_onnx(folder: Path) -> tuple[Any, dict[str, Any]]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map["wsvad"])
    return lambda features: session.run(["scores"], {"features": features})[0], about


def open_openvino(folder: Path) -> tuple[Any, dict[str, Any]]:
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / "model.xml")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    about = json.loads(model.get_rt_info("wsvad").astype(str))
    return lambda features: compiled([features])["scores"], about


FILES = {"torch": {"model.pt2"}, "onnx": {"model.onnx"}, "openvino": {"model.xml", "model.bin"}}
OPENED = {"torch": open_torch, "onnx": open_onnx, "openvino": open_openvino}


def test_what_draws_noise_is_refused() -> None:
    model = small("CLIPTSA").eval()
    with pytest.raises(WSVADError, match="draws noise"):
        refuse_draws(scoring_module(model, Preparation({}, {}, model), "a.ckpt"), "a.ckpt")


def test_other_scores_are_refused_and_nothing_is_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wsvad_lightning.serving.export.TOLERANCE", -1.0)
    where = ["--ckpt_path", str(checkpoint), "--format", "torch", "-o", str(tmp_path / "a")]
    assert main(["export", *where]) == 2
    assert "would differ from those of the checkpoint" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_streams_of_unknown_shapes_are_refused() -> None:
    model = small("Sultani").eval()
    preparation = Preparation({}, {"features": ["a", "b"], "normalize": "l2"}, model)
    with pytest.raises(WSVADError, match="does not record how many channels"):
        scoring_module(model, preparation, "a.ckpt")
