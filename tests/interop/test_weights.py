from pathlib import Path

import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop import KeyTable, export_official, load_official, read_official
from wsvad_lightning.interop.urdmu import TABLE, init_args
from wsvad_lightning.methods.base.dual_memory import DualMemoryNet


def small_net() -> DualMemoryNet:
    return DualMemoryNet(6, hidden_dim=8, abnormal_slots=5, normal_slots=4, mlp_dim=8, score_dim=4)


def test_round_trip_is_lossless(tmp_path: Path) -> None:
    source, target = small_net(), small_net()
    official = export_official(source, TABLE)
    torch.save({f"module.{name}": value for name, value in official.items()}, tmp_path / "official.pkl")
    assert load_official(target, read_official(tmp_path / "official.pkl"), TABLE) == []
    for name, value in source.state_dict().items():
        assert torch.equal(value, target.state_dict()[name])


def test_sizes_are_read_off_the_weights() -> None:
    official = export_official(small_net(), TABLE)
    assert init_args(official) == {"feature_dim": 6, "hidden_dim": 8, "abnormal_slots": 5, "normal_slots": 4}


def test_dropped_keys_are_named_and_wildcards_carried() -> None:
    table = KeyTable((("layers.*.fn.*.w", "blocks.*.*"),), dropped=("unused",))
    assert table.to_ours("layers.3.fn.query.w.weight") == "blocks.3.query.weight"
    assert table.to_authors("blocks.3.query.weight") == "layers.3.fn.query.w.weight"
    assert table.to_ours("unused.sigma") is None
    with pytest.raises(KeyError):
        table.to_ours("layers.3.fnquery.w")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("encoder_mu.0.bias"), "encoder_mu.0.bias.*lacks"),
        (lambda s: s.update({"extra.weight": torch.zeros(1)}), "extra.weight.*no such parameter"),
        (lambda s: s.update({"encoder_mu.0.bias": torch.zeros(3)}), r"shape is \(3,\).*expects \(8,\)"),
        (lambda s: s.update({"encoder_mu.0.gain": torch.zeros(8)}), "encoder_mu.0.gain.*no such parameter"),
    ],
)
def test_a_misfit_is_named_and_changes_nothing(change: object, message: str) -> None:
    net = small_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    official = export_official(small_net(), TABLE)
    change(official)  # type: ignore[operator]  # a lambda of the table above
    with pytest.raises(WSVADError, match=message):
        load_official(net, official, TABLE)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict"])
def test_a_checkpoint_of_a_training_is_unwrapped(key: str, tmp_path: Path) -> None:
    state = {"encoder.weight": torch.ones(2)}
    torch.save({"epoch": 3, key: state, "optimizer_state_dict": {}}, tmp_path / "checkpoint.pth")
    assert read_official(tmp_path / "checkpoint.pth").keys() == state.keys()


class Payload:
    """What an unsafe pickle would execute."""


def test_only_tensors_are_read(tmp_path: Path) -> None:
    torch.save({"weight": Payload()}, tmp_path / "unsafe.pkl")
    with pytest.raises(WSVADError, match=r"not a file of tensors \(it asks for .*Payload, which is neither"):
        read_official(tmp_path / "unsafe.pkl")
    torch.save({"epoch": 3}, tmp_path / "numbers.pkl")
    with pytest.raises(WSVADError, match="not a state dict"):
        read_official(tmp_path / "numbers.pkl")
    with pytest.raises(WSVADError, match="no such file"):
        read_official(tmp_path / "absent.pkl")
