"""Weights of another checkpoint: a part as a whole, or whatever fits by name and shape."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.start import take_fitting, take_part


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)


def save(folder: Path, weights: dict[str, Any], method: str = "Other") -> Path:
    path = folder / "other.ckpt"
    torch.save({"method": method, "state_dict": weights}, path)
    return path


def weights_of(module: nn.Module, prefix: str = "net.encoder.") -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


def take(module: nn.Module, path: Path, **settings: Any) -> None:
    take_part(module, path, "net.encoder", "model.start", **{"method": "Other", **settings})


def test_all_weights_of_the_part_are_taken_and_no_others(tmp_path: Path) -> None:
    source, target = Part(), Part()
    source.first.weight.data.fill_(7.0)
    take(target, save(tmp_path, {**weights_of(source), "net.head.weight": torch.ones(1)}))
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())


def test_weights_that_are_new_keep_their_values(tmp_path: Path) -> None:
    source, target = Part(), Part()
    source.first.weight.data.fill_(7.0)
    kept = target.second.weight.clone()
    take(target, save(tmp_path, weights_of(source.first, "net.encoder.first.")), new="second.")
    assert torch.equal(target.second.weight, kept)
    assert torch.equal(target.first.weight, source.first.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net.encoder.second.bias": None}, r"lacks net\.encoder\.second\.bias\. Give"),
        (
            {"net.encoder.third.bias": torch.ones(1)},
            r"has net\.encoder\.third\.bias, which does not belong there",
        ),
        (
            {"net.encoder.first.bias": torch.ones(4)},
            r"net\.encoder\.first\.bias of shape \[4\], not \[3\]\. Give",
        ),
        (
            {"net.encoder.second.bias": None, "net.encoder.third.bias": torch.ones(1)},
            r"lacks net\.encoder\.second\.bias \(1 more differ\)",
        ),
    ],
)
def test_what_differs_is_named_and_nothing_is_taken(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source, target = Part(), Part()
    source.first.weight.data.fill_(7.0)
    weights = {name: value for name, value in {**weights_of(source), **change}.items() if value is not None}
    before = target.first.weight.clone()
    with pytest.raises(WSVADError, match=f"^model.start=.*{message}"):
        take(target, save(tmp_path, weights))
    assert torch.equal(target.first.weight, before)


def test_another_method_and_a_missing_file_are_named_by_the_argument(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="^model.start=.*is of Third, not Other. Give a checkpoint of Other"):
        take(Part(), save(tmp_path, weights_of(Part()), method="Third"))
    with pytest.raises(WSVADError, match="^model.start=.*no such file"):
        take(Part(), tmp_path / "none.ckpt")


# ------------------------------------------------------------------------------------- whatever fits


class Method(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.net = nn.ModuleDict({"encoder": nn.Linear(2, width), "head": nn.Linear(width, 1)})


def filled(value: float, width: int = 3) -> Method:
    method = Method(width)
    for parameter in method.parameters():
        parameter.data.fill_(value)
    return method


def test_what_fits_is_taken_and_the_rest_is_named(tmp_path: Path) -> None:
    weights = filled(7.0, width=4).state_dict()
    weights |= {"net.old.weight": torch.ones(1), "net.head.bias": torch.full((1,), 7.0)}
    del weights["net.encoder.bias"]
    target = filled(1.0)
    compared = take_fitting(target, save(tmp_path, weights, "Mine"), method="Mine")
    assert compared.fitting == ["net.head.bias"]
    assert {name: float(value.mean()) for name, value in target.state_dict().items()} == {
        "net.encoder.weight": 1.0,
        "net.encoder.bias": 1.0,
        "net.head.weight": 1.0,
        "net.head.bias": 7.0,
    }
    first, second = compared.lines("a.ckpt")
    assert first == "1 of 4 weights start from a.ckpt"
    assert second == (
        "note: new here: net.encoder.bias; left out: net.old.weight; new, as they have another shape: "
        "net.encoder.weight of shape [4, 2], not [3, 2], net.head.weight of shape [1, 4], not [1, 3]"
    )


def test_all_that_fits_is_said_in_one_line(tmp_path: Path) -> None:
    compared = take_fitting(filled(1.0), save(tmp_path, filled(7.0).state_dict(), "Mine"), method="Mine")
    assert [*compared.lines("a.ckpt")] == ["4 of 4 weights start from a.ckpt"]


def test_a_part_may_be_of_another_method(tmp_path: Path) -> None:
    target, path = filled(1.0), save(tmp_path, filled(7.0).state_dict(), "Theirs")
    with pytest.raises(WSVADError, match="--init_from=.*is of Theirs, not Mine. .*part of both by --init_p"):
        take_fitting(target, path, method="Mine")
    take_fitting(target, path, method="Mine", part="net.encoder")
    means = {name: float(value.mean()) for name, value in target.state_dict().items()}
    assert (means["net.encoder.weight"], means["net.head.weight"]) == (7.0, 1.0)
    with pytest.raises(WSVADError, match="--init_part='net.enc': is not a part of Mine"):
        take_fitting(target, path, method="Mine", part="net.enc")
    lacking = save(tmp_path, {"net.head.bias": torch.ones(1)}, "Theirs")
    with pytest.raises(WSVADError, match="--init_part='net.encoder': is not a part of .*other.ckpt"):
        take_fitting(target, lacking, method="Mine", part="net.encoder")


def test_nothing_that_fits_and_no_file_are_refused(tmp_path: Path) -> None:
    target = filled(1.0)
    with pytest.raises(WSVADError, match="--init_from=.*has no weight of a name and shape"):
        take_fitting(target, save(tmp_path, {"other": torch.ones(1)}, "Mine"), method="Mine")
    with pytest.raises(WSVADError, match="--init_from='none.ckpt': no such file"):
        take_fitting(target, "none.ckpt", method="Mine")
    assert all(bool((value == 1).all()) for value in target.parameters())
