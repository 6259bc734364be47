from pathlib import Path

import pytest

from wsvad_lightning.demo.render import DemoSpec
from wsvad_lightning.demo.run import tour


def test_the_tour_ends_with_table_picture_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = DemoSpec(4, 5, 3, 5, min_frames=48, max_frames=52, width=120, height=80, fps=8)
    tour(tmp_path, spec, ["--trainer.max_steps", "5"])
    shown = capsys.readouterr().out
    for scorer in ("urdmu", "untrained", "motion energy"):
        assert scorer in shown
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "urdmu" / "version_1") in "".join(shown.split())
    assert (tmp_path / "urdmu" / "version_1" / "metrics.json").is_file()
