"""``wsvad calibrate``: write the alarm rule that keeps a promised rate on normal video into a checkpoint."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.utilities import rank_zero_info
from rich.progress import track
from rich.table import Table

from wsvad_lightning.calibration import (
    KEY,
    STREAMED_KEY,
    Calibration,
    StreamedCalibration,
    as_entry,
    calibrate_scores,
    hours_needed,
)
from wsvad_lightning.carried import read_carried
from wsvad_lightning.checkpoint import CONFIG_KEY, read_checkpoint, with_entry
from wsvad_lightning.data.loading.catalogue import Catalogue
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.files import write_tensors
from wsvad_lightning.parsing import ConfigFile, explained
from wsvad_lightning.reporting.alarms import scored_video
from wsvad_lightning.reporting.tables import steady_clock
from wsvad_lightning.runs.seen import checksums, checksums_of, training_catalogue
from wsvad_lightning.runs.trained import scoring_method
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.serving.stream import ScoreStream
from wsvad_lightning.shared import is_shared
from wsvad_lightning.types import Prediction

DESCRIPTION = (
    "Find the alarm threshold that keeps a promised rate on normal video, and what scores mean, of whole "
    "videos and as `wsvad watch` scores them, and write both into the checkpoint. Without --data.store it "
    "takes the normal videos that the training held out."
)
WHOLE = "whole videos"
TOO_SHORT = (
    "the longest normal video has {} snippets, windows have {}: how full ones score was not seen. Give "
    "longer videos, or a smaller --window"
)
UNSEEN = "Give other normal videos by --data.store, or train with --data.val_fraction 0.2"


def calibrate(args: Sequence[str]) -> None:
    """Parse the arguments, calibrate, write the checkpoint and show what follows.

    Raises:
        WSVADError: if the arguments do not parse, or all normal videos were trained on.
    """
    parser = parser_of("calibrate")
    with explained(parser):
        given = parser.parse_args(list(args))
    path = given.ckpt_path
    place = Path(given.output or path)
    if is_shared(path) and given.output is None:
        raise WSVADError("--output", None, "is required for a shared model", "Name a checkpoint to write")
    checkpoint = read_checkpoint(path)
    method = scoring_method(given.model)
    catalogue, names = normal_videos(checkpoint, path, given.data.store, given.model)
    store = catalogue.store
    timeless = [name for name in names if not store[name].fps > 0]
    if timeless:
        problem = "its frame rate is unknown, and with it how many alarms an hour it gives"
        raise WSVADError("--data.store", timeless[0], problem, "Extract or convert it with its frame rate")
    detector = Detector.from_checkpoint(path, method)
    stream = ScoreStream(detector.model, detector.preparation(), given.window, given.look_ahead)
    scored = detector.score_store(catalogue.store_path, given.device, names)

    def found(predictions: Mapping[str, Prediction]) -> Calibration:
        clocks = {name: steady_clock(store[name].fps) for name in names}
        videos = [scored_video(predictions[name], store.provenance.grid, clocks[name]) for name in names]
        settings = {name: given[name] for name in ("hysteresis", "shortest", "pause")}
        return calibrate_scores(videos, given.false_alarms_per_hour, **settings)

    whole = found(scored)
    of_stream = whole if stream.exact else found(streamed(scored, store, stream))
    streamed_too = StreamedCalibration(
        **asdict(of_stream), window=stream.window, look_ahead=stream.look_ahead
    )
    entries = {KEY: as_entry(whole), STREAMED_KEY: as_entry(streamed_too)}
    for name, entry in entries.items():
        checkpoint = with_entry(checkpoint, name, entry)
    write_tensors(checkpoint, place.resolve())  # a link stays one: the file that it names is replaced
    kinds = {WHOLE: whole} if stream.exact else {WHOLE: whole, f"windows of {stream.window}": streamed_too}
    rich.print(table_of(kinds))
    warnings = {warning: None for one in kinds.values() for warning in warnings_of(one)}
    longest = max(len(one.scores) for one in scored.values())
    if not stream.exact and longest < stream.window:
        warnings[TOO_SHORT.format(longest, stream.window)] = None
    for warning in warnings:
        rank_zero_info(f"warning: {warning}")
    rank_zero_info(f"Written into {place}; `wsvad test`, `wsvad predict` and `wsvad watch` use it")


def streamed(
    whole: Mapping[str, Prediction], store: FeatureStore, stream: ScoreStream
) -> dict[str, Prediction]:
    """Score videos as ``wsvad watch`` does, each from its first snippet on, as when a camera is started.

    Args:
        whole: their scores as whole videos.
        store: with their features.
        stream: that scores; nothing has come in.
    """
    found = {}
    for name, one in track(whole.items(), "score windows", len(whole), transient=True):
        features = {part: store.read(name, part) for part in stream.preparation.streams}
        given = [*stream.update(features), *stream.close()]
        found[name] = one._replace(scores=torch.tensor([score.score for score in given]))
    return found


def normal_videos(
    checkpoint: Mapping[str, Any], path: str, store: str | None, method: str | None
) -> tuple[Catalogue, list[str]]:
    """Choose the normal videos that a model is calibrated on, none of which it was trained or is tested on.

    Args:
        checkpoint: of the model.
        path: of the checkpoint, for messages.
        store: of normal videos, or of any with labels; videos without a label count as normal. None for the
            normal videos that the training held out.
        method: class path of a method that the user trusts, if any.

    Returns:
        The catalogue that they are in, and their names.

    Raises:
        WSVADError: if there are none.
    """
    training = _training(checkpoint, path, method)
    if store is None:
        if training is None:
            raise WSVADError(
                "--data.store", None, "is required: the checkpoint names no training data", UNSEEN
            )
        held_out = [name for name in training.parts["val"] if training.annotations[name].label == 0]
        if not held_out:
            problem = "its training held out no normal video, and those it was trained on score too low"
            raise WSVADError("--ckpt_path", path, problem, UNSEEN)
        return training, held_out
    given = Catalogue(store)
    known = checksums(training, "train", "test") if training is not None else set()
    kinds = {name: _kind(given, name, known) for name in given.video_ids}
    counts = Counter(kinds.values())
    if left_out := [
        f"{counts[kind]} {kind}" for kind in ("abnormal", "of the training or test") if counts[kind]
    ]:
        rank_zero_info(f"note: videos left out: {', '.join(left_out)}")
    names = [name for name, kind in kinds.items() if kind == "normal"]
    if not names:
        problem = "holds no normal video that the model was neither trained nor is tested on"
        raise WSVADError("--data.store", store, problem, UNSEEN)
    return given, names


def _training(checkpoint: Mapping[str, Any], path: str, method: str | None) -> Catalogue | None:
    """Give the videos of the training, with their parts; None where the checkpoint does not say."""
    if CONFIG_KEY not in checkpoint:
        return None
    return training_catalogue(read_carried(checkpoint[CONFIG_KEY], path, [] if method is None else [method]))


def _kind(catalogue: Catalogue, name: str, known: set[str]) -> str:
    if catalogue.store[name].annotation.label == 1:
        return "abnormal"
    return "of the training or test" if known & checksums_of(catalogue, name) else "normal"


def table_of(found: Mapping[str, Calibration]) -> Table:
    """Lay out what was found, by what was scored."""
    table = Table("calibration", *found)
    rows = {
        "normal video": lambda one: f"{counted(one.videos, 'video')}, {one.hours:.3g} h",
        "promised false alarms": lambda one: f"{one.promised:g} an hour at most",
        "threshold": lambda one: f"{one.threshold:.6g}, released below {one.release:.6g}",
        "alarms on it": lambda one: f"{one.alarms}, {one.alarms / one.hours:.3g} an hour",
        "upper bound": lambda one: f"{one.bound:.3g} an hour, at 95 % confidence",
    }
    for name, cell in rows.items():
        table.add_row(name, *map(cell, found.values()))
    return table


def warnings_of(calibration: Calibration) -> list[str]:
    """Say what the calibration cannot promise."""
    found = []
    if not calibration.keeps:
        needed = hours_needed(calibration.promised)
        found.append(
            f"{calibration.hours:.3g} h of normal video are too few to promise {calibration.promised:g} an "
            f"hour: {needed:.2g} h without a false alarm are required, these allow {calibration.bound:.3g}"
        )
    if calibration.threshold > 1 >= calibration.levels[-1]:
        found.append("normal video scores up to 1, so that no score is an alarm")
    return found


def parser_of(command: str) -> ArgumentParser:
    """Make the parser of ``wsvad calibrate``."""
    parser = ArgumentParser(prog=f"wsvad {command}", description=DESCRIPTION, exit_on_error=False)
    parser.add_argument("--config", action=ConfigFile, help="file of arguments")
    parser.add_argument("--ckpt_path", type=str, required=True, help="checkpoint to calibrate")
    parser.add_argument("--data.store", type=str | None, default=None, help="feature store of normal videos")
    parser.add_argument(
        "--false_alarms_per_hour", type=float, default=1.0, help="alarms an hour of normal video at most"
    )
    parser.add_argument(
        "--hysteresis",
        type=float,
        default=0.2,
        help="an alarm ends this share of the way from the threshold down to the median normal score",
    )
    parser.add_argument("--shortest", type=float, default=0.0, help="seconds that an alarm lasts at least")
    parser.add_argument(
        "--pause", type=float, default=10.0, help="seconds after an alarm in which no other one starts"
    )
    parser.add_argument(
        "--window", type=int | None, default=None, help="snippets that `wsvad watch` will score together"
    )
    parser.add_argument(
        "--look_ahead", type=int | None, default=None, help="snippets that its scores will wait for"
    )
    parser.add_argument(
        "--device", type=str, default="cpu", help="accelerator that scores whole videos, such as gpu"
    )
    own = "method of one's own that the checkpoint is of, by name or import path"
    parser.add_argument("--model", type=str | None, default=None, help=own)
    parser.add_argument(
        "-o", "--output", type=str | None, default=None, help="checkpoint to write in place of --ckpt_path"
    )
    return parser
