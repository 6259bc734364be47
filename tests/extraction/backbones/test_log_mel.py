"""Log-mel spectrograms against their formula, and patches against their places."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from wsvad_lightning.extraction.backbones.log_mel import (
    BANDS,
    PATCH,
    cut_patches,
    describe_patches,
    log_mel,
    mel_matrix,
    stream_log_mel,
)

SILENT = math.log(0.01)


def noise(length: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(0, 0.2, length).astype(np.float32))


def test_a_frame_is_what_the_formula_says() -> None:
    samples = noise(720)
    t, f = np.arange(400), np.arange(257)[:, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * t / 400)
    wave = np.exp(-2j * np.pi * f * t / 512)
    mel = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    bands = np.stack([np.interp(mel, edges[b : b + 3], [0, 1, 0], 0, 0) for b in range(64)], axis=1)
    bands[0] = 0
    expected = [
        np.log(0.01 + np.abs(wave @ (window * samples[start : start + 400].numpy())) @ bands)
        for start in (0, 160, 320)
    ]
    np.testing.assert_allclose(log_mel(samples), expected, atol=1e-5)


def test_the_bands_are_those_of_another_implementation() -> None:
    audio = pytest.importorskip("transformers.audio_utils")
    theirs = audio.mel_filter_bank(
        257, 64, 125.0, 7500.0, 16000, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    np.testing.assert_allclose(mel_matrix()[1:], theirs[1:], atol=1e-5)


@pytest.mark.parametrize("size", [37, 400, 1024, 5000])
def test_samples_that_come_in_give_the_frames_of_all_of_them(size: int) -> None:
    samples = noise(5003)
    torch.testing.assert_close(torch.cat([*stream_log_mel(torch.split(samples, size))]), log_mel(samples))


def test_less_than_a_window_gives_no_frame() -> None:
    assert [*stream_log_mel(torch.split(noise(399), 100))] == []


def test_patches_lie_at_their_starts_in_silence() -> None:
    numbers = torch.arange(300.0)[:, None].expand(-1, BANDS)
    starts = [-96, -40, -40, 0, 7, 150, 204, 250, 1000]
    patches = [*cut_patches(iter(torch.split(numbers, 23)), starts)]
    for start, patch in zip(starts, patches, strict=True):
        places = torch.arange(start, start + PATCH)
        inside = (places >= 0) & (places < 300)
        expected = torch.where(inside, places.float(), torch.tensor(SILENT))
        torch.testing.assert_close(patch, expected[:, None].expand(-1, BANDS))


def test_bands_are_described_by_mean_and_deviation() -> None:
    patch = torch.zeros(1, PATCH, BANDS)
    patch[0, ::2, 3] = 2.0
    described = describe_patches(patch)
    assert described.shape == (1, 2 * BANDS)
    assert {index: float(described[0, index]) for index in described[0].nonzero().flatten().tolist()} == {
        3: 1.0,
        BANDS + 3: 1.0,
    }
