"""Every key table: the authors' weights become a checkpoint and come back unchanged."""

from pathlib import Path

import pytest
import torch

from tests.methods.small import small
from tests.methods.towers import openai_clip
from wsvad_lightning.cli import main
from wsvad_lightning.interop import export_official, load_official, read_official
from wsvad_lightning.interop.checkpoint import find_method, known_methods

METHODS = pytest.mark.parametrize("name", known_methods())


def left_out(name: str, feature_dim: int) -> dict[str, torch.Tensor]:
    """What the authors' files hold besides: here with the parts that we read and do not keep."""
    unused = {f"{prefix}.weight": torch.zeros(2) for prefix in find_method(name).TABLE.dropped}
    if name == "vadclip":
        del unused["clipmodel.weight"]
        unused |= {f"clipmodel.{key}": value for key, value in openai_clip(feature_dim).items()}
    return unused


def official_file(name: str, folder: Path, feature_dim: int = 16) -> Path:
    """Write weights as the authors do: their names, wrapped in ``module.``, with what we leave out."""
    source = find_method(name)
    method = small(source.METHOD.__name__, feature_dim)
    state = export_official(method.net, source.TABLE)
    state |= left_out(name, feature_dim)
    path = folder / "official.pkl"
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    return path


@METHODS
def test_round_trip_is_lossless(name: str, tmp_path: Path) -> None:
    source = find_method(name)
    state = read_official(official_file(name, tmp_path))
    method = source.METHOD(**source.init_args(state))
    dropped = load_official(method.net, state, source.TABLE)
    assert sorted(dropped) == sorted(left_out(name, 16))
    back = export_official(method.net, source.TABLE)
    assert set(back) == set(state) - set(dropped)
    assert all(torch.equal(value, state[key]) for key, value in back.items())


@METHODS
def test_an_imported_checkpoint_is_tested_like_any_other(
    name: str, prepared_store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    official, checkpoint = official_file(name, tmp_path), tmp_path / "imported.ckpt"
    assert main(["import-weights", "--method", name, str(official), "-o", str(checkpoint)]) == 0
    told = capfd.readouterr().out
    assert find_method(name).METHOD.__name__ in told
    assert all(f"{prefix} (" in told for prefix in find_method(name).TABLE.dropped)
    where = ["--data.store", str(prepared_store), "--output", str(tmp_path)]
    assert main(["test", "--ckpt_path", str(checkpoint), *where]) == 0


@METHODS
def test_weights_of_another_method_are_refused_by_name(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = "ur_dmu" if name != "ur_dmu" else "rtfm"
    official, checkpoint = official_file(other, tmp_path), tmp_path / "imported.ckpt"
    assert main(["import-weights", "--method", name, str(official), "-o", str(checkpoint)]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert name in error or "parameter" in error
    assert not checkpoint.exists()
