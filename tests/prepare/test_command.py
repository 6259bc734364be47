"""``wsvad prepare`` as a user runs it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wsvad_lightning import methods
from wsvad_lightning.cli import main
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.artefacts import read_artefact
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.interop import export_official
from wsvad_lightning.interop.s3r import TABLE
from wsvad_lightning.methods import S3R
from wsvad_lightning.prepare import PREPARATIONS

PREPARE = ["prepare", "s3r-dictionary"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("store.h5", train=4, test=2, dim=12, crops=2)


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def test_training_asks_for_the_dictionary_and_the_checkpoint_carries_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ["--config", "ucf_s3r.yaml", "--config", "with/smoke.yaml", "--data.normalize", "l2"]
    assert main(["fit", *settings, "--data.store", "store.h5"]) == 2
    (told,) = errors(capsys)
    assert "S3R needs s3r_dictionary" in told
    assert "Run `wsvad prepare s3r-dictionary --store store.h5` with the other --config and --data" in told

    assert main([*PREPARE, *settings, "--store", "store.h5"]) == 0
    (artefact,) = Path("store.h5.prepared").iterdir()
    assert read_artefact(artefact).values.shape == (2, 12)
    assert main(["fit", *settings, "--data.store", "store.h5", "--name", "run"]) == 0

    checkpoint = next(Path("runs/run").rglob("last.ckpt"))
    artefact.unlink()
    new = str(make_store("elsewhere/new.h5", train=1, test=2, dim=12, crops=1, seed=3))
    for command, store in (("test", "store.h5"), ("predict", new)):
        assert main([command, "--ckpt_path", str(checkpoint), "--data.store", store]) == 0
    assert S3R.load_from_checkpoint(checkpoint).net.dictionary.shape == (2, 12)


def test_weights_of_the_authors_take_the_dictionary_of_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    official = export_official(S3R(feature_dim=12, attention_dim=8).net, TABLE)
    official["video_projection.0.bias"] = torch.zeros(12)
    torch.save(official, "official.pkl")
    assert main(["import-weights", "official.pkl", "--method", "s3r", "-o", "s3r.ckpt"]) == 0
    test = ["test", "--ckpt_path", "s3r.ckpt", "--data.store", "store.h5"]
    assert main(test) == 2
    (told,) = errors(capsys)
    assert "wsvad prepare s3r-dictionary --store store.h5" in told
    np.save("official.npy", np.ones((5, 12), np.float32))
    assert main([*PREPARE, "--store=store.h5", "--dictionary", "official.npy"]) == 0
    assert main(test) == 0


def test_pseudo_labels_are_prepared_and_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--config", "ucf_c2fpl.yaml", "--data.store", "store.h5"]
    train = ["fit", *settings, "--trainer.max_steps", "3", "--name", "run"]
    assert main(train) == 2
    (told,) = errors(capsys)
    assert "Run `wsvad prepare c2fpl-labels --store store.h5`" in told
    assert main(["prepare", "c2fpl-labels", *settings, "--abnormal-component", "larger-mean"]) == 0
    (artefact,) = Path("store.h5.prepared").iterdir()
    assert read_artefact(artefact).parameters["abnormal_component"] == "larger-mean"
    assert main(train) == 0
    artefact.unlink()
    checkpoint = next(Path("runs/run").rglob("last.ckpt"))
    assert main(["test", "--ckpt_path", str(checkpoint)]) == 0


def test_the_data_settings_are_those_of_fit() -> None:
    """The same arguments name the same artefact; without any, the defaults of the data module count."""
    assert main([*PREPARE, "--store", "store.h5"]) == 0
    assert WSVADDataModule("store.h5").prepared("s3r_dictionary") is not None
    held_out = ["--data.val_fraction", "0.3", "--seed_everything", "5", "--trainer.max_steps", "3"]
    assert main([*PREPARE, "--config", "ucf_urdmu.yaml", "--store", "store.h5", *held_out]) == 0
    data = WSVADDataModule("store.h5", val_fraction=0.3, seed=5)
    atoms = data.prepared("s3r_dictionary")
    assert atoms is not None
    assert len(atoms) == 2
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["prepare", "dictionary"], ("'dictionary'", "s3r-dictionary")),
        ([*PREPARE], ("data.store", "required")),
        ([*PREPARE, "--store", "absent.h5"], ("absent.h5", "no such store")),
        ([*PREPARE, "--store", "store.h5", "--fraction", "2"], ("--fraction", "'2.0'")),
        ([*PREPARE, "--store", "store.h5", "--atoms", "2"], ("--atoms", "--help")),
    ],
    ids=["no such artefact", "no store", "absent store", "fraction", "unknown option"],
)
def test_a_mistake_is_told_in_one_line(
    given: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    (told,) = errors(capsys)
    for word in words:
        assert word in told
    assert not Path("store.h5.prepared").exists()


def test_what_methods_ask_for_can_be_prepared() -> None:
    asked_for = {name for method in methods.__all__ for name in getattr(methods, method).requires.prepared}
    assert asked_for == PREPARATIONS.keys()


def test_help_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--help"]) == 0
    assert "wsvad prepare s3r-dictionary" in capsys.readouterr().out
