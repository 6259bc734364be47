"""Log-mel spectrograms as VGGish takes them, and their statistics.

Source: S. Hershey et al., "CNN Architectures for Large-Scale Audio Classification" (ICASSP 2017), with the
numbers of its released code (tensorflow/models, ``audioset/vggish``). With x the samples at 16 kHz:

    m_jb = log(0.01 + sum_f M_fb |DFT_512(h x[160 j : 160 j + 400])_f|)

h is the periodic Hann window, so that a frame j has 25 ms and frames follow each other by 10 ms. M are 64
triangles of height 1 on the scale mel(f) = 1127 ln(1 + f / 700), evenly spaced from 125 to 7500 Hz; the
constant part of the signal is left out.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

RATE = 16_000  # samples a second
WINDOW, HOP, FFT = 400, 160, 512  # samples
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # Hz
OFFSET = 0.01
PATCH = 96  # frames that are described together, 0.96 s
FRAMES_A_SECOND = RATE // HOP


def mel_matrix() -> Tensor:
    """Give M: ``[FFT / 2 + 1, BANDS]`` float32."""
    place = _mel(torch.linspace(0, RATE / 2, FFT // 2 + 1, dtype=torch.float64))[:, None]
    low, high = _mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, BANDS + 2, dtype=torch.float64)
    rising = (place - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - place) / (edges[2:] - edges[1:-1])
    matrix = torch.minimum(rising, falling).clamp_min(0)
    matrix[0] = 0
    return matrix.float()


def log_mel(samples: Tensor) -> Tensor:
    """Give the frames ``[1 + (S - WINDOW) // HOP, BANDS]`` of samples ``[S]`` float32, S at least WINDOW."""
    windows = samples.unfold(0, WINDOW, HOP) * torch.hann_window(WINDOW, periodic=True)
    return torch.log(torch.fft.rfft(windows, FFT).abs() @ mel_matrix() + OFFSET)


def stream_log_mel(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Give the frames ``[J, BANDS]`` while samples ``[S]`` come in: those of all of them together."""
    held = torch.zeros(0)
    for block in blocks:
        held = torch.cat([held, block])
        if len(held) >= WINDOW + RATE // 10:  # not frame by frame
            frames = log_mel(held)
            held = held[HOP * len(frames) :]
            yield frames
    if len(held) >= WINDOW:
        yield log_mel(held)


def cut_patches(frames: Iterator[Tensor], starts: Iterable[int]) -> Iterator[Tensor]:
    """Give patches ``[PATCH, BANDS]``; before the first frame and after the last one is silence.

    Args:
        frames: of :func:`stream_log_mel`.
        starts: first frame of each patch, in ascending order, -PATCH at least.
    """
    silence = torch.full((PATCH, BANDS), math.log(OFFSET))
    held, first = silence, -PATCH
    for start in starts:
        while True:
            skipped = min(start - first, len(held))
            held, first = held[skipped:], first + skipped
            if len(held) >= PATCH:
                break
            held = torch.cat([held, next(frames, silence)])
        yield held[:PATCH]


def describe_patches(patches: Tensor) -> Tensor:
    """Give the mean and the deviation of each band: ``[B, 2 BANDS]`` of ``[B, PATCH, BANDS]``."""
    return torch.cat([patches.mean(dim=1), patches.std(dim=1, correction=0)], dim=1)


def _mel(hertz: Tensor) -> Tensor:
    return 1127 * torch.log1p(hertz / 700)
