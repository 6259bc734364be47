"""Alarms: what a curve of scores gives cause for, in a recording or while it is being made."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wsvad_lightning.errors import WSVADError


class Alarm(NamedTuple):
    """A span of time in which scores were high.

    Attributes:
        start: seconds, of the first sample that reached the threshold.
        end: seconds, of the first sample below the release, or when the scores end.
        peak_time: seconds, of the highest sample, the first of equals.
        peak_score: of that sample.
    """

    start: float
    end: float
    peak_time: float
    peak_score: float


@dataclass(frozen=True)
class AlarmRule:
    """When scores are an alarm.

    An alarm starts with a sample that reaches the threshold and lasts until one is below the release. Less
    than ``shortest`` seconds are not an alarm. None starts within ``pause`` seconds after the end of another
    one; scores that are still high then start one.

    Attributes:
        threshold: score that starts an alarm.
        release: score that keeps it up, at most ``threshold``.
        shortest: seconds that it lasts at least.
        pause: seconds from the end of an alarm to the next one's start at least.

    Raises:
        WSVADError: if a number is not finite or out of range.
    """

    threshold: float
    release: float
    shortest: float = 0.0
    pause: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value):
                raise WSVADError(name, value, "must be finite", "Give a number")
        for name in ("shortest", "pause"):
            if getattr(self, name) < 0:
                raise WSVADError(name, getattr(self, name), "must be at least 0", "Give seconds")
        if self.release > self.threshold:
            problem = f"must be at most the threshold, {self.threshold:g}"
            raise WSVADError("release", self.release, problem, "Give less")

    def alarms(self, times: ArrayLike, scores: ArrayLike, end: float | None = None) -> list[Alarm]:
        """Find the alarms of a recording: those that :class:`Alarms` gives sample by sample.

        Args:
            times: ``[T]`` seconds of the samples, in order.
            scores: ``[T]`` of the samples.
            end: seconds, of the recording's end; None for the time of the last sample.

        Raises:
            WSVADError: as :class:`Alarms`.
        """
        at, values = np.asarray(times, dtype=float), np.asarray(scores, dtype=float)
        high = values >= self.release
        seen = high | np.append(False, high[:-1])  # the others change nothing
        machine = Alarms(self)
        samples = zip(at[seen].tolist(), values[seen].tolist(), strict=True)
        found = [machine.update(time, score) for time, score in samples]
        return [alarm for alarm in (*found, machine.close(end)) if alarm is not None]


class Alarms:
    """Follows one stream of scores and gives its alarms as they end.

    Args:
        rule: when scores are an alarm.
    """

    def __init__(self, rule: AlarmRule) -> None:
        self.rule = rule
        self._open: Alarm | None = None  # whatever it has lasted, up to the last sample
        self._last, self._quiet_until = -math.inf, -math.inf

    @property
    def running(self) -> Alarm | None:
        """The alarm that has not ended, up to the last sample, once it has lasted long enough."""
        return self._open if self._open is not None and self._counts(self._open) else None

    def update(self, time: float, score: float) -> Alarm | None:
        """Add a sample.

        Args:
            time: seconds, not before the last sample.
            score: of the sample; NaN is below everything.

        Returns:
            The alarm that ends with this sample, if one does.

        Raises:
            WSVADError: if the time goes back.
        """
        if not time >= self._last:
            problem = f"is before the last sample, {self._last:g}"
            raise WSVADError("time", time, problem, "Give samples in the order of time, or start anew")
        self._last = time
        if self._open is None:
            if score >= self.rule.threshold and time >= self._quiet_until:
                self._open = Alarm(time, time, time, score)
            return None
        if not score >= self.rule.release:
            return self.close(time)
        self._open = self._open._replace(end=time)
        if score > self._open.peak_score:
            self._open = self._open._replace(peak_time=time, peak_score=score)
        return None

    def close(self, time: float | None = None) -> Alarm | None:
        """End the alarm that has not ended, as at the end of a stream or before a gap; samples may follow.

        Args:
            time: seconds, when it ends; None for the time of the last sample.

        Returns:
            The alarm, if there is one that lasted long enough.
        """
        ended, self._open = self._open, None
        if ended is None:
            return None
        ended = ended._replace(end=ended.end if time is None else time)
        if not self._counts(ended):
            return None
        self._quiet_until = ended.end + self.rule.pause
        return ended

    def _counts(self, alarm: Alarm) -> bool:
        return alarm.end - alarm.start >= self.rule.shortest
