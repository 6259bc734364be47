"""Every key table: the authors' weights become a checkpoint and come back unchanged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.methods.small import small
from tests.methods.towers import openai_clip
from wsvad_lightning import methods
from wsvad_lightning.cli import main
from wsvad_lightning.interop import export_official, load_official, read_official
from wsvad_lightning.interop.command import find_method, known_methods
from wsvad_lightning.methods import FRDUVAD

SCORING = [name for name in known_methods() if find_method(name).METHOD.__name__ in methods.__all__]
METHODS = pytest.mark.parametrize("name", SCORING)


def left_out(name: str, feature_dim: int) -> dict[str, torch.Tensor]:
    """What else the authors' files hold: here with the parts that we read and do not keep."""
    unused = {f"{prefix}.weight": torch.zeros(2) for prefix in find_method(name).TABLE.dropped}
    if name in ("vadclip", "dsanet"):
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
    name: str, clip_store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    official, checkpoint = official_file(name, tmp_path), tmp_path / "imported.ckpt"
    assert main(["import-weights", "--method", name, str(official), "-o", str(checkpoint)]) == 0
    reported = " ".join(capfd.readouterr().out.split())
    assert find_method(name).METHOD.__name__ in reported
    assert all(f"{prefix} (" in reported for prefix in find_method(name).TABLE.dropped)
    where = ["--data.store", str(clip_store), "--output", str(tmp_path)]
    assert main(["test", "--ckpt_path", str(checkpoint), *where]) == 0


@METHODS
def test_weights_of_another_method_are_refused_by_name(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = "urdmu" if name != "urdmu" else "rtfm"
    official, checkpoint = official_file(other, tmp_path), tmp_path / "imported.ckpt"
    assert main(["import-weights", "--method", name, str(official), "-o", str(checkpoint)]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert name in error or "parameter" in error
    assert not checkpoint.exists()


# ------------------------------------------------------------------------------- files that do not fit

State = dict[str, torch.Tensor]


def cut(name: str, *places: slice) -> Callable[[State], None]:
    return lambda state: state.update({name: state[name][places]})


def deepen(state: State) -> None:
    layer = {name: value for name, value in state.items() if name.startswith("temporal.resblocks.0")}
    for number in "12":
        state |= {name.replace(".0.", f".{number}.", 1): value for name, value in layer.items()}


ALL = slice(None)
BAD: dict[str, tuple[Callable[[State], None], str]] = {
    "few tokens": (
        cut("clipmodel.token_embedding.weight", slice(500)),
        "weights='clipmodel.token_embedding.weight': has 500 rows, the tokens go up to 49407",
    ),
    "other prompts": (
        cut("text_prompt_embeddings.weight", ALL, slice(8)),
        "weights='clipmodel.token_embedding.weight': has width 16, the prompts 8",
    ),
    "other features": (
        cut("clipmodel.text_projection", ALL, slice(8)),
        "weights='clipmodel.text_projection': gives 8 channels, the features have 16",
    ),
    "no projection": (
        lambda state: state.update({"clipmodel.text_projection": torch.zeros(16)}),
        "weights='clipmodel': is not a complete copy of CLIP's text tower",
    ),
    "other length": (
        cut("frame_position_embeddings.weight", slice(100)),
        "weights='frame_position_embeddings.weight': has 100 rows, which is not a multiple of the window, 64",
    ),
    "deeper": (
        deepen,
        "weights='temporal.resblocks': has 3 layers, the authors' models 2 (UCF-Crime) or 1 (XD-Violence)",
    ),
    "flat": (
        lambda state: state.update({"frame_position_embeddings.weight": torch.zeros(256)}),
        "a parameter has another number of axes",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_broken_file_of_vadclip_is_refused_in_one_line(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    change, message = BAD[case]
    path, checkpoint = official_file("vadclip", tmp_path), tmp_path / "imported.ckpt"
    state = read_official(path)
    change(state)
    torch.save(state, path)
    capfd.readouterr()
    assert main(["import-weights", "--method", "vadclip", str(path), "-o", str(checkpoint)]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not checkpoint.exists()


SEVERAL = [name for name in SCORING if hasattr(find_method(name), "FILES")]


def files_of_networks(name: str, folder: Path) -> list[str]:
    """Write a file for each network, as the authors of some methods do."""
    state, paths = read_official(official_file(name, folder)), []
    for network in sorted(find_method(name).FILES):
        paths.append(str(folder / f"{network}.pkl"))
        own = [key for key in state if key.startswith(f"{network}.")]
        torch.save({key.removeprefix(f"{network}."): state[key] for key in own}, paths[-1])
    return paths


@pytest.mark.parametrize("name", SEVERAL)
def test_files_of_several_networks_are_joined(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files, output = files_of_networks(name, tmp_path), str(tmp_path / "joined.ckpt")
    assert main(["import-weights", *reversed(files), "--method", name, "-o", output]) == 0
    assert main(["import-weights", str(tmp_path / "official.pkl"), "--method", name, "-o", f"{output}2"]) == 0
    joined, whole = (torch.load(path, weights_only=True)["state_dict"] for path in (output, f"{output}2"))
    assert joined.keys() == whole.keys()
    assert all(torch.equal(value, whole[key]) for key, value in joined.items())
    capfd.readouterr()
    wrong = {
        f"is of {Path(files[0]).stem} alone": files[:1],
        f"is a second file of {Path(files[0]).stem}": [files[0], *files],
        "is of none of the networks": [files[0], str(official_file("rtfm", tmp_path))],
    }
    for message, given in wrong.items():
        assert main(["import-weights", *given, "--method", name, "-o", f"{output}3"]) == 2
        error = capfd.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not Path(f"{output}3").exists()


def test_an_auxiliary_scorer_may_have_the_layers_of_either_method(tmp_path: Path) -> None:
    source = find_method("frduvad")
    method = FRDUVAD(256, auxiliary_dims=(6, 4), depth=1, hidden_dims=(6, 4))
    state = export_official(method.net, source.TABLE)
    own = {name.replace("c2fpl.fc3", "c2fpl.classifier"): value for name, value in state.items()}
    assert own.keys() != state.keys()
    for given in (state, own):
        imported = source.METHOD(**source.init_args(given))
        load_official(imported.net, given, source.TABLE)
        assert all(torch.equal(v, imported.state_dict()[name]) for name, v in method.state_dict().items())


def test_a_method_of_one_file_takes_no_second(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = str(official_file("rtfm", tmp_path))
    assert main(["import-weights", file, file, "--method", "rtfm", "-o", str(tmp_path / "a.ckpt")]) == 2
    assert "weights of rtfm are one file" in capfd.readouterr().err


REPORTED = {
    "adplg": ("model.windows are 2, 4, 6 and 8", "if it was trained so"),
    "dsanet": ("taken for the model of XD-Violence", "heads of that tower: 1, as OpenAI's CLIP"),
    "vadclip": ("taken for the model of XD-Violence", "heads of that tower: 1, as OpenAI's CLIP"),
    "cliptsa": ("model.keep is 0.95, UCF-Crime's", "--model.keep 0.9 (XD-Violence) or 0.01 (ShanghaiTech)"),
}


@pytest.mark.parametrize("name", REPORTED)
def test_what_the_file_does_not_tell_is_said(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, checkpoint = official_file(name, tmp_path), tmp_path / "imported.ckpt"
    assert main(["import-weights", "--method", name, str(path), "-o", str(checkpoint)]) == 0
    reported = " ".join(capfd.readouterr().out.split())
    assert all(part in reported for part in REPORTED[name])
