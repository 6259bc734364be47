"""The dictionary of S3R: atoms of the features of normal training videos (Wu et al., ECCV 2022).

Every normal training video becomes one vector, the mean of its features over views and segments. A dictionary
is learnt from these vectors, transposed: D samples, the channels, of V values, one per video. S3R does not
use the learnt components but the sparse code of the channels, transposed: atoms ``[S, D]`` in which no
channel has more than two values.

The learner is that of the authors: mini-batch dictionary learning with a penalty of 1 (Mairal et al., ICML
2009), then orthogonal matching pursuit. It takes 100 batches of 32 channels, in one shuffled order that is
repeated. The ``fit`` of the authors' scikit-learn (0.24) counted batches; today's counts passes and may stop
early. So the batches are passed one by one here, from the same start and in the same order. How a batch
updates the atoms was corrected in scikit-learn 1.0, so that newly learnt atoms differ from the authors'.
"""

import warnings
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from wsvad_lightning.data.datasets.limits import read_npy
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.sampling import mean_bins
from wsvad_lightning.data.store.layout import checksum
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.prepare.once import prepare_once

NAME = "s3r_dictionary"
SEGMENTS = 32
BATCHES = 100
BATCH_SIZE = 32
NONZERO = 2
SEED = 42
COPIED_BY = ("wsvad-lightning",)
LEARNT_BY = (*COPIED_BY, "numpy", "scikit-learn")


def prepare(data: WSVADDataModule, fraction: float = 0.5, dictionary: str | None = None) -> Path:
    """Put the dictionary of the normal training videos next to their store, unless it is there.

    Args:
        data: gives the videos, and what is done to their features.
        fraction: atoms for every normal training video.
        dictionary: ``.npy`` file of atoms ``[S, D]`` to take instead, such as the authors'.

    Returns:
        The file.

    Raises:
        WSVADError: without normal training videos, or if the given atoms do not fit, a dictionary was
            prepared in another way, scikit-learn is missing, or the folder cannot be written.
    """
    if not 0 < fraction <= 1:
        raise WSVADError("model.fraction", fraction, "must be in (0, 1]", "Give more than 0 and at most 1")
    given = None if dictionary is None else read_atoms(dictionary, data.feature_dim)
    if given is not None:
        parameters = {"dictionary": Path(str(dictionary)).name, "checksum": checksum(given)}
        return prepare_once(data, NAME, parameters, COPIED_BY, lambda: given)
    return prepare_once(
        data, NAME, {"fraction": fraction}, LEARNT_BY, lambda: learn_atoms(video_means(data), fraction)
    )


def read_atoms(path: str, feature_dim: int) -> NDArray[np.float32]:
    """Read atoms ``[S, D]`` from a ``.npy`` file.

    Raises:
        WSVADError: if the file cannot be read or holds anything else.
    """
    atoms = read_npy("model.dictionary", path)
    if atoms.ndim != 2 or len(atoms) == 0 or atoms.shape[1] != feature_dim:
        problem = f"its shape is {atoms.shape} where the features have {feature_dim} channels"
        raise WSVADError("model.dictionary", path, problem, f"Give atoms of shape [S, {feature_dim}]")
    return atoms.astype(np.float32)


def video_means(data: WSVADDataModule) -> NDArray[np.float64]:
    """Average every normal training video over views and segments: ``[V, D]``, reading one at a time.

    Raises:
        WSVADError: if there is none.
    """
    data.setup("fit")
    videos = data.reference_videos
    if not videos:
        problem = "the training part has no normal video"
        remedy = "Name normal videos to train with, or give model.dictionary"
        raise WSVADError("data.split", data.catalogue.split_path, problem, remedy)
    means = np.empty((len(videos), data.feature_dim))
    for row, video_id in enumerate(track(videos, description="reading normal videos", transient=True)):
        means[row] = mean_bins(data.read(video_id), SEGMENTS).mean(axis=(0, 1), dtype=np.float64)
    return means


def learn_atoms(means: NDArray[np.float64], fraction: float) -> NDArray[np.float32]:
    """Learn the dictionary of ``[V, D]`` video means: atoms ``[S, D]``, S = V times the fraction, at least 1.

    Raises:
        WSVADError: if scikit-learn is missing.
    """
    try:
        from sklearn.decomposition import MiniBatchDictionaryLearning
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.utils.extmath import randomized_svd
    except ImportError:
        remedy = 'Run pip install "wsvad-lightning[prepare]"'
        raise WSVADError("artefact", NAME, "learning a dictionary needs scikit-learn", remedy) from None
    channels = np.ascontiguousarray(means.T)
    num_atoms = max(1, round(fraction * len(means)))
    rng = np.random.RandomState(SEED)  # the generator whose numbers the authors drew
    _, lengths, directions = randomized_svd(channels, num_atoms, random_state=rng)
    start = np.zeros((num_atoms, len(means)))
    start[: len(lengths)] = lengths[:, None] * directions
    learner = MiniBatchDictionaryLearning(
        num_atoms,
        dict_init=start,
        transform_algorithm="omp",
        transform_n_nonzero_coefs=min(NONZERO, num_atoms),
        random_state=rng,
    )
    batches = islice(cycle(shuffled_batches(channels, rng)), BATCHES)
    with warnings.catch_warnings():  # of channels that fewer atoms explain, as those that are always zero
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        warnings.filterwarnings("ignore", "Orthogonal matching pursuit ended prematurely")
        for batch in track(batches, "learning the dictionary", total=BATCHES, transient=True):
            learner.partial_fit(batch)
        code: NDArray[np.float64] = learner.transform(channels)
    return np.ascontiguousarray(code.T, dtype=np.float32)


def shuffled_batches(
    channels: NDArray[np.float64], rng: np.random.RandomState
) -> Iterator[NDArray[np.float64]]:
    """Shuffle the samples once, and yield them in batches."""
    shuffled = channels.copy()
    rng.shuffle(shuffled)
    yield from (shuffled[i : i + BATCH_SIZE] for i in range(0, len(shuffled), BATCH_SIZE))
