"""Requests that wait for the one thread that scores: a bounded number, for a bounded time."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from fastapi import Request
from starlette.requests import ClientDisconnect

from wsvad_lightning.files import without_nan
from wsvad_lightning.serving.service.refused import Refused
from wsvad_lightning.serving.service.scorer import Scorer

AGAIN = {"Retry-After": "1"}  # seconds


class Desk:
    """Takes requests as far as there is room, and has them scored one after the other.

    Args:
        scorer: of uploads.
        waiting: requests that may be there at once, those that still send included.
        seconds: that an upload may wait for its answer.
        ending: whether the service ends; what has not begun by then is refused.

    Attributes:
        inside: requests that are there.
    """

    def __init__(self, scorer: Scorer, waiting: int, seconds: float, ending: Callable[[], bool]) -> None:
        self.scorer, self.seconds, self._most, self._ending = scorer, seconds, waiting, ending
        self.inside = 0
        self._thread = ThreadPoolExecutor(1, "score")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for a request.

        Raises:
            Refused: if there is none.
        """
        if self._ending():
            raise Refused(503, "the service ends")
        if self.inside >= self._most:
            raise Refused(429, f"{self.inside} requests wait already: try again later", AGAIN)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def answer(self, request: Request, path: Path, fps: float | None) -> bytes:
        """Have an upload scored, and give the answer as JSON.

        The file is not in use any more when this returns or raises.

        Args:
            request: whose client may go away.
            path: of the upload.
            fps: see :meth:`Scorer.score`.

        Raises:
            Refused: if it cannot be scored, or not in time.
            ClientDisconnect: if the client went away.
        """
        useless, late = threading.Event(), time.monotonic() + self.seconds
        too_late = Refused(503, f"not scored within {self.seconds:g} s: try again later", AGAIN)

        def check() -> None:
            if useless.is_set() or time.monotonic() > late:
                raise too_late

        def work() -> bytes:
            if self._ending():
                raise Refused(503, "the service ends")
            check()
            return json.dumps(without_nan(self.scorer.score(path, fps, check))).encode()

        job = self._thread.submit(work)
        scored, gone = asyncio.wrap_future(job), asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((scored, gone), timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
            if not scored.done():
                useless.set()
                if gone.done():
                    raise ClientDisconnect
                if job.cancel():
                    raise too_late
            return await scored  # that is being scored: the next check ends it
        finally:
            useless.set()
            job.cancel()
            gone.cancel()
            await asyncio.gather(scored, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Wait until the client of a request, which was read to its end, goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
