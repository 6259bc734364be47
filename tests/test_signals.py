"""Signals that end a command are taken, and given back."""

import signal

from wsvad_lightning.signals import StopSignals


def test_handlers_are_given_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            assert signal.getsignal(signal.SIGTERM) == signals._receive
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != signals._receive
    finally:
        signal.signal(signal.SIGINT, before)
