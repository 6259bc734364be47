"""What files state of their coding is compared with those of the training."""

import csv
import logging
from pathlib import Path

import pytest
import torch

from tests.videos import VideoMaker
from wsvad_lightning import Detector
from wsvad_lightning.cli import main
from wsvad_lightning.data.loading.codings import BITS, CODECS, Codings
from wsvad_lightning.data.loading.familiarity import FEWEST
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import Coding

USUAL = [Coding("h264", 0.1 * 1.1 ** (i % 3 - 1)) for i in range(FEWEST)]


def fitted(codings: list[Coding | None]) -> Codings:
    found = Codings()
    found.fit(codings)
    return found


def test_another_codec_and_another_size_are_named_and_usual_ones_are_not() -> None:
    codings = fitted([*USUAL])
    assert [codings.change(coding) for coding in [*USUAL, None]] == [""] * (FEWEST + 1)
    assert codings.change(Coding("mjpeg", 0.1)) == "mjpeg, not h264"
    assert codings.change(Coding("h264", 0.13)) == codings.change(Coding("h264", 0.077)) == ""
    assert codings.change(Coding("h264", 0.02)).startswith("0.02 bits a pixel, not 0.0")
    assert codings.change(Coding("h264", 0.0)).startswith("0 bits a pixel")
    assert fitted([*USUAL, Coding("vp9", 0.1)]).change(Coding("mjpeg", 0.1)) == "mjpeg, not h264 or vp9"


@pytest.mark.parametrize("codings", [USUAL[1:], [*USUAL, None], []])
def test_nothing_is_said_where_it_is_not_known_what_is_usual(codings: list[Coding | None]) -> None:
    found = fitted(codings)
    assert (found.change(Coding("mjpeg", 9.0)), found.state_dict()) == ("", {})


def test_statistics_travel_in_a_state() -> None:
    codings, other = fitted([*USUAL, Coding("vp9", 0.1)]), Codings()
    other.load_state_dict(codings.state_dict() | {"features/mean": torch.zeros(3)})
    for coding in (*USUAL, Coding("mjpeg", 0.1), Coding("h264", 0.001), Coding("h264", 5.0)):
        assert other.change(coding) == codings.change(coding)
    other.load_state_dict({})
    assert other.change(Coding("mjpeg", 0.1)) == ""


@pytest.mark.parametrize(
    "change",
    [
        {CODECS: torch.zeros(3)},
        {CODECS: torch.tensor([*b"h264\n"], dtype=torch.uint8)},
        {CODECS: torch.tensor([*b""], dtype=torch.uint8)},
        {CODECS: torch.full((2000,), 97, dtype=torch.uint8)},
        {BITS: torch.tensor([0.0, torch.nan])},
        {BITS: torch.tensor([0.0, 0.0])},
        {BITS: torch.tensor(1.0)},
        {BITS: torch.tensor([0.0, 1.0], dtype=torch.float64)},
    ],
)
def test_a_state_that_is_none_is_refused(change: dict[str, torch.Tensor]) -> None:
    with pytest.raises(WSVADError, match="does not say how its training videos are encoded"):
        Codings().load_state_dict(fitted([*USUAL]).state_dict() | change)


def test_a_video_of_another_codec_is_named_from_its_file(
    make_video: VideoMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{'na'[i % 2]}{i:02d}" for i in range(FEWEST)]
    for name in names:
        make_video(f"videos/{name}.mp4", 8)
    rows = [f"{name},{'normal' if name[0] == 'n' else 'abnormal'},train\n" for name in names]
    (tmp_path / "videos.csv").write_text("video,label,split\n" + "".join(rows))
    store = tmp_path / "store.h5"
    options = ["--annotations", str(tmp_path / "videos.csv"), "--config", "extract/motion.yaml"]
    options += ["--snippet_length", "4"]
    assert main(["extract", str(tmp_path / "videos"), str(store), *options]) == 0
    record = FeatureStore(store)["n00"]
    size = (tmp_path / "videos" / "n00.mp4").stat().st_size
    assert record.coding is not None
    assert record.coding.codec == "h264"
    assert 0.3 * size < record.coding.bits_per_pixel * 8 * 64 * 48 / 8 < size
    fit = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    fit += ["--data.features", "motion_1x1", "--model.hidden_dim", "8", "--trainer.max_steps", "1"]
    assert main([*fit, "--output", str(tmp_path), "--name", "model"]) == 0
    checkpoint = tmp_path / "model" / "version_0" / "checkpoints" / "last.ckpt"
    make_video("new/same.mp4", 8)
    other = make_video("new/other.avi", 8, codec="mjpeg", pixels="yuvj420p")
    predict = ["predict", "--ckpt_path", str(checkpoint), "--videos", str(tmp_path / "new")]
    with caplog.at_level(logging.INFO):
        assert main([*predict, "--output", str(tmp_path), "--name", "scored"]) == 0
    table = tmp_path / "scored" / "version_0" / "videos.csv"
    found = {row["video"]: row["coding"] for row in csv.DictReader(table.read_text().splitlines())}
    assert found == {"same": "", "other": "mjpeg, not h264"}
    assert "warning: other is encoded otherwise than the training videos: mjpeg, not h264" in caplog.text
    assert "1 of 2 videos are encoded otherwise" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        Detector.from_checkpoint(checkpoint).score_video(other)
    assert "other is encoded otherwise than the training videos: mjpeg, not h264" in caplog.text
