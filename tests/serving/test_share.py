"""A shared model is what its checkpoint is, and says nothing of the machine."""

import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants

from tests.serving.hub import TOKEN
from wsvad_lightning import Detector
from wsvad_lightning.checkpoint import CONFIG_KEY, OF_TRAINING, read_checkpoint
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.serving.share import trained_on
from wsvad_lightning.shared import CARD, REST, WEIGHTS


class Model(NamedTuple):
    """A store, a checkpoint of a run that was tested, and the same shared."""

    store: Path
    checkpoint: Path
    folder: Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    where = tmp_path_factory.mktemp("share")
    store = make_store(where / "store.h5", dim=6)
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--data.normalize", "zscore"]
    run = ["--data.store", str(store), "--output", str(where / "runs"), "--name", "own"]
    assert main(["fit", "--config", "ucf_urdmu.yaml", *small, *run]) == 0
    checkpoint = where / "runs" / "own" / "version_0" / "checkpoints" / "last.ckpt"
    assert main(["test", "--ckpt_path", str(checkpoint)]) == 0
    assert main(share(checkpoint, where / "shared")) == 0
    return Model(store, checkpoint, where / "shared")


def share(checkpoint: Path, folder: Path, *more: str) -> list[str]:
    return ["share", "--ckpt_path", str(checkpoint), "-o", str(folder), "--license", "cc-by-4.0", *more]


def test_it_holds_the_same_without_training_and_paths(model: Model) -> None:
    written, shared = read_checkpoint(model.checkpoint), read_checkpoint(model.folder)
    assert not shared.keys() & OF_TRAINING
    for entry in ("state_dict", "WSVADDataModule"):
        assert shared[entry].keys() == written[entry].keys()
        assert all(torch.equal(shared[entry][name], value) for name, value in written[entry].items())
    assert shared["hyper_parameters"] == written["hyper_parameters"]
    config = yaml.safe_load(shared[CONFIG_KEY])
    assert config["data"]["store"] == "store.h5"
    assert config["model"] == yaml.safe_load(written[CONFIG_KEY])["model"]
    assert all(str(model.store.parent).encode() not in path.read_bytes() for path in model.folder.iterdir())


def test_the_card_has_licence_features_and_what_was_measured(model: Model, tmp_path: Path) -> None:
    card = (model.folder / CARD).read_text("utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "cc-by-4.0"
    assert "urdmu" in front["tags"]
    metrics = json.loads(next(model.checkpoint.parents[2].glob("*/metrics.json")).read_text())["metrics"]
    (index,) = front["model-index"]
    (result,) = index["results"]
    assert (index["name"], result["dataset"]["name"]) == ("URDMU", "store.h5")
    assert {one["type"]: one["value"] for one in result["metrics"]} == {
        name: metrics[name] for name in ("auc", "auc_abnormal", "ap") if metrics[name] is not None
    }
    assert ModelCard(card).data.get("eval_results")  # as Hugging Face reads it
    assert "| AUC |" in card
    assert "* store: store.h5" in card
    assert "Not calibrated." in card
    alone = tmp_path / "alone.ckpt"
    shutil.copy(model.checkpoint, alone)
    assert main(share(alone, tmp_path / "untested")) == 0
    untested = (tmp_path / "untested" / CARD).read_text("utf-8")
    assert "no test of it" in untested
    assert "model-index" not in untested
    assert "* trained on store: store.h5\n* trained on split_index: 0\n" in untested
    assert "Detector.from_checkpoint(" in untested
    for odd in ("[1]", "data: [1]", "a: {}"):
        assert trained_on({CONFIG_KEY: odd}) == {}


def test_commands_take_it_from_a_folder_and_from_the_hub(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "hub" / "models--owner--name"  # as the hub's own library lays out what it has got
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(model.folder, cached / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    where = ["--data.store", str(model.store), "--output", str(tmp_path)]
    for source, name in ((str(model.folder), "shared"), ("hf://owner/name", "name")):
        assert main(["test", "--ckpt_path", source, *where]) == 0
        assert (tmp_path / name / "version_0" / "scores.csv").is_file()
    expected = Detector.from_checkpoint(model.checkpoint).score_store(model.store)
    found = Detector.from_checkpoint("hf://owner/name").score_store(model.store)
    assert all(torch.equal(found[video].scores, one.scores) for video, one in expected.items())


def test_what_is_pushed_is_read_back(
    model: Model, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert main(share(model.checkpoint, tmp_path / "pushed", "--push", "me/pushed")) == 0
    expected, found = read_checkpoint(model.folder), read_checkpoint("hf://me/pushed")
    assert found["hyper_parameters"] == expected["hyper_parameters"]
    assert all(
        torch.equal(found["state_dict"][name], value) for name, value in expected["state_dict"].items()
    )


def test_what_is_wrong_is_a_line(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(*args: str) -> str:
        assert main(list(args)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "is not an empty folder" in refusal(*share(model.checkpoint, model.folder))
    calibrate = ("calibrate", "--ckpt_path", str(model.folder), "--data.store", str(model.store))
    assert "is required for a shared model" in refusal(*calibrate)
    assert "holds weights only" in refusal(
        "fit", "--config", "ucf_urdmu.yaml", "--ckpt_path", str(model.folder)
    )
    for name, content, problem in (
        (WEIGHTS, b"\xff" * 20, "not a readable checkpoint"),
        (REST, b"[]", "is not a mapping"),
        (REST, b"{}", "which its model.json does not name"),
        (REST, b'{"state_dict": {"a": {"$tensor": "b"}}}', "lacks b"),
        (REST, b"[" * 10_000, "not a readable checkpoint"),
    ):
        folder = tmp_path / "odd"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model.folder, folder)
        (folder / name).write_bytes(content)
        assert problem in refusal("test", "--ckpt_path", str(folder))
    shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
    (folder / WEIGHTS).unlink()
    assert f"has no {WEIGHTS}" in refusal("test", "--ckpt_path", str(folder))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "safetensors.torch", None)
        line = refusal("test", "--ckpt_path", str(model.folder))
        assert line.endswith('is missing. Install "wsvad-lightning[share]"')
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "Hugging Face gives no owner/absent" in refusal("test", "--ckpt_path", "hf://owner/absent")
    assert "is not hf://owner/name" in refusal("test", "--ckpt_path", "hf://../../etc")
