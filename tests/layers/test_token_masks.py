import torch

from wsvad_lightning.layers import TokenSplit, TubeGrid
from wsvad_lightning.layers.token_masks import random_split, tube_split, weighted_split

GRID = TubeGrid(frames=8, size=(16, 16), tube=2, patch=4)  # 4 x 16 tokens
CPU = torch.device("cpu")


def check(split: TokenSplit, visible: int) -> None:
    assert split.visible.shape[1] == visible
    for seen, hidden in zip(*split, strict=True):
        assert seen.tolist() == sorted(seen.tolist())
        assert hidden.tolist() == sorted(hidden.tolist())
        assert sorted([*seen.tolist(), *hidden.tolist()]) == list(range(64))


def test_every_token_is_visible_or_masked_once() -> None:
    weights = torch.rand(3, 64) + 0.01
    for split in (random_split(3, GRID, 0.9, CPU), weighted_split(weights, 0.9)):
        check(split, 64 - 57)
    tubes = tube_split(3, GRID, 0.9, CPU)
    check(tubes, 4 * (16 - 14))
    places = (tubes.visible % 16).view(3, 4, 2)
    assert torch.equal(places, places[:, :1].expand_as(places))


def test_draws_without_replacement_follow_the_weights() -> None:
    """The first draw of n without replacement has the probability of its weight; of one in all cases."""
    torch.manual_seed(0)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(20_000, 4)
    single = weighted_split(weights, 0.75).visible.flatten().bincount(minlength=4) / 20_000
    torch.testing.assert_close(single, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.015, rtol=0)
    pairs = weighted_split(weights, 0.5).visible.flatten().bincount(minlength=4) / 20_000
    w = [0.1, 0.2, 0.3, 0.4]
    expected = [w[i] + sum(w[j] * w[i] / (1 - w[j]) for j in range(4) if j != i) for i in range(4)]
    torch.testing.assert_close(pairs, torch.tensor(expected), atol=0.015, rtol=0)
