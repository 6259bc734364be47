"""When a trial is looked at, and what a damaged journal leaves."""

from pathlib import Path

import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.search.study import JOURNAL, look_often, open_study


@pytest.mark.parametrize("steps", [1, 7, 20, 50, 53, 57, 200])
def test_the_last_step_is_validated(steps: int) -> None:
    *_, interval = look_often(steps)
    assert steps % int(interval) == 0
    assert steps / int(interval) <= 10


def test_a_training_by_epochs_keeps_its_interval() -> None:
    assert look_often(-1) == []


@pytest.mark.parametrize("text", ["nothing\n", '{"op_code": 99}\n', "[1]\n"])
def test_a_damaged_journal_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(WSVADError, match="is not the journal of a search"):
        open_study(tmp_path)
