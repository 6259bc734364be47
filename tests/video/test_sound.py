"""The sound of videos: in step with the pictures, at one rate, one channel."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tests.videos import save_heard
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.frames import FrameFolder
from wsvad_lightning.video.sound import Samples, open_sound

RATE = 16_000


def ticks(length: float, rate: int = RATE) -> Samples:
    """A tone that begins anew with every tenth of a second, ever louder."""
    t = np.arange(round(length * rate)) / rate
    return (np.sin(2 * np.pi * 440 * t) * (0.1 + 0.8 * (t % 0.1) / 0.1)).astype(np.float32)


def hear(path: Path, rate: int = RATE) -> Samples:
    with open_sound(path, rate) as sound:
        assert sound is not None
        heard = np.concatenate([*sound.blocks()])
        assert sound.failed == 0
    return heard


def test_samples_come_as_they_were_recorded(tmp_path: Path) -> None:
    samples = ticks(2.5)
    heard = hear(save_heard(tmp_path / "a.mkv", samples))
    np.testing.assert_allclose(heard, samples, atol=1e-4)


def test_sound_that_begins_late_has_silence_before_it(tmp_path: Path) -> None:
    samples = ticks(1.0)
    heard = hear(save_heard(tmp_path / "a.mkv", samples, late=0.75))
    np.testing.assert_array_equal(heard[:12_000], 0)
    np.testing.assert_allclose(heard[12_000:], samples, atol=1e-4)


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    heard = hear(save_heard(tmp_path / "a.mkv", ticks(2, 44_100), rate=44_100))
    assert abs(len(heard) - 2 * RATE) < 64
    spectrum = np.abs(np.fft.rfft(heard[: 2 * RATE]))
    assert spectrum.argmax() == 880  # 440 Hz in 2 seconds


def test_videos_without_a_track_have_none(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, (tmp_path / "1.png",), 25.0)
    for video in (save_heard(tmp_path / "a.mkv", None), folder):
        with open_sound(video, RATE) as sound:
            assert sound is None


def test_what_is_missing_is_silent_and_the_rest_in_its_place(tmp_path: Path) -> None:
    samples = ticks(4)
    heard = hear(save_heard(tmp_path / "a.mkv", samples, lost=range(20, 30)))
    samples[20_000:30_000] = 0
    np.testing.assert_allclose(heard, samples, atol=1e-4)


class Broken:
    """A packet that no decoder takes."""

    dts = 0

    def decode(self) -> list[Any]:
        raise av.error.InvalidDataError(0, "damaged")


def test_packets_that_cannot_be_decoded_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = ticks(1)
    with open_sound(save_heard(tmp_path / "a.mkv", samples), RATE) as sound:
        assert sound is not None
        container = sound._container
        packets = [*container.demux(sound._track)]
        monkeypatch.setattr(
            sound, "_container", SimpleNamespace(demux=lambda _: [*packets[:5], Broken(), *packets[6:]])
        )
        heard = np.concatenate([*sound.blocks()])
        assert sound.failed == 1
    lost = heard == 0
    assert 0 < lost.sum() < len(samples) / 2
    np.testing.assert_allclose(heard[~lost], samples[~lost], atol=1e-4)


def test_lists_of_other_files_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\nhttp://nowhere/a.ts\n")
    with pytest.raises(WSVADError, match="list of other files"), open_sound(path, RATE):
        pass
