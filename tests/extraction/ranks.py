"""One of several processes that extract together, as ``torchrun`` would start it."""

import os
import resource
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction import job
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.extraction.encode import EncodedVideo, encode_video
from wsvad_lightning.extraction.job import Processes
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.signals import Stopped

STREAM = StreamSpec("motion", "flow_statistics", size=32)


def run_rank(
    rank: int,
    world: int,
    port: int,
    videos: Path,
    output: Path,
    dies_at: str = "",
    full_at: str = "",
    stops_at: str = "",
    **options: Any,
) -> None:
    """Extract, exit as the command would, and note every video that was encoded in a file of this rank.

    Args:
        rank: of this process.
        world: how many there are.
        port: where they meet.
        videos: folder.
        output: the store.
        dies_at: name of the video in the midst of which this process is killed.
        full_at: name of the video in the midst of which its disk is full.
        stops_at: name of the video in the midst of which it is sent SIGTERM.
        options: of the extraction.
    """
    warnings.simplefilter("ignore")  # the fork server does not know pytest's filters
    agent = {"GROUP_RANK": 0, "LOCAL_WORLD_SIZE": world, "TORCHELASTIC_RUN_ID": "test"}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world}
    os.environ.update({name: str(value) for name, value in {**agent, **meeting, **ranks}.items()})

    @contextmanager
    def noting(path: Path, *args: Any) -> Iterator[EncodedVideo]:
        with encode_video(path, *args) as video:
            if path.stem == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if path.stem == stops_at:
                os.kill(os.getpid(), signal.SIGTERM)
            if path.stem == full_at:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
            with Path(f"{output}.rank{rank}").open("a") as file:
                file.write(f"{path.stem}\n")
            yield video

    setattr(job, "encode_video", noting)  # noqa: B010  # which mypy takes for no part of the module
    processes = Processes("cpu", world)
    try:
        status = extract(str(videos), str(output), streams=[STREAM], trainer=processes, **options)
    except WSVADError as error:
        Path(f"{output}.error{rank}").write_text(str(error))
        status = 2
    except Stopped as stopped:
        Path(f"{output}.error{rank}").write_text(stopped.said)
        raise
    raise SystemExit(status)
