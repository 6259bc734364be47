import numpy as np
import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed import clips
from wsvad_lightning.speed.clips import Round, benchmark_clips, loading_table


def test_decoding_loading_and_waiting_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clips, "FRAMES", 32)
    monkeypatch.setattr(clips, "VIDEOS", 2)
    decoded: list[int] = []
    decode = clips.decode

    def counting(plan: clips.Plan, draw: bool) -> None:
        decoded.append(len(plan))
        decode(plan, draw)

    monkeypatch.setattr(clips, "decode", counting)
    benchmark_clips(
        length=2, stride=3, size=32, batch_size=2, num_workers=(0,), batches=2, repeats=2, steps=1
    )
    assert decoded == [4] * 6  # 2 batches of 2, as coded and in RGB, in two rounds and one to warm up
    printed = capsys.readouterr().out
    assert "4 clips of 2 frames, stride 3, 32 x 32" in printed
    assert "Training steps of 2" in printed
    with pytest.raises(WSVADError, match="batches='6': a pass over the videos has 5"):
        benchmark_clips(length=2, stride=3, size=32, batch_size=2, num_workers=(0,), batches=6)


def test_shares_are_of_the_same_round() -> None:
    table = loading_table({0: [Round(1.0, 2.0, 2.0), Round(3.0, 4.0, 4.0), Round(9.0, 9.0, 10.0)]}, 8, "")
    rates = [next(iter(column.cells)) for column in table.columns]
    assert rates == ["0", "2.7", "2.0", "2.0", "0.75", "1.00"]


def test_a_step_learns() -> None:
    network = clips.small_transformer()
    patches = network(torch.zeros(1, 3, 4, 32, 48))
    assert patches.shape == (1, 2 * 2 * 3, 3 * 2 * 16**2)
    assert np.isfinite(patches.detach().numpy()).all()
