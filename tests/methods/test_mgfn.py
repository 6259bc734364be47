"""MGFN: what its parity cases do not show."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.parity.batches import training_batch
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop import export_official
from wsvad_lightning.interop.mgfn import TABLE, init_args
from wsvad_lightning.losses import magnitude_clustering, magnitude_contrast
from wsvad_lightning.methods import MGFN
from wsvad_lightning.methods.mgfn import MGFNNet
from wsvad_lightning.types import WSVADBatch


def make(**changed: Any) -> MGFN:
    torch.manual_seed(0)
    return MGFN(feature_dim=8, dims=(64, 64, 128), depths=(1, 1, 1), exclude=0.0, **changed)


def make_batch(videos: int, crops: int, snippets: int = 6) -> WSVADBatch:
    normal, abnormal = torch.rand(2, videos, crops, snippets, 8, generator=torch.Generator().manual_seed(0))
    return training_batch(normal, abnormal)


def both(argument: str, values: tuple[str, str], batch: WSVADBatch) -> tuple[dict[str, Tensor], ...]:
    """The terms under two values of an argument."""
    return tuple(make(**{argument: value}).compute_losses(batch) for value in values)


def test_magnitudes_of_the_classes_are_kept_apart_by_the_margin() -> None:
    normal = torch.tensor([[10.0, 10.0], [0.0, 0.0]])
    abnormal = torch.tensor([[13.0, 14.0], [300.0, 400.0]])  # at distances 5 and 500
    assert magnitude_contrast(normal, abnormal, 200.0).item() == pytest.approx(195**2 / 2)


def test_magnitudes_of_a_class_are_pulled_together_half_by_half() -> None:
    rows = torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 4.0], [1.0, 3.0]])  # pairs at distances 5 and 2
    assert magnitude_clustering(rows).item() == pytest.approx((25 + 4) / 2, rel=1e-5)
    odd = torch.cat([rows, torch.full((1, 2), 1e6)])
    assert magnitude_clustering(odd).item() == pytest.approx((25 + 4) / 2, rel=1e-5)


def test_a_row_alone_has_nobody_to_be_pulled_to() -> None:
    row = torch.ones(1, 3, requires_grad=True)
    loss = magnitude_clustering(row)
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert row.grad is not None
    assert row.grad.count_nonzero() == 0


def test_rows_pair_crops_of_one_video_and_videos_pair_one_crop() -> None:
    magnitudes = torch.tensor([0.0, 100.0])[:, None, None] + torch.tensor([0.0, 1.0])[None, :, None]
    crops_apart, videos_apart = (
        magnitude_clustering(make(cluster=pairs).clustered(magnitudes)).item() for pairs in ("rows", "videos")
    )
    assert crops_apart == pytest.approx(1.0, rel=1e-5)
    assert videos_apart == pytest.approx(100.0**2, rel=1e-5)


def test_the_pairing_changes_only_the_clustering_terms() -> None:
    rows, videos = both("cluster", ("rows", "videos"), make_batch(videos=2, crops=4))
    assert {term for term in rows if rows[term] != videos[term]} == {"con_n", "con_a"}


def test_sparsity_is_of_the_normal_scores_or_of_the_abnormal_ones() -> None:
    batch = make_batch(videos=2, crops=1)
    on_normal, on_abnormal = both("sparsity_on", ("normal", "abnormal"), batch)
    scores = make().net(batch.features)
    torch.testing.assert_close(on_normal["sparsity"], scores[:2].norm())
    torch.testing.assert_close(on_abnormal["sparsity"], scores[2:].norm())
    assert {term for term in on_normal if on_normal[term] != on_abnormal[term]} == {"sparsity"}


def test_the_magnitude_is_a_channel_of_its_own() -> None:
    net = make().net.eval()
    net.embed.weight.data.zero_()
    direction = torch.nn.functional.normalize(torch.rand(2, 1, 5, 8), dim=-1)
    one, other = net(3.0 * direction)
    torch.testing.assert_close(one, other)  # alike in length only, which is all that is left to see
    assert not torch.allclose(one, net(9.0 * direction)[0])


@pytest.mark.parametrize(("videos", "crops", "snippets"), [(1, 1, 1), (3, 5, 2)])
def test_few_snippets_and_odd_rows_give_finite_terms(videos: int, crops: int, snippets: int) -> None:
    for cluster in ("rows", "videos"):
        losses = make(cluster=cluster).compute_losses(make_batch(videos, crops, snippets))
        assert all(value.isfinite() for value in losses.values())
        assert (losses["con_n"] == 0) == (videos == 1)


def test_stages_must_be_split_into_heads() -> None:
    with pytest.raises(WSVADError, match=r"model.dims=.*100.*multiples of 64"):
        MGFN(feature_dim=8, dims=(64, 100, 128))


def test_sizes_are_read_off_the_authors_weights() -> None:
    sizes = {"feature_dim": 5, "dims": [64, 128, 64], "depths": [1, 3, 2]}
    official = export_official(MGFNNet(**sizes), TABLE)  # type: ignore[arg-type]  # as YAML has them, in lists
    assert init_args(official) == sizes
