from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from torch._utils import _rebuild_tensor_v2

from wsvad_lightning.checkpoint import (
    CHECKSUMS_KEY,
    changed_settings,
    content_checksum,
    read_checkpoint,
    read_official,
    sealed,
)
from wsvad_lightning.errors import WSVADError

# ---------------------------------------------------------------------------------------- checksums


def content() -> dict[str, Any]:
    """Kinds of values that a checkpoint holds."""
    return {
        "state_dict": {
            "a": torch.randn(4, 3),
            "half": torch.ones(2, dtype=torch.bfloat16),
            "n": torch.tensor(3),
        },
        "optimizer_states": [
            {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 0.999)}]}
        ],
        "epoch": 0,
        "nothing": None,
        "undefined": float("nan"),
    }


def saved(folder: Path, checkpoint: dict[str, Any]) -> Path:
    path = folder / "sealed.ckpt"
    torch.save(checkpoint, path)
    return path


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    checkpoint = sealed(content())
    read = read_checkpoint(saved(tmp_path, checkpoint))
    assert read.keys() == {*content(), CHECKSUMS_KEY}
    assert sealed(read)[CHECKSUMS_KEY] == checkpoint[CHECKSUMS_KEY]
    assert read_checkpoint(saved(tmp_path, content())).keys() == content().keys()  # as older ones


def test_weights_and_states_are_compared(tmp_path: Path) -> None:
    checkpoint = sealed(content())
    for name, value in {
        "state_dict": {},
        "optimizer_states": [],
        "undefined": 0.0,
        "nothing": "None",
    }.items():
        with pytest.raises(WSVADError, match=f"its entry '{name}' is not what was written"):
            read_checkpoint(saved(tmp_path, {**checkpoint, name: value}))
    for name in ("undefined", "nothing"):
        with pytest.raises(WSVADError, match=f"its entry '{name}' is missing"):
            read_checkpoint(saved(tmp_path, {k: v for k, v in checkpoint.items() if k != name}))
    with pytest.raises(WSVADError, match="its checksums are not what"):
        read_checkpoint(saved(tmp_path, {**checkpoint, CHECKSUMS_KEY: [1]}))
    checkpoint.pop("optimizer_states")  # left out to share the model
    assert "optimizer_states" not in read_checkpoint(saved(tmp_path, checkpoint))


def test_changed_settings_are_named(tmp_path: Path) -> None:
    checkpoint = sealed({**content(), "method": "URDMU", "transform": {"clip": 1.0}})
    assert changed_settings(checkpoint) == []
    del checkpoint["transform"]
    read = read_checkpoint(saved(tmp_path, {**checkpoint, "method": "Mine", "epoch": 1}))
    assert changed_settings(read) == ["method", "transform", "epoch"]
    assert changed_settings(content()) == []


def test_every_byte_of_the_file_counts(tmp_path: Path) -> None:
    path = saved(tmp_path, content())
    whole = path.read_bytes()
    for part in ("data.pkl", "data/0"):
        with ZipFile(path) as archive:
            place = whole.index(archive.read(f"sealed/{part}"))
        path.write_bytes(whole[: place + 5] + bytes([whole[place + 5] ^ 1]) + whole[place + 6 :])
        with pytest.raises(WSVADError, match=f"(Bad CRC-32 for file .|its part )sealed/{part}"):
            read_checkpoint(path)
        path.write_bytes(whole)


def test_every_bit_of_a_tensor_counts() -> None:
    values = torch.zeros(3)
    sums = {content_checksum(values)}
    for other in (
        values.double(),
        values.view(3, 1),
        torch.tensor([0.0, -0.0, 0.0]),
        [0.0] * 3,
        values.bool(),
    ):
        sums.add(content_checksum(other))
    assert len(sums) == 6
    assert content_checksum(torch.arange(6).view(2, 3).T) == content_checksum(
        torch.tensor([[0, 3], [1, 4], [2, 5]])
    )


# ------------------------------------------------------------------- files that declare more than they hold


class Call:
    """What a pickle calls."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def storage() -> Any:
    return torch.zeros(4)._typed_storage()  # type: ignore[no-untyped-call]  # of PyTorch


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def shared(levels: int) -> Any:
    """A list that takes little in a file, and twice as much in each level when it is gone through."""
    value: Any = 0
    for _ in range(levels):
        value = [value, value]
    return value


HUGE = 10**10
BOMBS: list[tuple[str, Callable[[], Any], str]] = [
    ("values", lambda: Call(_rebuild_tensor_v2, storage(), 0, (HUGE,), (1,), False, {}), "resize"),
    (
        "steps",
        lambda: Call(_rebuild_tensor_v2, storage(), 0, (HUGE,), (0,), False, {}),
        "larger than the file",
    ),
    ("memory", lambda: Call(torch.Tensor, HUGE), "larger than the file|allocate"),
    ("bytes", lambda: Call(bytearray, HUGE), "array of bytes"),
    ("levels", lambda: nested(200), "nested"),
    ("shared", lambda: shared(40), "more space than the file"),
    ("sparse", lambda: torch.eye(2).to_sparse(), "not plain"),
    ("meta", lambda: torch.empty(HUGE, device="meta"), "not plain"),
]


@pytest.mark.parametrize(("make", "reason"), [bomb[1:] for bomb in BOMBS], ids=[bomb[0] for bomb in BOMBS])
def test_a_file_that_declares_more_than_it_holds_is_refused(
    make: Callable[[], Any], reason: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, {"state_dict": {"a": make()}})
    for read in (read_checkpoint, read_official):
        with pytest.raises(WSVADError, match=reason):
            read(path)


def test_packed_entries_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": {"a": torch.zeros(100_000)}})
    with ZipFile(path) as plain, ZipFile(tmp_path / "packed.ckpt", "w", ZIP_DEFLATED) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    with pytest.raises(WSVADError, match="more space than the file"):
        read_checkpoint(tmp_path / "packed.ckpt")
