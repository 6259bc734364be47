"""The signals that ask a command to end: SIGTERM and Ctrl-C."""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

AGAIN = 0.05  # seconds until a signal that was lost is sent again


class Stopped(SystemExit):
    """A command was stopped by a signal. The exit status is that of a process that the signal killed.

    Args:
        signum: number of the signal.
        reached: what was reached, for the line that the user sees.
        agreed: whether all processes of the run stop at this point.

    Attributes:
        status: the exit status.
        said: the line.
    """

    def __init__(self, signum: int, reached: str = "", *, agreed: bool = False) -> None:
        self.status = 128 + signum
        super().__init__(self.status)
        self.said, self.agreed = f"stopped by {signal.Signals(signum).name}{reached}", agreed


@contextmanager
def continuing() -> Iterator[None]:
    """Do what the same command continues; the line of one that is stopped says so, and no other way."""
    try:
        yield
    except Stopped as stopped:
        stopped.said = f"{stopped.said.partition(';')[0]}; the same command continues"
        raise


@contextmanager
def until_reader_leaves() -> Iterator[None]:
    """End quietly, as SIGPIPE does, where the reader of standard output closes it, such as ``head``.

    Python ignores the signal, without which a connection that a client closes would end a server.

    Raises:
        SystemExit: with the status of a process that SIGPIPE ended.
    """
    try:
        try:
            yield
        except SystemExit:
            _flush()  # after a help
            raise
        _flush()  # and not when Python ends, where nothing takes the error
    except (BrokenPipeError, SystemExit) as error:
        by_rich = isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)
        if not by_rich and (isinstance(error, SystemExit) or not _reader_left()):
            raise
        if not by_rich:  # Rich has done it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


def _flush() -> None:
    if sys.stdout is not None:  # as where the shell closed it
        sys.stdout.flush()


def _reader_left() -> bool:
    """Whether standard output is a pipe, or a socket, that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))


def leave_signals(_: int = 0) -> None:
    """Ignore the signals that a forked process takes over from its parent, which ends it itself."""
    for signum in signal.valid_signals():
        if isinstance(getattr(signal.getsignal(signum), "__self__", None), StopSignals):
            signal.signal(signum, signal.SIG_IGN)


class StopSignals:
    """The signals that end a command, taken by a context manager of its process.

    One that arrives raises :class:`Stopped`. While a training makes its steps it is only noted, to stop after
    the one in hand. More signals do not disturb the end of a run, except a second Ctrl-C.

    Attributes:
        received: number of the first one; 0 if there was none.
        noted: whether they are only noted at present.
    """

    def __init__(self) -> None:
        self.received, self.noted = 0, False
        self._before: dict[int, Any] = {}
        self._hook = sys.unraisablehook

    def __enter__(self) -> Self:
        self.take(signal.SIGTERM)
        self.take(signal.SIGINT)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._lost
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()
        sys.unraisablehook = self._hook

    def take(self, signum: int) -> None:
        """Take one more signal, unless this process ignores it."""
        main = threading.current_thread() is threading.main_thread()  # others cannot
        if main and signum not in self._before and signal.getsignal(signum) != signal.SIG_IGN:
            self._before[signum] = signal.signal(signum, self._receive)

    def _lost(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Send a signal again that arrived in a callback, as of a weak reference, where nothing can raise."""
        if not isinstance(unraisable.exc_value, Stopped):
            self._hook(unraisable)
            return
        signum, self.received = self.received, 0
        again = threading.Timer(AGAIN, os.kill, (os.getpid(), signum))
        again.daemon = True
        again.start()

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        insists = signum == signal.SIGINT == self.received
        if self.received and not insists:
            return
        self.received = signum
        if insists or not self.noted:
            raise Stopped(signum)
