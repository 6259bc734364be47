import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import MiniBatchDictionaryLearning

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import Provenance, StoreWriter
from wsvad_lightning.data.store.artefacts import read_artefact
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.prepare.s3r_dictionary import learn_atoms, prepare, video_means


def means_of(videos: int, channels: int) -> np.ndarray:
    return np.abs(np.random.default_rng(videos).standard_normal((videos, channels)))


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(make_store(tmp_path / "store.h5", train=10, test=1, dim=24, crops=3))


# ------------------------------------------------------------------------------------------ the learner


def test_atoms_are_those_of_the_learner_itself() -> None:
    """3,200 channels are 100 batches of 32: there, one pass of ``fit`` is what the authors' version does."""
    means = means_of(12, 3200)
    learner = MiniBatchDictionaryLearning(
        6,
        alpha=1,
        batch_size=32,
        max_iter=1,
        tol=0,
        max_no_improvement=None,
        transform_algorithm="omp",
        transform_n_nonzero_coefs=2,
        random_state=42,
    )
    np.testing.assert_array_equal(
        learn_atoms(means, 0.5), learner.fit_transform(means.T).T.astype(np.float32)
    )


def test_no_channel_is_in_more_than_two_atoms() -> None:
    atoms = learn_atoms(means_of(10, 48), 0.9)
    assert atoms.shape == (9, 48)
    assert atoms.dtype == np.float32
    assert (np.count_nonzero(atoms, axis=0) <= 2).all()
    assert np.isfinite(atoms).all()
    np.testing.assert_array_equal(atoms, learn_atoms(means_of(10, 48), 0.9))


@pytest.mark.parametrize(
    ("videos", "channels", "atoms"), [(1, 5, 1), (2, 30, 1), (3, 4, 2), (40, 8, 20), (10, 1, 5)]
)
@pytest.mark.parametrize("hazard", ["random", "zero", "constant", "the same video"])
def test_few_videos_or_channels_give_finite_atoms(
    videos: int, channels: int, atoms: int, hazard: str
) -> None:
    means = means_of(videos, channels)
    if hazard == "zero":
        means[:] = 0
    elif hazard == "constant":
        means[:] = 3
    elif hazard == "the same video":
        means[:] = means[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learnt = learn_atoms(means, 0.5)
    assert learnt.shape == (atoms, channels)
    assert np.isfinite(learnt).all()


# ------------------------------------------------------------------------------------------- the videos


def test_a_video_is_the_mean_of_its_segments_and_views(tmp_path: Path) -> None:
    """Of 64 snippets, two a segment, the plain mean; of 33, the segment of two snippets counts as one."""
    rng = np.random.default_rng(0)
    long, odd = rng.standard_normal((64, 2, 3)), rng.standard_normal((33, 2, 3))
    with StoreWriter(tmp_path / "s.h5", Provenance("made", "test", 16, 16)) as writer:
        for name, label, array in [("long", 0, long), ("odd", 0, odd), ("abnormal", 1, 1e3 * odd)]:
            annotation = VideoAnnotation(name, label, split="train")
            features = {"features": array.astype(np.float32)}
            writer.add(annotation, features, num_frames=16 * len(array), fps=25.0)
    means = video_means(WSVADDataModule(str(tmp_path / "s.h5")))
    last = (odd[:31].sum(axis=0) + odd[31:].mean(axis=0)) / 32
    np.testing.assert_allclose(means, [long.mean(axis=(0, 1)), last.mean(axis=0)], atol=1e-6)


def test_videos_are_read_as_the_method_sees_them(store: str) -> None:
    plain, scaled = WSVADDataModule(store), WSVADDataModule(store, normalize="zscore", pca_dim=5)
    assert video_means(plain).shape == (10, 24)
    assert video_means(scaled).shape == (10, 5)
    np.testing.assert_allclose(video_means(scaled).mean(axis=0), 0, atol=0.2)


# ---------------------------------------------------------------------------------------- the artefact


def test_prepared_once_and_reported_how(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = WSVADDataModule(store)
    path = prepare(data, fraction=0.9)
    made = read_artefact(path)
    assert made.values.shape == (9, 24)
    assert made.videos == tuple(f"train_normal_{i:03d}" for i in range(10))
    assert made.parameters == {"fraction": 0.9}
    assert made.settings["normalize"] == "none"
    assert made.versions.keys() == {"wsvad-lightning", "numpy", "scikit-learn"}
    stamp = path.stat().st_mtime_ns
    capsys.readouterr()
    assert prepare(WSVADDataModule(store), fraction=0.9) == path
    assert "is used" in " ".join(capsys.readouterr().out.split())
    assert path.stat().st_mtime_ns == stamp


def test_another_fraction_is_not_passed_off_as_the_one_asked_for(store: str) -> None:
    prepare(WSVADDataModule(store), fraction=0.9)
    with pytest.raises(WSVADError, match="was prepared with .*0.9.*not with .*0.5.*remove the file"):
        prepare(WSVADDataModule(store), fraction=0.5)


def test_atoms_of_the_authors_are_taken_as_they_are(store: str, tmp_path: Path) -> None:
    atoms = means_of(7, 24)
    np.save(tmp_path / "official.npy", atoms)
    path = prepare(WSVADDataModule(store), dictionary=str(tmp_path / "official.npy"))
    np.testing.assert_array_equal(read_artefact(path).values, atoms.astype(np.float32))
    assert read_artefact(path).parameters["dictionary"] == "official.npy"
    assert prepare(WSVADDataModule(store), dictionary=str(tmp_path / "official.npy")) == path
    np.save(tmp_path / "official.npy", 2 * atoms)
    with pytest.raises(WSVADError, match="was prepared with"):
        prepare(WSVADDataModule(store), dictionary=str(tmp_path / "official.npy"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (np.zeros((24, 7)), r"\(24, 7\).*24 channels.*shape \[S, 24\]"),
        (np.zeros((0, 24)), r"\(0, 24\)"),
        (np.zeros(24), r"\(24,\)"),
        (b"no array", "cannot be read"),
        (None, "cannot be read"),
    ],
    ids=["transposed", "no atoms", "one vector", "text", "absent"],
)
def test_other_files_are_refused(
    store: str, tmp_path: Path, content: np.ndarray | bytes | None, problem: str
) -> None:
    path = tmp_path / "official.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    data = WSVADDataModule(store)
    with pytest.raises(WSVADError, match=f"model.dictionary=.*official.npy.*{problem}"):
        prepare(data, dictionary=str(path))
    assert not data.prepared_path("s3r_dictionary").parent.exists()


def test_mistakes_are_named(store: str, tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="model.fraction='1.5'.*at most 1"):
        prepare(WSVADDataModule(store), fraction=1.5)
    split = tmp_path / "split.json"
    split.write_text('{"train": ["train_abnormal_000"], "test": ["test_normal_000"]}')
    with pytest.raises(WSVADError, match="split.json.*no normal video"):
        prepare(WSVADDataModule(store, split=str(split)))
    assert not Path(f"{store}.prepared").exists()
