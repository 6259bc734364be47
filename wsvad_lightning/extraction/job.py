"""The extraction of many videos by Lightning's predict loop, in one or many processes and machines."""

import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import distributed

from wsvad_lightning.data.datasets.footage import SourceVideo
from wsvad_lightning.data.store import Origin, StoreWriter
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.changes import UNCHANGED, Changes, origin_of
from wsvad_lightning.extraction.encode import EncodedVideo, encode_video
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import Encoder
from wsvad_lightning.quiet import be_quiet
from wsvad_lightning.ranks import ending_together
from wsvad_lightning.signals import Stopped, StopSignals
from wsvad_lightning.slurm import queue_again_if_asked, take_over

DEPRECATED = "`isinstance.treespec, LeafSpec.` is deprecated"  # warning of PyTorch about Lightning
PATIENCE = timedelta(days=100)  # processes wait at the end for the one with the longest videos

Todo = Sequence[SourceVideo]


@dataclass(frozen=True)
class Processes:
    """Where videos are extracted, in the words of Lightning's trainer.

    Attributes:
        accelerator: ``cpu`` or ``gpu``; ``auto`` takes a GPU if there is one.
        devices: processes on each machine; each has a GPU of its own, or they share the CPU.
        num_nodes: machines. On each the same command is run by SLURM, ``torchrun`` or the like; all must see
            the videos and the store.

    Raises:
        WSVADError: if a number is less than 1.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    num_nodes: int = 1

    def __post_init__(self) -> None:
        for name, number in {"devices": self.devices, "num_nodes": self.num_nodes}.items():
            if number < 1:
                raise WSVADError(f"trainer.{name}", number, "must be at least 1", "Give 1 or more")

    def trainer(self) -> Trainer:
        """Lightning's trainer on these, without any of its side work."""
        be_quiet()
        alone = self.devices == 1 and self.num_nodes == 1
        return Trainer(
            accelerator=self.accelerator,
            devices=self.devices,
            num_nodes=self.num_nodes,
            # gloo, since tensors stay where they are: only names and errors travel
            strategy="auto" if alone else DDPStrategy(process_group_backend="gloo", timeout=PATIENCE),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )


ONE_PROCESS = Processes()


class Outcome(NamedTuple):
    """What happened to the videos; with several processes, on the first one.

    Attributes:
        broken: what was wrong with those that could not be extracted.
        notes: names and oddities of those that could: what :attr:`VideoReader.notes` says.
    """

    broken: list[WSVADError]
    notes: list[tuple[str, str]]


def extract_videos(
    todo: Todo,
    output: str | Path,
    recipe: ExtractionRecipe,
    batch_size: int = 16,
    processes: Processes = ONE_PROCESS,
    *,
    skip_broken: bool = False,
    changes: Changes = UNCHANGED,
) -> Outcome:
    """Extract videos into a store, each on one of the processes; those that it holds are left alone.

    Where several processes work, all of them call this with the same arguments. It returns once the store is
    whole.

    Args:
        todo: videos and what is known of them.
        output: the store.
        recipe: what to compute.
        batch_size: frames encoded at once.
        processes: where to compute.
        skip_broken: continue past broken videos. Else every process stops at its first one.
        changes: videos that the store holds and that are written again.

    Raises:
        WSVADError: on the first process, if a video is broken and must not be skipped, or any process cannot
            write the store; on all, if it is of another recipe.
    """
    trainer = processes.trainer()
    encoders = recipe.build_encoders(trainer.strategy.root_device)
    outcome, failed = Outcome([], []), list[WSVADError]()
    with ending_together(), stopping(trainer):
        try:
            with StoreWriter(output, recipe.provenance(encoders)) as writer, warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", "`isinstance.treespec, LeafSpec.` is deprecated"
                )  # Lightning's
                extraction = Extraction(todo, writer, encoders, recipe, batch_size, skip_broken, changes)
                outcome = extraction.outcome
                trainer.predict(extraction, return_predictions=False)
        except WSVADError as error:  # as of a full disk: the others wait for this process
            if not distributed.is_initialized():
                raise
            failed.append(error)
        outcome, failed = _gather(outcome, failed)
    if failed or (outcome.broken and not skip_broken):
        raise [*failed, *outcome.broken][0]
    return outcome


@contextmanager
def stopping(trainer: Trainer) -> Iterator[None]:
    """End all processes of a trainer at once on a signal."""
    with StopSignals() as signals:
        take_over(trainer, signals)
        try:
            yield
        except Stopped:
            if launcher := trainer.strategy.launcher:  # of the other processes, if this one started them
                launcher.kill(signal.SIGTERM)
            queue_again_if_asked(trainer, signals.received)
            raise


class Extraction(LightningModule):
    """The predict loop over the videos of this process: a step encodes one and writes it.

    Args:
        todo: the videos of all processes.
        writer: of the store.
        encoders: by name of the stream.
        recipe: what to compute.
        batch_size: frames encoded at once.
        skip_broken: see :func:`extract_videos`.
        changes: see :func:`extract_videos`.

    Attributes:
        outcome: what became of the videos so far.
    """

    allow_zero_length_dataloader_with_multiple_devices = True  # fewer videos than processes

    def __init__(
        self,
        todo: Todo,
        writer: StoreWriter,
        encoders: Mapping[str, Encoder],
        recipe: ExtractionRecipe,
        batch_size: int,
        skip_broken: bool,
        changes: Changes,
    ) -> None:
        super().__init__()
        self.todo, self.writer, self.encoders = todo, writer, encoders
        self.recipe, self.batch_size = recipe, batch_size
        self.skip_broken, self.changes = skip_broken, changes
        self.outcome = Outcome([], [])

    def predict_dataloader(self) -> range:
        """The places in the list of the videos that are this process's.

        They follow from the list alone, not from what is in the store: processes start at different times.
        """
        return range(self.trainer.global_rank, len(self.todo), self.trainer.world_size)

    def on_predict_start(self) -> None:
        """Show the progress of this process, if it is the first."""
        mine = len(self.predict_dataloader())
        self.display = Display(mine, self.trainer.world_size, visible=self.trainer.is_global_zero)

    def on_predict_end(self) -> None:
        """End the display."""
        self.display.stop()

    def predict_step(self, batch: int, batch_idx: int) -> str:
        """Extract one video, unless it is done or this process has stopped at a broken one; give its name."""
        video = self.todo[batch]
        video_id = video.annotation.video_id
        stopped = self.outcome.broken and not self.skip_broken
        if not stopped and (video_id not in self.writer or video_id in self.changes.files):
            self.display.start(video_id)
            self._extract(video)
        elif not stopped and video_id in self.changes.annotations:
            self._annotate(video)
        self.display.finish()
        return video_id

    def _annotate(self, video: SourceVideo) -> None:
        try:
            self.writer.annotate(video.annotation)
        except WSVADError as error:
            if error.argument != "video":  # a full disk is not a fault of the video
                raise
            self.outcome.broken.append(error)

    def _extract(self, given: SourceVideo) -> None:
        recipe, output, count = self.recipe, self.writer.path, self.display.count
        settings = (recipe.snippets, self.batch_size, recipe.fps, count, recipe.dtype, output.parent)
        with ExitStack() as files:
            try:
                origin = origin_of(given)  # first: a file that changes while it is decoded is another one
                video = files.enter_context(encode_video(given.path, self.encoders, *settings))
                annotation = given.annotation.in_frames(video.fps, video.num_frames)
                annotation.check_num_frames(video.num_frames)
                annotation = replace(annotation, frame_size=video.frame_size)  # the table's may be of boxes
                given = given._replace(annotation=annotation)
            except WSVADError as error:
                self.outcome.broken.append(error)
            except OSError as error:  # where the features wait: not a fault of the video
                remedy = "Free space or choose another folder"
                problem = f"cannot be written ({error.strerror})"
                raise WSVADError("output", output, problem, remedy) from error
            else:
                self._write(given, video, origin)

    def _write(self, given: SourceVideo, video: EncodedVideo, origin: Origin | None) -> None:
        self.writer.add(
            given.annotation,
            video.streams,
            num_frames=video.num_frames,
            fps=video.fps,
            notes=video.notes,
            coding=video.coding,
            origin=origin,
            replace=given.annotation.video_id in self.changes.files,
        )
        self.outcome.notes.extend((given.annotation.video_id, note) for note in video.notes)


class Display:
    """A progress bar on standard error: videos done, frames a second, time left.

    Args:
        num_videos: videos of this process.
        num_processes: processes at work.
        visible: whether to show it.
    """

    def __init__(self, num_videos: int, num_processes: int, *, visible: bool) -> None:
        share = f" (first of {num_processes} processes)" if num_processes > 1 else ""
        self._progress = Progress(
            TextColumn(f"extract{share}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[video]}", markup=False),
            console=Console(stderr=True),
            disable=not visible,
        )
        self._task = self._progress.add_task("", total=num_videos, speed="", video="")
        self._frames, self._began = 0, time.monotonic()
        self._progress.start()

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()

    def start(self, video_id: str) -> None:
        """Name the video in work."""
        self._progress.update(self._task, video=video_id)

    def count(self, num_frames: int) -> None:
        """Count more frames."""
        self._frames += num_frames
        speed = self._frames / (time.monotonic() - self._began)
        self._progress.update(self._task, speed=f"{speed:{'.0f' if speed >= 10 else '.2g'}} frames/s, ")

    def finish(self) -> None:
        """Count a video."""
        self._progress.update(self._task, advance=1, video="")


def _gather(mine: Outcome, failed: list[WSVADError]) -> tuple[Outcome, list[WSVADError]]:
    """Join the outcomes of all processes, and what ended some of them, on the first one; let them part.

    Nothing is left on the others.
    """
    if not distributed.is_initialized():
        return mine, failed
    first = distributed.get_rank() == 0
    parts: list[Any] = [None] * distributed.get_world_size()
    try:
        distributed.gather_object((mine, failed), parts if first else None)
    except RuntimeError as error:  # the connection was closed
        remedy = "Run the same command again: what is done stays"
        raise WSVADError("trainer", f"{len(parts)} processes", "another one has died", remedy) from error
    distributed.destroy_process_group()  # else its threads may abort the process as it ends
    if not first:
        return Outcome([], []), []
    broken = sorted((error for part, _ in parts for error in part.broken), key=str)
    notes = sorted(note for part, _ in parts for note in part.notes)
    return Outcome(broken, notes), [error for _, errors in parts for error in errors]
