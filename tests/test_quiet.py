"""What a command prints of warnings."""

import logging
import warnings

import pytest

from wsvad_lightning import quiet


def test_own_warnings_are_a_line_and_others_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", quiet.format_with_place)
    with warnings.catch_warnings():
        quiet.be_quiet()
    own, other = str(quiet.PACKAGE / "metrics" / "curves.py"), "/elsewhere/library.py"
    shown = [warnings.formatwarning("auc is NaN", UserWarning, name, 7, "") for name in (own, other)]
    assert shown == ["note: auc is NaN\n", "/elsewhere/library.py:7: UserWarning: auc is NaN\n"]


def test_what_was_loaded_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    quiet.leave_out_tips()
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    for said in ("Restoring states from the checkpoint path at a.ckpt", "Restored all states from a.ckpt"):
        log.warning(said)
    assert [record.getMessage() for record in caplog.records] == ["Restored all states from a.ckpt"]
