"""Videos that are like those of the training, and others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.familiarity import FEWEST, LIMIT, PREFIX, Familiarity, evenly
from wsvad_lightning.data.loading.transform import Streams
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo
from wsvad_lightning.video.views import patch_views

GRID = tuple(view.name for view in patch_views(2, 2))
STREAMS = {"crops": StreamInfo(30, ("a", "b", "c")), "grid": StreamInfo(40, GRID)}
PLACES = np.linspace(0.5, 3, 160).reshape(4, 40)  # how much moves in each cell


def video(seed: int) -> dict[str, NDArray[Any]]:
    """Heavy tails, and a level of its own, as motion has; negative values in one stream."""
    rng = np.random.default_rng(seed)
    snippets = int(rng.integers(5, 80))
    level = np.exp(0.3 * rng.normal())
    grid = level * PLACES * np.exp(rng.normal(size=(snippets, 4, 40)))
    return {"crops": rng.normal(size=(snippets, 3, 30)).astype(np.float32), "grid": grid}


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    fitted = Familiarity(STREAMS)
    fitted.fit(video(seed) for seed in range(40))
    return fitted


def share_named(familiarity: Familiarity, change: Callable[[int], Streams], count: int) -> float:
    return float(np.mean([(familiarity.novelty(change(1000 + i)) or 0.0) > LIMIT for i in range(count)]))


def moved(seed: int) -> Streams:
    """The same with offsets: another encoder."""
    return {name: part + 1.5 * np.sin(np.arange(part.shape[-1])) for name, part in video(seed).items()}


def turned(seed: int) -> dict[str, NDArray[Any]]:
    """The same with the cells of the grid in another order: another view."""
    return {name: part[:, ::-1] for name, part in video(seed).items()}


def flattened(seed: int) -> Streams:
    """The same with extremes nearer to the median of each cell, with what moves where as it was: a codec."""
    streams = video(seed)
    usual = np.median(streams["grid"], axis=(0, 2), keepdims=True)
    return streams | {"grid": usual * (streams["grid"] / usual) ** 0.2}


def test_others_are_named_and_usual_videos_are_not(familiarity: Familiarity) -> None:
    assert share_named(familiarity, video, 200) <= 0.01
    assert share_named(familiarity, moved, 20) == 1
    assert share_named(familiarity, turned, 20) == 1
    assert share_named(familiarity, flattened, 20) == 1


def dropped(seed: int) -> Streams:
    """The same with the smallest values nearer to 0: a codec that drops what hardly moves."""
    streams = video(seed)
    small = streams["grid"] < 0.3 * np.median(streams["grid"])
    return streams | {"grid": np.where(small, 0.05, 1.0) * streams["grid"]}


def only(familiarity: Familiarity, *ways: str) -> Familiarity:
    """What compares in some of the ways, as a checkpoint of an earlier version does."""
    kept, names = Familiarity(STREAMS), tuple(f"{PREFIX}{way}/" for way in ways)
    kept.load_state_dict({n: v for n, v in familiarity.state_dict().items() if n.startswith(names)})
    return kept


def test_the_ways_find_different_changes(familiarity: Familiarity) -> None:
    changes = turned, flattened, dropped
    found = [
        [share_named(only(familiarity, way), change, 20) for change in changes] for way in ("places", "calm")
    ]
    assert found == [[1, 0, 0], [0, 1, 1]]


def test_crops_are_averaged_and_cells_are_not(familiarity: Familiarity) -> None:
    usual, other = video(3), turned(3)
    crops = familiarity.novelty(usual | {"crops": other["crops"]})
    assert crops == pytest.approx(familiarity.novelty(usual), abs=1e-6)
    assert abs((familiarity.novelty(usual | {"grid": other["grid"]}) or 0.0) - (crops or 0.0)) > 1


def test_statistics_travel_in_a_state(familiarity: Familiarity) -> None:
    state, other = familiarity.state_dict(), Familiarity(STREAMS)
    assert all(name.startswith(PREFIX) and values.dtype == torch.float32 for name, values in state.items())
    assert other.novelty(video(1)) is None
    other.load_state_dict(state)
    assert other.novelty(video(1)) == pytest.approx(familiarity.novelty(video(1)), abs=1e-3)
    with pytest.raises(WSVADError, match="are compared by statistics of"):
        Familiarity({"grid": STREAMS["grid"]}).load_state_dict(state)
    with pytest.raises(WSVADError, match="are compared by statistics of"):
        Familiarity(STREAMS).load_state_dict({name: values.double() for name, values in state.items()})
    other.load_state_dict({PREFIX + "scale": torch.ones(190)})  # of an earlier version
    assert other.novelty(video(1)) is None


def test_few_videos_say_nothing_and_constant_channels_do_not_matter() -> None:
    few, constant = Familiarity(STREAMS), Familiarity({"x": StreamInfo(3, ("full",))})
    few.fit(video(seed) for seed in range(FEWEST - 1))
    assert few.novelty(video(9)) is None
    assert few.state_dict() == {}
    rng = np.random.default_rng(0)
    still = [np.stack([rng.random(5), np.zeros(5), np.full(5, 7.0)], axis=-1)[:, None] for _ in range(FEWEST)]
    constant.fit({"x": values} for values in still)
    assert (constant.novelty({"x": still[0][:1]}) or 0.0) < LIMIT
    assert (constant.novelty({"x": still[0] + 1}) or 0.0) > LIMIT


def test_places_are_spread_evenly() -> None:
    assert evenly(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly(101, 5).tolist() == [0, 25, 50, 75, 100]


def test_the_data_module_compares_stored_videos_by_what_a_checkpoint_carries(tmp_path: Path) -> None:
    store, other = (str(make_store(tmp_path / f"{s}.h5", train=FEWEST // 2, test=4, seed=s)) for s in (0, 1))
    trained = WSVADDataModule(store, normalize="zscore")
    trained.setup("fit")
    tested = WSVADDataModule(other, normalize="zscore")
    tested.load_state_dict(trained.state_dict())
    assert tested.novelty("test_normal_000") == pytest.approx(
        trained._familiarity.novelty(tested._readers.features.read_stored("test_normal_000")), abs=1e-3
    )
    older = {name: values for name, values in trained.state_dict().items() if not name.startswith(PREFIX)}
    tested.load_state_dict(older)
    assert tested.novelty("test_normal_000") is None
