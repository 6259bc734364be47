"""``wsvad label``: start the page, and end it by a signal."""

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from wsvad_lightning.data.datasets.footage import find_videos
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.serving.labelling.films import Films
from wsvad_lightning.serving.labelling.sheet import Sheet
from wsvad_lightning.serving.service.command import REQUIRED, listening, server_of


def label(videos: str, *, output: str = "videos.csv", port: int = 8001) -> None:
    """Open a page of this machine on which a person labels videos by the keyboard, until a signal comes.

    The table is written after every change, and one that is there is gone on with.

    Args:
        videos: folder with all its subfolders, one video, or a table of their paths.
        output: table to make or to go on with, as `wsvad extract --annotations` reads it.
        port: to listen at.

    Raises:
        WSVADError: if a package is missing, no video is found, the table cannot be read or would lose
            something, or the port is in use.
    """
    if missing := [name for name in REQUIRED if find_spec(name) is None]:
        remedy = 'Run pip install "wsvad-lightning[serve]"'
        raise WSVADError("label", ", ".join(missing), "is required and not installed", remedy)
    from wsvad_lightning.serving.labelling.app import make_app

    found, notes = find_videos(videos)
    sys.stderr.writelines(f"note: {note}\n" for note in notes)
    sheet = Sheet(Path(output), found)
    with listening("127.0.0.1", port) as listener, TemporaryDirectory(prefix="wsvad-label-") as folder:
        server = server_of(make_app(sheet, Films([video.path for video in found], Path(folder))))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        sys.stderr.write(
            f"{counted(len(found), 'video')} at {address}; {output} is written after every change\n"
        )
        server.run(sockets=[listener])
