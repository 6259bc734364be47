from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from wsvad_lightning.checkpoint import take_part
from wsvad_lightning.errors import WSVADError


def part(width: int = 3) -> nn.Sequential:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(2, width), nn.Linear(width, 1))


def save(folder: Path, weights: dict[str, Any], method: str = "Other") -> Path:
    path = folder / "other.ckpt"
    torch.save({"method": method, "state_dict": weights}, path)
    return path


def weights_of(module: nn.Module, prefix: str = "net.encoder.") -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in module.state_dict().items()}


def take(module: nn.Module, path: Path, **settings: Any) -> None:
    take_part(module, path, "net.encoder", "model.start", **{"method": "Other", **settings})


def test_all_weights_of_the_part_are_taken_and_no_others(tmp_path: Path) -> None:
    source, target = part(), part()
    source[0].weight.data.fill_(7.0)
    take(target, save(tmp_path, {**weights_of(source), "net.head.weight": torch.ones(1)}))
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items())


def test_weights_that_are_new_keep_their_values(tmp_path: Path) -> None:
    source, target = part(), part()
    source[0].weight.data.fill_(7.0)
    kept = target[1].weight.clone()
    take(target, save(tmp_path, weights_of(source[0], "net.encoder.0.")), new="1.")
    assert torch.equal(target[1].weight, kept)
    assert torch.equal(target[0].weight, source[0].weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net.encoder.1.bias": None}, r"lacks net\.encoder\.1\.bias\. Give"),
        (
            {"net.encoder.2.bias": torch.ones(1)},
            r"has net\.encoder\.2\.bias, which does not belong there",
        ),
        (
            {"net.encoder.0.bias": torch.ones(4)},
            r"net\.encoder\.0\.bias of shape \[4\], not \[3\]\. Give",
        ),
        (
            {"net.encoder.1.bias": None, "net.encoder.2.bias": torch.ones(1)},
            r"lacks net\.encoder\.1\.bias \(1 more differ\)",
        ),
    ],
)
def test_what_differs_is_named_and_nothing_is_taken(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source, target = part(), part()
    source[0].weight.data.fill_(7.0)
    weights = {name: value for name, value in {**weights_of(source), **change}.items() if value is not None}
    before = target[0].weight.clone()
    with pytest.raises(WSVADError, match=f"^model.start=.*{message}"):
        take(target, save(tmp_path, weights))
    assert torch.equal(target[0].weight, before)


def test_another_method_and_a_missing_file_are_named_by_the_argument(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="^model.start=.*is of Third, not Other. Give a checkpoint of Other"):
        take(part(), save(tmp_path, weights_of(part()), method="Third"))
    with pytest.raises(WSVADError, match="^model.start=.*no such file"):
        take(part(), tmp_path / "none.ckpt")
