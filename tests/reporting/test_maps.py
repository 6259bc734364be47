"""Maps in a file, and where they are strongest."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.maps import read_maps, say_nothing, strongest_region, write_maps
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import Prediction


def test_maps_read_back_as_they_were(tmp_path: Path) -> None:
    maps = torch.rand(5, 2, 3)
    videos = [Prediction(name, torch.zeros(5), 20, maps=maps * k) for k, name in enumerate(("a", "a/b"))]
    write_maps(tmp_path / "maps.h5", [*videos, Prediction("c", torch.zeros(5), 20)], SnippetGrid(4, 4))
    assert (read_maps(tmp_path / "maps.h5", "a/b") == maps.numpy()).all()
    assert not read_maps(tmp_path / "maps.h5", "a").any()
    with pytest.raises(WSVADError, match="has no maps of c"):
        read_maps(tmp_path / "maps.h5", "c")


def test_maps_beyond_one_leave_no_file(tmp_path: Path) -> None:
    video = Prediction("a", torch.zeros(5), 20, maps=torch.full((5, 2, 3), 1.5))
    with pytest.raises(WSVADError, match="must be in"):
        write_maps(tmp_path / "maps.h5", [video], SnippetGrid(4, 4))
    assert not list(tmp_path.iterdir())


def test_maps_say_nothing_where_no_score_is_told_apart() -> None:
    tiny, other = torch.full((2, 1, 2), 1e-11), torch.tensor([[[1e-11, 1e-5]]])
    flat = Prediction("a", torch.zeros(2), 8, maps=tiny), Prediction("b", torch.zeros(1), 4, maps=3 * tiny)
    assert say_nothing(flat)
    assert not say_nothing([*flat, Prediction("c", torch.zeros(1), 4, maps=other)])
    assert not say_nothing([Prediction("d", torch.zeros(1), 4)])  # no maps


def test_the_strongest_region_is_what_touches_the_peak_half_way_up_to_it() -> None:
    calm, loud = np.zeros((2, 3, 4), dtype=np.float32)
    loud[0, 3] = 0.9  # alone
    loud[2, 0], loud[1, 1], loud[2, 2] = 1.0, 0.6, 0.4
    runs = [(0, 10, calm), (10, 20, loud), (20, 30, 1 - loud)]
    assert strongest_region(runs, 10, 20, (40, 30)) == (0, 10, 20, 20)
    assert strongest_region(runs, 5, 20, (40, 30)) == (0, 10, 20, 20)  # calm frames change nothing
    raised = [(start, end, 0.4 + 0.6 * own) for start, end, own in runs]
    assert strongest_region(raised, 10, 20, (40, 30)) == (0, 10, 20, 20)  # calm cells need not be 0
    assert strongest_region([(0, 4, calm)], 0, 4, (41, 30)) == (0, 0, 41, 30)
