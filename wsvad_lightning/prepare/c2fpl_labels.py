"""The pseudo-labels of C2FPL: which snippets of unlabelled videos are anomalous, from coarse to fine.

A snippet counts by its squared length, the mean over its views; a video by mean and variance of these.

Coarse: a mixture of two Gaussians divides the videos. As long as too few are abnormal, another mixture is
fitted to the normal ones, and those that it explains worst are taken for abnormal too.

Fine: one Gaussian describes the snippets of all normal videos. In each abnormal video the window in which its
density varies most is marked.

After Al-lahham et al. (WACV 2024), in numbers of the authors' code: the mixtures are fitted to statistics as
they are, not scaled, and the ``second`` component is the abnormal one, whichever that is. Deviations: the
division ends where no video can be moved any more, and a video of one snippet has the variance 0.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.prepare.once import prepare_once

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

NAME = "c2fpl_labels"
MIXTURE = {"n_components": 2, "covariance_type": "spherical", "max_iter": 150, "random_state": 0}
LIBRARIES = ("wsvad-lightning", "numpy", "scikit-learn")

Component = Literal["second", "larger-mean"]
Values = NDArray[np.float64]


class Division(NamedTuple):
    """Normal and abnormal videos.

    Attributes:
        abnormal: ``[V]`` bool.
        rounds: how often videos were moved.
    """

    abnormal: NDArray[np.bool_]
    rounds: int


def prepare(
    data: WSVADDataModule,
    window: float = 0.2,
    percentile: float = 3.0,
    ratio: float = 1.0,
    abnormal_component: Component = "second",
) -> Path:
    """Put pseudo-labels of the training videos next to their store, unless they are there.

    Args:
        data: gives the videos, and what is done to their features; their labels are not used.
        window: part of an abnormal video that is marked.
        percentile: of the normal videos to move to the abnormal ones at a time.
        ratio: abnormal videos for each normal one, at least.
        abnormal_component: which component of the first mixture is abnormal: the ``second``, an arbitrary
            one, as the authors have it, or the one of the ``larger-mean`` variance.

    Returns:
        The file.

    Raises:
        WSVADError: if a number is out of range, the data module trains by labels, the videos cannot be
            divided, no snippet is marked, labels were prepared in another way, scikit-learn is missing, or
            the folder cannot be written.
    """
    ranges = {"window": (window, 1), "percentile": (percentile, 100), "ratio": (ratio, np.inf)}
    for name, (value, limit) in ranges.items():
        if not 0 < value <= limit:
            raise WSVADError(
                f"model.{name}", value, "is out of range", f"Give more than 0, and at most {limit}"
            )
    if data.bags != "windows":
        raise WSVADError("data.bags", data.bags, "C2FPL trains on windows bags", "Set data.bags to windows")

    def compute() -> NDArray[np.float32]:
        data.setup("fit")
        videos = [
            squared_lengths(data.read(video_id))
            for video_id in track(data.reference_videos, description="reading videos", transient=True)
        ]
        division = divide_videos(video_statistics(videos), percentile, ratio, abnormal_component)
        labels = np.concatenate(mark_windows(videos, division.abnormal, window))
        if not labels.any():
            problem = f"marks no snippet of the {division.abnormal.sum()} videos that are taken for abnormal"
            raise WSVADError("model.window", window, problem, "Give more, longer videos or other features")
        return labels.astype(np.float32)

    parameters = {
        "window": window,
        "percentile": percentile,
        "ratio": ratio,
        "abnormal_component": abnormal_component,
    }
    return prepare_once(data, NAME, parameters, LIBRARIES, compute)


def squared_lengths(features: Features) -> Values:
    """Measure the snippets of a video ``[T, N, D]``: squared length, mean over views, ``[T]``."""
    lengths: Values = np.square(features, dtype=np.float64).sum(axis=2).mean(axis=1)
    return lengths


def video_statistics(videos: Sequence[Values]) -> Values:
    """Mean and unbiased variance of the squared lengths of each video: ``[V, 2]``."""
    return np.array([(values.mean(), unbiased_variance(values)) for values in videos])


def unbiased_variance(values: Values) -> float:
    """Variance of ``[n]`` with n - 1 in the denominator; 0 of a single value."""
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def fit_mixture(statistics: Values) -> "GaussianMixture":
    """Divide statistics ``[V, 2]`` by a mixture of two Gaussians.

    Raises:
        WSVADError: if scikit-learn is missing.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError:
        remedy = 'Run pip install "wsvad-lightning[prepare]"'
        raise WSVADError("artefact", NAME, "computing pseudo-labels needs scikit-learn", remedy) from None
    with warnings.catch_warnings():  # of videos that are all alike
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        return GaussianMixture(**MIXTURE).fit(statistics)


def divide_videos(statistics: Values, percentile: float, ratio: float, component: Component) -> Division:
    """Divide videos into normal and abnormal ones; the arguments are those of :func:`prepare`.

    Raises:
        WSVADError: if there are too few videos, or none is normal.
    """
    if len(statistics) < 2:
        problem = f"{len(statistics)} video(s) cannot be divided into normal and abnormal ones"
        raise WSVADError("data.split", "train", problem, "Name more videos to train with")
    mixture = fit_mixture(statistics)
    of_abnormal = 1 if component == "second" else int(mixture.means_[:, 1].argmax())
    abnormal = mixture.predict(statistics) == of_abnormal
    rounds = 0
    while abnormal.sum() < ratio * (~abnormal).sum():
        (normal,) = np.nonzero(~abnormal)
        if len(normal) < 2:
            break
        likelihood = fit_mixture(statistics[normal]).score_samples(statistics[normal])
        moved = normal[likelihood < np.percentile(likelihood, percentile)]
        if len(moved) == 0:
            break
        abnormal[moved] = True
        rounds += 1
    if abnormal.all():
        remedy = "Choose another model.abnormal_component, or give other features"
        raise WSVADError("data.store", "train", "the mixture takes no video for normal", remedy)
    return Division(abnormal, rounds)


def normal_gaussian(videos: Sequence[Values], abnormal: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean and unbiased variance of the snippets of all normal videos."""
    snippets = np.concatenate([values for values, marked in zip(videos, abnormal, strict=True) if not marked])
    return float(snippets.mean()), unbiased_variance(snippets)


def mark_windows(
    videos: Sequence[Values], abnormal: NDArray[np.bool_], window: float
) -> list[NDArray[np.bool_]]:
    """Mark the snippets of each video that are taken for anomalous: one window of each abnormal one."""
    mean, variance = normal_gaussian(videos, abnormal)
    variance = max(variance, float(np.finfo(np.float64).tiny))
    labels = [np.zeros(len(values), dtype=np.bool_) for values in videos]
    for values, marks, is_abnormal in zip(videos, labels, abnormal, strict=True):
        if is_abnormal:
            with np.errstate(over="ignore"):  # far from any normal snippet the density is zero
                density = np.exp(-np.square(values - mean) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
            marks[most_varying(density, int(window * len(values)))] = True
    return labels


def most_varying(values: Values, size: int) -> slice:
    """Find the first of the windows of ``size`` values that vary most: sum of absolute differences."""
    if size < 2:
        return slice(size)
    steps = np.abs(np.diff(values))
    variation = np.lib.stride_tricks.sliding_window_view(steps, size - 1).sum(axis=1)
    start = int(variation.argmax())
    return slice(start, start + size)
