from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.artefacts import Artefact, artefacts_of, read_artefact, write_artefact
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.data.store.verify import info
from wsvad_lightning.errors import WSVADError

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def artefact(videos: tuple[str, ...] = ("a", "b")) -> Artefact:
    return Artefact(VALUES, videos, {"clip": 2.5, "streams": ["flow"]}, {"fraction": 0.5}, {"numpy": "2.0"})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store.h5", train=4, test=1, dim=3, crops=2)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x-1.h5"
    many = tuple(f"a video with a long name, number {i}" for i in range(5000))  # more than an attribute holds
    write_artefact(path, artefact(many))
    found = read_artefact(path)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.values.dtype == np.float32
    assert found.videos == many
    assert found.settings == {"clip": 2.5, "streams": ["flow"]}
    assert (found.parameters, found.versions) == ({"fraction": 0.5}, {"numpy": "2.0"})
    assert [file.name for file in path.parent.iterdir()] == ["x-1.h5"]


def test_a_damaged_artefact_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x-1.h5"
    write_artefact(path, artefact())
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(WSVADError, match="x-1.h5.*cannot be read.*Remove it and prepare it again"):
        read_artefact(path)


def test_an_artefact_belongs_to_the_features_as_delivered(store: Path, tmp_path: Path) -> None:
    """Whatever changes what is computed changes the file; what does not, does not."""
    split = tmp_path / "split.json"
    split.write_text('{"train": ["train_normal_000", "train_abnormal_000"], "test": ["test_normal_000"]}')
    other = make_store(tmp_path / "other" / "store.h5", train=4, test=1, dim=3, crops=2, seed=1)

    def key(path: Path = store, **settings: Any) -> str:
        return WSVADDataModule(str(path), **settings).prepared_path("x").name

    changed = [
        key(),
        key(other),
        key(split=str(split)),
        key(normalize="l2"),
        key(clip=1.0),
        key(crops="mean"),
        key(pca_dim=2),
        key(val_fraction=0.3),
        key(val_fraction=0.3, seed=1),
    ]
    assert len(set(changed)) == len(changed)
    same = {
        key(segments=8),
        key(sampling="linear"),
        key(batch_size=1),
        key(crops="each"),
        key(crops="random"),
    }
    assert same == {key()}


def test_it_does_not_depend_on_where_the_videos_lie(tmp_path: Path) -> None:
    """A store may move, and grow by videos that nothing is computed from."""
    first = make_store(tmp_path / "a" / "s.h5", train=2, test=1, dim=3)
    moved = tmp_path / "b" / "t.h5"
    moved.parent.mkdir()
    moved.write_bytes(first.read_bytes())
    paths = [WSVADDataModule(str(path)).prepared_path("x") for path in (first, moved)]
    assert paths[0].name == paths[1].name
    assert [path.parent for path in paths] == [Path(f"{store}.prepared") for store in (first, moved)]


def test_the_data_module_gives_what_was_prepared(store: Path) -> None:
    data = WSVADDataModule(str(store))
    assert data.prepared("x") is None
    write_artefact(data.prepared_path("x"), artefact())
    values = data.prepared("x")
    assert values is not None
    np.testing.assert_array_equal(values.numpy(), VALUES)
    assert data.prepared("y") is None
    assert WSVADDataModule(str(store), clip=1.0).prepared("x") is None


def test_of_several_stores_it_lies_beside_the_first(tmp_path: Path) -> None:
    first = make_store(tmp_path / "one.h5", train=2, test=1, dim=3)
    shards = [str(first), str(make_store(tmp_path / "two.h5", train=0, test=2, dim=3, seed=5))]
    with pytest.raises(WSVADError, match="in other stores too"):  # the names of the test videos
        WSVADDataModule(shards).prepared_path("x")
    alone = WSVADDataModule([str(first)])
    assert alone.prepared_path("x").parent == Path(f"{first}.prepared")


def test_info_lists_what_is_prepared(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    info(str(store))
    assert "prepared" not in capsys.readouterr().out
    path = WSVADDataModule(str(store)).prepared_path("x")
    write_artefact(path, artefact())
    assert artefacts_of(FeatureStore(store)) == [path]
    info(str(store))
    shown = capsys.readouterr().out
    for words in (path.name, "2 x 3", "clip 2.5, streams ['flow']", "fraction 0.5"):
        assert words in shown
