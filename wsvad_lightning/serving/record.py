"""What ``wsvad watch`` writes down: lines of JSON, pictures of alarms, and requests to a web address."""

import json
import queue
import sys
import threading
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.names import usable_as_path
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing, without_nan
from wsvad_lightning.serving.clip import write_clip

LINES, PICTURES = "watch.jsonl", "alarms"
MOST_POSTS = 64  # alarms that wait to be posted
PATIENCE = 5.0  # seconds for a web address to answer
LAST = 10.0  # seconds that the end waits for posts


class Record:
    """Lines of JSON on standard output or in a folder, with pictures of alarms there.

    Args:
        folder: for everything; None for lines on standard output and no pictures.
        webhook: address that gets each alarm by POST; None for none.

    Raises:
        WSVADError: if the folder cannot be written, or the address is none.
    """

    def __init__(self, folder: Path | None, webhook: str | None = None) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._file: IO[str] = sys.stdout
        self._hook = None if webhook is None else Webhook(webhook, self.write)
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = (folder / LINES).open("a", encoding="utf-8")
            except OSError as error:
                problem = f"cannot be written ({error.strerror})"
                raise WSVADError("--output", folder, problem, "Choose another folder") from error

    def write(self, kind: str, source: str, **fields: Any) -> None:
        """Write a line; a number that is none becomes ``null``."""
        record = without_nan({"kind": kind, "source": source, **fields})
        line = json.dumps(record, ensure_ascii=False)
        with self._lock:
            self._file.write(f"{line}\n")
            self._file.flush()

    def alarm(
        self, source: str, picture: NDArray[np.uint8] | None, clip: Sequence[NDArray[np.uint8]], **fields: Any
    ) -> None:
        """Write an alarm, with its picture ``[H, W, 3]`` and the frames of its clip, and post it."""
        if self._folder is not None:
            name = f"{usable_as_path(_plain(source))}-{round(1000 * fields['start']):010d}"
            path = self._folder / PICTURES / name
            try:
                if picture is not None:
                    save_picture(picture, path.with_name(f"{name}.jpg"))
                    fields["picture"] = f"{PICTURES}/{name}.jpg"
                if clip and clip[0].size:
                    write_clip(clip, path.with_name(f"{name}.mp4"))
                    fields["clip"] = f"{PICTURES}/{name}.mp4"
            except WSVADError as error:
                self.write("note", source, text=f"no picture or clip of the alarm: {error.problem}")
        self.write("alarm", source, **fields)
        if self._hook is not None:
            self._hook.post(source, {"kind": "alarm", "source": source, **fields})

    def close(self) -> None:
        """Post what waits, and close the file."""
        if self._hook is not None:
            self._hook.close()
        if self._folder is not None:
            self._file.close()


class Webhook:
    """Posts alarms to a web address, in a thread of its own; what fails is noted.

    Args:
        address: http or https.
        write: of :class:`Record`, for notes.

    Raises:
        WSVADError: if the address is of another kind.
    """

    def __init__(self, address: str, write: Any) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WSVADError("--webhook", address, "is not a web address", "Give http://… or https://…")
        self._address, self._write = address, write
        self._waiting: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue(MOST_POSTS)
        self._thread = threading.Thread(target=self._run, daemon=True, name="webhook")
        self._thread.start()

    def post(self, source: str, record: dict[str, Any]) -> None:
        """Let a record wait to be posted; too many are left out."""
        try:
            self._waiting.put_nowait((source, record))
        except queue.Full:
            self._write("note", source, text=f"an alarm was not posted: {MOST_POSTS} others wait")

    def close(self) -> None:
        """Wait for the posts, for some seconds."""
        try:
            self._waiting.put(None, timeout=LAST)
        except queue.Full:
            return
        self._thread.join(LAST)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            source, record = item
            body = json.dumps(without_nan(record)).encode()
            request = urllib.request.Request(  # http or https, see above
                self._address, body, {"Content-Type": "application/json"}, method="POST"
            )
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE):  # as above
                    pass
            except (OSError, ValueError) as error:  # HTTP errors are of the first kind
                reason = " ".join(str(getattr(error, "reason", error)).split())
                self._write("note", source, text=f"an alarm was not posted: {reason}")


def utc(seconds: float) -> str:
    """A moment of ``time.time`` as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(source: str) -> str:
    """A name of a file for a source."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in source)


def save_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture ``[H, W, 3]`` as JPEG.

    Raises:
        WSVADError: if it cannot be written.
    """
    from PIL import Image  # of the extra `video`

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, "JPEG", quality=85)
