"""Signals that end a command are taken, and given back; processes that it forks leave them to it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from wsvad_lightning.signals import Stopped, StopSignals, leave_signals, until_reader_leaves


class Callback:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_handlers_are_given_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            assert signal.getsignal(signal.SIGTERM) == signals._receive
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != signals._receive
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_forked_process_leaves_them_to_its_parent() -> None:
    with StopSignals() as signals:
        signals.take(signal.SIGUSR1)  # as in a job of SLURM
        child = os.fork()
        if not child:
            leave_signals()
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                os.kill(os.getpid(), signum)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_signal_that_arrives_where_nothing_can_raise_is_not_lost() -> None:
    def work() -> None:
        Callback()  # and gone
        time.sleep(60)

    with pytest.raises(Stopped, match="143"), StopSignals():
        work()


@pytest.mark.parametrize(
    "printed", ["sys.stdout.write('a')", "rich.print('a')", "sys.stdout.write('a'), exit(0)"]
)
def test_a_command_whose_reader_left_ends_quietly(printed: str) -> None:
    code = "import sys, rich; from wsvad_lightning.signals import until_reader_leaves"
    code += f"\nwith until_reader_leaves(): {printed}"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        done = subprocess.run([sys.executable, "-c", code], stdout=output, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_a_pipe_that_is_not_the_output_is_an_error_as_before() -> None:
    with pytest.raises(BrokenPipeError), until_reader_leaves():
        raise BrokenPipeError
