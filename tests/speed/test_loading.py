from pathlib import Path

import pytest

from wsvad_lightning.speed import loading
from wsvad_lightning.speed.loading import benchmark_loading, make_data, measure


@pytest.fixture(autouse=True)
def _short_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LONGEST", 90)


def test_every_way_gives_the_same_batch(tmp_path: Path) -> None:
    snippets = make_data(tmp_path, bags=6, dim=8, distribution="log-uniform")
    assert 6 * 20 <= snippets <= 6 * 90
    measurements = measure(tmp_path, bags=6, segments=32, repeats=2)
    assert [measurement.name for measurement in measurements] == [
        ".npy files",
        "feature store",
        "segment cache",
    ]
    for measurement in measurements:
        assert measurement.equal
        assert len(measurement.seconds) == 2
        assert measurement.peak_bytes >= 6 * 32 * 8 * 4


def test_a_table_for_each_distribution_and_no_data_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark_loading(bags=4, segments=8, dim=4, repeats=1, folder=str(tmp_path))
    printed = capsys.readouterr().out
    assert "4 bags of 8 x 4, uniform lengths" in printed
    assert "4 bags of 8 x 4, log-uniform lengths" in printed
    assert printed.count("yes") == 6
    assert list(tmp_path.iterdir()) == []
