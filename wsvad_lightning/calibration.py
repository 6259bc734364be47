"""Calibration: what scores mean, by those of normal video, and the alarm rule that keeps a promised rate.

Alarms on normal video are taken for events of a Poisson process. From those in some hours follows the exact
upper bound of their rate (F. Garwood, Fiducial limits for the Poisson distribution, Biometrika 28, 1936).
Thresholds are tried from the highest one down, and the last one is taken before the first whose bound breaks
the promise. Trying them in a fixed order and stopping at the first failure keeps the confidence of a single
trial (A. Angelopoulos et al., Learn then Test, 2021, section 3: fixed sequence testing).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from wsvad_lightning.alarms import AlarmRule
from wsvad_lightning.checkpoint import record_of
from wsvad_lightning.errors import WSVADError

KEY, STREAMED_KEY = "calibration", "streamed_calibration"  # of a checkpoint
CONFIDENCE = 0.95
KNOTS = 256  # of the map from scores to shares of normal time, at most
CANDIDATES = 512  # thresholds that are tried, at most
HOUR = 3600.0  # seconds

FloatArray = NDArray[np.floating[Any]]
_Kind = TypeVar("_Kind", bound="Calibration")


class ScoredVideo(NamedTuple):
    """Scores of a video by time.

    Attributes:
        times: ``[T]`` seconds, when the snippets begin.
        scores: ``[T]`` of the snippets.
        end: seconds, of the end of the video.
    """

    times: FloatArray
    scores: FloatArray
    end: float


@dataclass(frozen=True)
class Calibration:
    """What normal video says of a model's scores; a checkpoint carries it as plain values.

    Attributes:
        threshold: score that starts an alarm.
        release: score that keeps it up.
        shortest: seconds that an alarm lasts at least.
        pause: seconds from the end of an alarm to the next one's start at least.
        promised: alarms an hour of normal video that are promised at most.
        videos: number of normal videos that were seen.
        hours: of these.
        alarms: that the rule gives on these.
        levels: ``[K]`` scores, increasing.
        shares: ``[K]`` of normal time that scores less than each level, increasing.

    Raises:
        WSVADError: if the numbers are not such as :func:`calibrate_scores` gives.
    """

    threshold: float
    release: float
    shortest: float
    pause: float
    promised: float
    videos: int
    hours: float
    alarms: int
    levels: list[float]
    shares: list[float]

    def __post_init__(self) -> None:
        _ = self.rule  # it checks its own numbers
        levels, shares = np.array(self.levels), np.array(self.shares)
        sound = {
            "promised": 0 < self.promised < math.inf,
            "videos": self.videos > 0,
            "hours": 0 < self.hours < math.inf,
            "alarms": self.alarms >= 0,
            "levels": 0 < len(levels) <= KNOTS and np.isfinite(levels).all() and (np.diff(levels) > 0).all(),
            "shares": len(shares) == len(levels)
            and ((shares >= 0) & (shares <= 1)).all()
            and (np.diff(shares) >= 0).all(),
        }
        for name, fine in sound.items():
            if not fine:
                problem = "is not what `wsvad calibrate` writes"
                raise WSVADError(f"{KEY}.{name}", str(getattr(self, name))[:40], problem, "Calibrate again")

    @property
    def rule(self) -> AlarmRule:
        """When scores are an alarm."""
        return AlarmRule(self.threshold, self.release, self.shortest, self.pause)

    @property
    def bound(self) -> float:
        """Upper bound of 95 % of the rate of false alarms, in alarms an hour."""
        return rate_bound(self.alarms, self.hours)

    @property
    def keeps(self) -> bool:
        """Whether enough normal video was seen for the promise."""
        return self.bound <= self.promised

    def calibrated(self, scores: ArrayLike) -> FloatArray:
        """Give the share of normal time that scores lower, in [0, 1]; between two levels it rises evenly."""
        at = np.asarray(scores, dtype=float)
        shares: FloatArray = np.interp(at, self.levels, self.shares, left=0.0, right=1.0)
        return shares


@dataclass(frozen=True)
class StreamedCalibration(Calibration):
    """What normal video says of the scores that are given while it runs.

    A window of snippets scores otherwise than a whole video, where a method looks at all of it.

    Attributes:
        window: snippets that were scored together at most.
        look_ahead: snippets that a score waited for.

    Raises:
        WSVADError: as :class:`Calibration`.
    """

    window: int
    look_ahead: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.look_ahead < self.window:
            problem = f"does not fit a look-ahead of {self.look_ahead}"
            raise WSVADError(f"{STREAMED_KEY}.window", self.window, problem, "Calibrate again")


def read_calibration(checkpoint: Mapping[str, Any]) -> Calibration | None:
    """Read the calibration of whole videos that a checkpoint carries, if any.

    Raises:
        WSVADError: if it is not what ``wsvad calibrate`` writes.
    """
    return _read(checkpoint, KEY, Calibration)


def read_streamed_calibration(checkpoint: Mapping[str, Any]) -> StreamedCalibration | None:
    """Read the calibration of streamed scores that a checkpoint carries, if any.

    Raises:
        WSVADError: if it is not what ``wsvad calibrate`` writes.
    """
    return _read(checkpoint, STREAMED_KEY, StreamedCalibration)


def _read(checkpoint: Mapping[str, Any], key: str, kind: type[_Kind]) -> _Kind | None:
    if key not in checkpoint:
        return None
    try:
        return record_of(kind, checkpoint[key])
    except WSVADError:
        raise
    except ValueError as error:
        raise WSVADError(key, str(error), "is not what `wsvad calibrate` writes", "Calibrate again") from None


def as_entry(calibration: Calibration) -> dict[str, object]:
    """Give a calibration as plain values, for a checkpoint."""
    return asdict(calibration)


def calibrate_scores(
    videos: Sequence[ScoredVideo],
    promised: float,
    *,
    hysteresis: float = 0.0,
    shortest: float = 0.0,
    pause: float = 0.0,
) -> Calibration:
    """Find the rule that keeps a rate of alarms on normal video, and what scores mean.

    Where too little video was seen for the promise, the threshold is just above all scores of it, see
    :attr:`Calibration.keeps`.

    Args:
        videos: normal ones, that the model was not trained on.
        promised: alarms an hour, at most.
        hysteresis: share of the way from the threshold down to the median score at which alarms are released.
        shortest: seconds that an alarm lasts at least.
        pause: seconds from the end of an alarm to the next one's start at least.

    Raises:
        WSVADError: if a number is out of range, there is no video, or a score is not finite.
    """
    if not 0 < promised < math.inf:
        raise WSVADError("--false_alarms_per_hour", promised, "must be more than 0", "Give a rate")
    if not 0 <= hysteresis < 1:
        raise WSVADError("--hysteresis", hysteresis, "must be in [0, 1)", "Give 0 for none")
    scores = np.concatenate([np.zeros(0), *(video.scores for video in videos)]).astype(float)
    seconds = np.concatenate([np.zeros(0), *(np.diff(video.times, append=video.end) for video in videos)])
    hours = float(seconds.sum()) / HOUR
    if not (hours > 0 and np.isfinite(scores).all()):
        problem = "give no finite scores of any normal time"
        raise WSVADError("videos", len(videos), problem, "Give normal videos that the model can score")
    levels, shares = _distribution(scores, seconds)
    median = float(levels[np.searchsorted(shares, 0.5, side="right") - 1])

    def rule_at(threshold: float) -> AlarmRule:
        release = threshold - hysteresis * max(0.0, threshold - median)
        return AlarmRule(threshold, release, shortest, pause)

    best, alarms = rule_at(_above(levels[-1])), 0
    for threshold in levels[-_ranks(len(levels), CANDIDATES)].tolist():
        rule = rule_at(threshold)
        found = sum(len(rule.alarms(*video)) for video in videos)
        if rate_bound(found, hours) > promised:
            break
        best, alarms = rule, found
    knots = _knots(shares)
    return Calibration(
        **asdict(best),
        promised=promised,
        videos=len(videos),
        hours=hours,
        alarms=alarms,
        levels=levels[knots].tolist(),
        shares=shares[knots].tolist(),
    )


def rate_bound(alarms: int, hours: float) -> float:
    """Give the exact upper bound of 95 % of a Poisson rate: 3.0 / hours where there were no alarms.

    Args:
        alarms: that were seen.
        hours: in which they were.
    """
    low, high = float(alarms), 3.0 + 3.0 * alarms  # of the expected number; the bound is between these
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        as_few = torch.special.gammaincc(  # the probability of as few alarms or fewer
            torch.tensor(alarms + 1.0, dtype=torch.double), torch.tensor(middle, dtype=torch.double)
        )
        low, high = (middle, high) if float(as_few) > 1 - CONFIDENCE else (low, middle)
    return high / hours


def hours_needed(promised: float) -> float:
    """Give the hours of normal video without an alarm from which a promise follows."""
    return rate_bound(0, 1.0) / promised


def _distribution(scores: FloatArray, seconds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the distinct scores ``[L]``, increasing, and the share of time that scores less than each."""
    levels, own = np.unique(scores, return_inverse=True)
    time = np.bincount(own, weights=seconds)
    return levels, np.append(0.0, np.cumsum(time)[:-1]) / time.sum()


def _above(score: float) -> float:
    """Give the next higher score; scores are of single precision."""
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))


def _ranks(count: int, most: int) -> NDArray[np.int64]:
    """Choose some of the ranks 1 to ``count``, in order: all of the first, then ever fewer."""
    return np.unique(np.geomspace(1, count, most).round().astype(np.int64))


def _knots(shares: FloatArray) -> NDArray[np.int64]:
    """Choose which levels to keep: evenly over all time, and more and more densely towards the highest."""
    if len(shares) <= KNOTS:
        return np.arange(len(shares))
    half = KNOTS // 2 - 1
    wanted = np.append(np.linspace(0, 1, half), 1 - np.geomspace(1, 1 - shares[-1], half))
    chosen = np.searchsorted(shares, wanted.clip(0, shares[-1]))
    return np.unique(np.append(chosen, len(shares) - 1))
