"""Signals that end a command are taken, and given back; processes that it forks leave them to it."""

import os
import signal
import time

import pytest

from wsvad_lightning.signals import Stopped, StopSignals, leave_signals


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
