from pathlib import Path

import numpy as np

from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store


def test_the_same_seed_gives_the_same_store(tmp_path: Path) -> None:
    stores = [
        make_store(tmp_path / f"{i}.h5", train=2, test=1, seed=seed) for i, seed in enumerate((5, 5, 6))
    ]
    first, same, other = (FeatureStore(path).checksum() for path in stores)
    assert first == same != other


def test_videos_are_as_asked(tmp_path: Path) -> None:
    path = make_store(
        tmp_path / "s.h5",
        train=3,
        test=2,
        dim=4,
        crops=3,
        lengths=(1, 9),
        classes=("fire", "fight"),
        streams=("features", "flow"),
        dtype="float16",
        snippet_length=8,
    )
    store = FeatureStore(path)
    assert len(store) == 10
    assert store.classes == ("fight", "fire")
    assert set(store.streams) == {"features", "flow"}
    for video_id in store:
        record = store[video_id]
        split, label, _ = video_id.split("_")
        assert record.annotation.split == split
        assert record.annotation.label == (label == "abnormal")
        assert 1 <= record.num_snippets <= 9
        assert record.num_snippets == -(-record.num_frames // 8)
        features = store.read(video_id, "flow")
        assert features.shape == (record.num_snippets, 3, 4)
        assert features.dtype == np.float16


def test_anomalous_snippets_differ_from_the_rest_of_their_video(tmp_path: Path) -> None:
    store = FeatureStore(make_store(tmp_path / "s.h5", train=20, test=0, dim=8, lengths=(30, 60)))
    for video_id in store:
        annotation = store[video_id].annotation
        assert annotation.intervals is not None
        if not annotation.intervals:
            continue
        ((start, end),) = annotation.intervals
        inside = np.zeros(store[video_id].num_snippets, dtype=bool)
        inside[start // 16 : -(-end // 16)] = True
        assert inside.mean() >= 1 / 3
        if (~inside).sum() >= 10:
            features = store.read(video_id)[:, 0]
            assert np.linalg.norm(features[inside].mean(axis=0) - features[~inside].mean(axis=0)) > 2
