"""Uploads to answers: what a request gets of its video or features."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsvad_lightning.alarms import AlarmRule
from wsvad_lightning.data.loading.familiarity import LIMIT
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.alarms import alarms_of
from wsvad_lightning.reporting.scores import video_events
from wsvad_lightning.reporting.tables import SPAN, Clock
from wsvad_lightning.serving.command import ALARM
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.serving.extractor import Extractor
from wsvad_lightning.serving.service.refused import Refused
from wsvad_lightning.serving.service.uploads import holds_arrays, read_features
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import NORMAL, Prediction
from wsvad_lightning.video.film import broken, import_av, open_film
from wsvad_lightning.video.reader import VideoReader

MOST_SNIPPETS = 20_000  # of a video: docs/benchmarks.md says what methods need for so many
MOST_PIXELS = 4096 * 2304  # of a frame
WINDOW = 4  # frames that are encoded at once: some windows of large ones are held

Check = Callable[[], None]  # raises where the work has become useless


class Scorer:
    """Scores uploads, one at a time: neither model nor encoders take several.

    Args:
        detector: with the model.
        extractor: of the features of videos; None if the checkpoint carries no recipe.
        most_bytes: that an archive of features may unpack to.

    Attributes:
        rule: when scores are an alarm: the calibrated one, else from 0.5 on.
    """

    def __init__(self, detector: Detector, extractor: Extractor | None, most_bytes: int) -> None:
        self._detector, self._extractor, self._most_bytes = detector, extractor, most_bytes
        calibration = detector.calibration
        self.rule = AlarmRule(ALARM, ALARM) if calibration is None else calibration.rule
        self._grid = detector.grid or SnippetGrid(1, 1)

    def score(self, path: Path, fps: float | None, check: Check) -> dict[str, Any]:
        """Score an upload.

        Args:
            path: of the file.
            fps: frames a second of the video that features are of; None for those that the training played
                videos at.
            check: called while the video is decoded.

        Raises:
            Refused: if it is neither a video that can be decoded nor features that fit.
        """
        return self._features(path, fps) if holds_arrays(path) else self._video(path, check)

    def _features(self, path: Path, fps: float | None) -> dict[str, Any]:
        features = read_features(path, self._most_bytes)
        for values in features.values() if isinstance(features, dict) else (features,):
            refuse_long(len(values) if values.ndim else 0)
        try:
            found = self._detector.predict(features, None, "body")
        except WSVADError as error:
            raise Refused(422, str(error)) from None
        fps = fps or (self._extractor.recipe.fps if self._extractor else None)
        clock: Clock = (lambda frame: None) if fps is None else (lambda frame: frame / fps)
        return self._answer("features", found, clock)

    def _video(self, path: Path, check: Check) -> dict[str, Any]:
        if self._extractor is None:
            raise Refused(415, "no features: the checkpoint carries no recipe to score videos by")
        recipe, frames = self._extractor.recipe, 0

        def count(more: int) -> None:
            nonlocal frames
            frames += more
            check()
            refuse_long(frames // recipe.snippets.stride)

        try:
            refuse_large(path)
            with self._extractor.encode(path, count, WINDOW) as encoded:
                streams = {name: values[:] for name, values in encoded.streams.items()}
                found = self._detector.predict(streams, encoded.num_frames, "body")
            times = read_times(path, recipe.fps, check)
        except WSVADError as error:
            raise Refused(415 if error.argument == "video" else 422, error.problem) from None
        change = self._detector.preparation().coding_change(encoded.coding)
        recoded = (f"encoded otherwise than the training videos: {change}",) if change else ()
        return self._answer("video", found, times.__getitem__, (*encoded.notes, *recoded))

    def _answer(
        self, kind: str, found: Prediction, clock: Clock, notes: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Describe what was found, by the names of the columns of ``scores.csv`` and ``alarms.csv``."""
        detector, seconds = self._detector, clock(found.num_frames)
        answer: dict[str, Any] = {
            "kind": kind,
            "num_frames": found.num_frames,
            "seconds": seconds,
            "threshold": self.rule.threshold,
            "calibrated": detector.calibration is not None,
            "novelty": found.novelty,
            "notes": [*notes, *familiarity_of(found.novelty)],
            "snippets": self._snippets(found, clock),
            "events": [
                self._span((event.start, event.end), clock) | {"class": event.name, "score": event.score}
                for event in video_events(found, self._grid, detector.classes)
            ],
            "alarms": None if seconds is None else self._alarms(found, clock),
        }
        if seconds is None:
            answer["notes"].append("no alarms: the frame rate is not known, give it as ?fps=25")
        return answer

    def _snippets(self, found: Prediction, clock: Clock) -> list[dict[str, Any]]:
        calibration, names = self._detector.calibration, (NORMAL, *self._detector.classes)
        rows = []
        for t, score in enumerate(found.scores.tolist()):
            row = self._span(self._grid.span(t, found.num_frames), clock) | {"score": score}
            if calibration is not None:
                row["calibrated"] = float(calibration.calibrated(score))
            if found.class_scores is not None:
                row["class"] = names[int(found.class_scores[t].argmax())]
                row["classes"] = dict(zip(names, found.class_scores[t].tolist(), strict=True))
            rows.append(row)
        return rows

    def _alarms(self, found: Prediction, clock: Clock) -> list[dict[str, Any]]:
        return [
            self._span(frames, clock) | {"peak_seconds": alarm.peak_time, "score": alarm.peak_score}
            for alarm, frames in alarms_of(found, self._grid, clock, self.rule)
        ]

    def _span(self, frames: tuple[int, int], clock: Clock) -> dict[str, Any]:
        return dict(zip(SPAN, (*frames, *map(clock, frames)), strict=True))


def refuse_long(snippets: int) -> None:
    """Refuse a video of more snippets than memory is kept for."""
    if snippets > MOST_SNIPPETS:
        raise Refused(413, f"more than {MOST_SNIPPETS:,} snippets: cut the video")


def refuse_large(path: Path) -> None:
    """Refuse frames that memory is not kept for, before one is decoded.

    Raises:
        WSVADError: if it is not a video.
    """
    try:
        with open_film(path, threaded=False) as film:
            width, height = film.track.width, film.track.height
    except import_av().FFmpegError as error:
        raise broken(path, f"cannot be decoded ({error.strerror})") from error
    if width * height > MOST_PIXELS:
        raise Refused(413, f"frames of {width} x {height} are too large: scale the video")


def read_times(path: Path, resample: float | None, check: Check) -> list[float]:
    """Read when frames are shown, and when the last one ends, see :meth:`VideoReader.times`."""
    reader, times = VideoReader(path, resample=resample), list[float]()
    for _ in reader.pictures():
        times.append(reader.seconds)
        check()
    return [*times, times[-1] + 1 / reader.fps]


def familiarity_of(novelty: float | None) -> list[str]:
    """Say whether the scores of a video may mean nothing."""
    if novelty is None:
        return ["whether it is like the training videos is not known"]
    unlike = f"unlike the training videos, novelty {novelty:.1f}: its scores may mean nothing"
    return [unlike] if novelty > LIMIT else []
