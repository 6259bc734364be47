"""The table that is made for a GPU, tried on the CPU in small."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.speed.test_step import tiny
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.speed import extraction, measures, step
from wsvad_lightning.speed.gpu import WAYS, measure_extraction, measure_steps, require_device, write_table


def here(task: Callable[..., Any], *arguments: Any) -> Any:
    return task(*arguments)


def tiny_or_none(name: str) -> tuple[WSVADModule, tuple[int, int, int, int]]:
    if name == "MGFN":
        raise RuntimeError("out of\nmemory")
    return tiny(name)


def test_a_table_of_steps_and_extraction_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def compiling(losses: Any) -> Any:
        compiled.append(losses.__name__)
        return losses

    monkeypatch.setattr(step, "official", tiny_or_none)
    monkeypatch.setattr(step, "in_fresh_process", here)
    monkeypatch.setattr(torch, "compile", compiling)
    monkeypatch.setattr(measures, "MATRIX", {"cpu": 16})
    monkeypatch.setattr(extraction, "FRAMES", 16)
    require_device("cpu")
    rows = [*measure_steps(["RTFM", "MGFN"], 2, "cpu"), *measure_extraction(extraction.STREAMS[:1], 2, "cpu")]
    assert compiled == ["compute_losses"]
    table = write_table(rows, tmp_path / "new", "cpu").read_text()
    lines = table.splitlines()
    assert len(lines) == 2 + 2 * len(WAYS) + 1 + 2
    assert {line.count("|") for line in lines[:-2]} == {7}
    assert "| step | RTFM | bf16-mixed, compiled | " in table
    assert "| step | MGFN | 32-true |  |  | RuntimeError: out of memory |" in table
    assert lines[-3].startswith("| extraction | flow_statistics | ")
    written = json.loads((tmp_path / "new" / "gpu.json").read_text())
    assert written["receipt"]["torch"] == torch.__version__
    assert [len(row["seconds"]) for row in written["rows"]] == [2, 2, 2, 0, 0, 0, 2]
    assert all(row["rate"] > 0 for row in written["rows"] if row["seconds"])


def test_a_missing_gpu_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WSVADError, match="no GPU with CUDA.*--device cpu"):
        require_device("cuda")
