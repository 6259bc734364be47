from pathlib import Path

import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.speed import extraction
from wsvad_lightning.speed.extraction import Measurement, benchmark_extraction, measure, moving_texture

SPEC = StreamSpec("motion", "flow_statistics", size=32)


def test_shares_are_of_the_slower_of_the_two() -> None:
    rates = Measurement(decode=[100.0, 100.0], encode=[50.0, 200.0], both=[40.0, 90.0])
    assert rates.share == pytest.approx((0.8 + 0.9) / 2)
    assert rates.in_turn == pytest.approx(2 / 3)


def test_every_way_is_measured_as_often(tmp_path: Path) -> None:
    path = moving_texture(tmp_path / "texture.mp4", 20)
    rates = measure(path, build_encoder(SPEC, torch.device("cpu")), repeats=2)
    for values in (rates.decode, rates.encode, rates.both):
        assert len(values) == 2
        assert min(values) > 0


def test_a_table_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extraction, "FRAMES", 20)
    monkeypatch.setenv("COLUMNS", "150")
    benchmark_extraction(streams=[SPEC], repeats=1)
    shown = capsys.readouterr().out
    for words in ("motion", "decoding alone", "backbone alone", "end to end", "share"):
        assert words in shown
    with pytest.raises(WSVADError, match="absent"):
        benchmark_extraction(str(tmp_path / "absent.mp4"), [SPEC], repeats=1)
