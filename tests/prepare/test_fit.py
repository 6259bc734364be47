"""`wsvad fit` prepares what a method requires by itself, and says so."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.processes import run_ranks
from wsvad_lightning import methods
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.artefacts import read_artefact
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.interop import export_official
from wsvad_lightning.interop.s3r import TABLE
from wsvad_lightning.methods import S3R

S3R_RUN = [
    "--config",
    "ucf_s3r.yaml",
    "--config",
    "with/smoke.yaml",
    "--data.store",
    "store.h5",
    "--name",
    "run",
]
C2FPL_RUN = [
    "--config",
    "ucf_c2fpl.yaml",
    "--data.store",
    "store.h5",
    "--trainer.max_steps",
    "3",
    "--name",
    "run",
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("store.h5", train=4, test=2, dim=12, crops=2)


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def artefact() -> Path:
    (path,) = Path("store.h5.prepared").iterdir()
    return path


def last_checkpoint() -> Path:
    return max(Path("runs/run").rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)


def test_the_dictionary_is_learnt_once_and_travels_in_the_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ["--data.normalize", "l2", "--model.fraction", "0.75"]
    assert main(["fit", *S3R_RUN, *settings]) == 0
    assert "preparing s3r_dictionary from 4 training videos" in capsys.readouterr().out
    made = read_artefact(artefact())
    assert (made.values.shape, made.parameters) == ((3, 12), {"fraction": 0.75})
    stamp = artefact().stat().st_mtime_ns
    assert main(["fit", *S3R_RUN, *settings]) == 0
    assert "is used" in " ".join(capsys.readouterr().out.split())
    assert artefact().stat().st_mtime_ns == stamp

    checkpoint = last_checkpoint()
    artefact().unlink()
    new = str(make_store("elsewhere/new.h5", train=1, test=2, dim=12, crops=1, seed=3))
    for command, store in (("test", "store.h5"), ("predict", new)):
        assert main([command, "--ckpt_path", str(checkpoint), "--data.store", store]) == 0
    assert not list(Path().rglob("*.prepared/*.h5"))
    assert S3R.load_from_checkpoint(checkpoint).net.dictionary.shape == (3, 12)


def test_weights_of_the_authors_take_a_dictionary_given_or_learnt(capsys: pytest.CaptureFixture[str]) -> None:
    official = export_official(S3R(feature_dim=12, attention_dim=8).net, TABLE)
    official["video_projection.0.bias"] = torch.zeros(12)
    torch.save(official, "official.pkl")
    assert main(["import-weights", "official.pkl", "--method", "s3r", "-o", "s3r.ckpt"]) == 0
    np.save("official.npy", np.ones((5, 12), np.float32))
    test = ["test", "--ckpt_path", "s3r.ckpt", "--data.store", "store.h5"]
    assert main([*test, "--model.dictionary", "official.npy"]) == 0
    assert read_artefact(artefact()).parameters["dictionary"] == "official.npy"
    assert main(test) == 2
    (message,) = errors(capsys)
    assert "was prepared with" in message
    artefact().unlink()
    assert main(test) == 0
    assert read_artefact(artefact()).parameters == {"fraction": 0.5}


def test_pseudo_labels_are_computed_and_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *C2FPL_RUN, "--model.abnormal_component", "larger-mean"]) == 0
    assert "preparing c2fpl_labels from 8 training videos" in capsys.readouterr().out
    assert read_artefact(artefact()).parameters["abnormal_component"] == "larger-mean"
    artefact().unlink()
    assert main(["test", "--ckpt_path", str(last_checkpoint())]) == 0
    assert not list(Path("store.h5.prepared").iterdir())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([*S3R_RUN, "--model.fraction", "2"], ("model.fraction", "'2.0'")),
        (
            [*S3R_RUN, "--model.dictionary", "absent.npy"],
            ("model.dictionary", "absent.npy", "cannot be read"),
        ),
        ([*C2FPL_RUN, "--model.window", "0"], ("model.window", "'0.0'")),
        ([*C2FPL_RUN, "--data.bags", "paired"], ("data.bags", "windows")),
    ],
    ids=["fraction", "absent atoms", "window", "bags"],
)
def test_a_mistake_is_one_line_and_leaves_no_artefact(
    given: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *given]) == 2
    (message,) = errors(capsys)
    for word in words:
        assert word in message
    assert not Path("store.h5.prepared").exists()


def test_one_of_two_processes_prepares(tmp_path: Path) -> None:
    """Both started at once, as torchrun does: the other waits, and both train with the same dictionary."""
    ranks = run_ranks(2, "fit", *S3R_RUN, "--config", "with/ddp.yaml")
    printed = [rank.stdout + rank.stderr for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], printed
    assert ["preparing s3r_dictionary" in text for text in printed] == [True, False]
    assert artefact().suffix == ".h5"
    assert S3R.load_from_checkpoint(last_checkpoint()).net.dictionary.shape == (2, 12)


def test_methods_that_require_artefacts_prepare_them() -> None:
    asking = {name for name in methods.__all__ if getattr(methods, name).requires.prepared}
    preparing = {name for name in methods.__all__ if "prepare" in vars(getattr(methods, name))}
    assert asking == preparing == {"C2FPL", "S3R"}
