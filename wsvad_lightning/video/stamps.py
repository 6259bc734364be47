"""Time stamps: when each frame of a video is shown, and what its frame rate is."""

import math

IRREGULAR = 1.5  # of a constant rate: the longest step between frames by the shortest, as stamps are rounded
JUMP = 3600.0  # seconds: a longer step between frames is not a pause
FEWEST = 2  # steps that a rate is known by


class TimeStamps:
    """Duration, order and rate of a video by the time stamps of its frames, while these come in.

    The clock starts with the first frame, and follows the stamps. It goes on by one step of the rate so far

    * where a stamp is missing, or lies outside those of its two neighbours while these rise;
    * at a jump: where stamps go back, or go on by more than an hour. From there on it follows the stamps
      again.

    Args:
        stated: frames a second that the file states, 0 if it does not; stamps decide where they differ.

    Attributes:
        num_frames: frames that came.
        elapsed: seconds from the first frame to the last.
        missing: frames without a stamp, or with one that is not believed.
        latest: the last stamp that is believed; NaN before the first.
        jumps: numbers of the frames at which the stamps jump.
    """

    def __init__(self, stated: float) -> None:
        self.num_frames, self.elapsed = 0, 0.0
        self.missing, self.jumps = 0, list[int]()
        self._stated = stated
        self._origin = self.latest = math.nan  # stamps: of the start of the clock, and the last one believed
        self._follows = False  # whether the latest frame has a stamp that is believed
        self._steps, self._shortest, self._longest = 0, math.inf, 0.0  # from frame to frame

    def add(self, stamp: float, following: float = math.nan) -> None:
        """Take the next frame.

        Args:
            stamp: seconds, NaN if it has none.
            following: the stamp of the frame after it, NaN if there is none.
        """
        if not self.believes(stamp, following) or self._repeats(stamp):
            stamp = math.nan
        if math.isnan(stamp):
            self.missing += 1
            self.elapsed = self._next
        elif math.isnan(self.latest):
            self.elapsed = self._next
            self._origin = stamp - self.elapsed
        elif 0 <= stamp - self.latest <= JUMP:
            self._follow(max(self.elapsed, stamp - self._origin))
        else:
            self.jumps.append(self.num_frames)
            self.elapsed = self._next
            self._origin = stamp - self.elapsed
        self._follows = not math.isnan(stamp)
        self.latest = stamp if self._follows else self.latest
        self.num_frames += 1

    def believes(self, stamp: float, following: float) -> bool:
        """Whether a stamp lies between its neighbours, or these do not rise."""
        return not self.latest <= following or self.latest <= stamp <= following

    def lost_before(self, stamp: float, following: float) -> int:
        """Count the frames that are missing before the next one by the rate so far; 0 if that varies.

        Args:
            stamp: of the next frame.
            following: of the frame after it.
        """
        step = stamp - self._origin - self.elapsed
        known = self._steps >= FEWEST and not self.irregular and self.believes(stamp, following)
        return max(0, round(step * self.rate()) - 1) if known and 0 <= step <= JUMP else 0

    def between(self, stamp: float, number: int) -> list[float]:
        """Spread the stamps of lost frames evenly between the latest frame and the next one.

        Args:
            stamp: of the next frame.
            number: of lost frames.
        """
        latest = self._origin + self.elapsed
        return [latest + (stamp - latest) * place / (number + 1) for place in range(1, number + 1)]

    def rate(self) -> float:
        """Average frames a second: what the file states, unless its stamps differ by half a frame or more."""
        steps = self.num_frames - 1
        differs = self.elapsed > 0 and abs(self._stated * self.elapsed - steps) > 0.5
        return steps / self.elapsed if differs else self._stated

    @property
    def irregular(self) -> bool:
        """Whether the frame rate is variable."""
        return self._longest > IRREGULAR * self._shortest

    def _repeats(self, stamp: float) -> bool:
        """Whether the clock has already gone on to a stamp without believing in the stamp before it."""
        clock = (self.elapsed + self._next) / 2
        return not self._follows and self.latest <= stamp < self._origin + clock

    @property
    def _next(self) -> float:
        """When the next frame is due by the rate so far."""
        return self.elapsed + 1 / (self.rate() or 1.0) if self.num_frames else 0.0

    def _follow(self, due: float) -> None:
        """Go on to a stamp."""
        if self._follows:
            step = due - self.elapsed
            self._shortest, self._longest = min(self._shortest, step), max(self._longest, step)
            self._steps += 1
        self.elapsed = due
