"""A shared store is what it was, with a card that says where its features come from."""

from pathlib import Path

import pytest
import yaml

from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.shared import CARD


def share(store: Path, folder: Path, licence: str = "cc-by-4.0") -> int:
    return main(["data", "share", str(store), "-o", str(folder), "--license", licence])


def test_the_store_is_the_same_and_the_card_counts(tmp_path: Path) -> None:
    store = make_store(tmp_path / "gate.h5", dim=6, crops=2, classes=("fall", "fight"), train=3, test=2)
    assert share(store, tmp_path / "out") == 0
    opened, own = FeatureStore(tmp_path / "out" / "gate.h5"), FeatureStore(store)
    assert opened.checksum() == own.checksum()
    assert main(["data", "verify", str(tmp_path / "out" / "gate.h5")]) == 0
    card = (tmp_path / "out" / CARD).read_text("utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "cc-by-4.0"
    assert front["pretty_name"] == "gate.h5"
    frames = sum(own[name].num_frames for name in own if own[name].annotation.split == "train")
    assert f"| train | 3 | 3 | 0 | {frames:,} |" in card
    assert "| features | 6 | 2 |" in card
    assert own.checksum() in card
    assert f"* snippet_length: {own.provenance.snippet_length}" in card
    assert "* fall:" in card


def test_no_path_of_this_machine_is_in_the_card(tmp_path: Path) -> None:
    weights = str(tmp_path / "secret" / "weights.pt")
    recipe = Provenance(
        "clip", "video files", 16, 16, preprocessing=f'{{"features": {{"weights": "{weights}"}}}}'
    )
    plain = FeatureStore(make_store(tmp_path / "plain.h5", dim=6, train=1, test=1))
    with StoreWriter(tmp_path / "a.h5", recipe) as writer:
        for name in plain:
            record = plain[name]
            arrays = {"features": plain.read(name)}
            writer.add(record.annotation, arrays, num_frames=record.num_frames, fps=record.fps)
    assert share(tmp_path / "a.h5", tmp_path / "out") == 0
    card = (tmp_path / "out" / CARD).read_text("utf-8")
    assert "weights: weights.pt" in card
    assert "secret" not in card


def test_mistakes_leave_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path / "a.h5", dim=6, train=1, test=1)
    assert share(store, tmp_path / "out", licence=" ") == 2
    assert "--license=' ': is empty. Name the licence of features and annotations" in capfd.readouterr().err
    assert share(tmp_path / "b.h5", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    assert share(store, tmp_path / "full") == 2
    assert "is not an empty folder" in capfd.readouterr().err
