from collections import Counter
from itertools import islice

import pytest

from wsvad_lightning.data.loading.sampler import BagSampler
from wsvad_lightning.errors import WSVADError

NORMAL, ABNORMAL = range(100), range(100, 123)


def make(
    batch_size: int = 5,
    rank: int = 0,
    world_size: int = 1,
    seed: int = 7,
    normal: range = NORMAL,
    abnormal: range = ABNORMAL,
) -> BagSampler:
    sides = {"normal video": normal, "abnormal video": abnormal}
    return BagSampler(sides, batch_size, seed, rank, world_size)


def bags(sampler: BagSampler, step: int) -> list[int]:
    return [draw.bag for draw in sampler.batch(step)]


def test_the_normal_half_comes_first() -> None:
    for batch in make():
        assert all(draw.bag < 100 for draw in batch[:5])
        assert all(draw.bag >= 100 for draw in batch[5:])
        assert len(batch) == 10


def test_an_epoch_is_a_pass_of_the_longer_side() -> None:
    sampler = make()
    batches = list(sampler)
    assert len(sampler) == len(batches) == 20
    assert sorted(draw.bag for batch in batches for draw in batch[:5]) == list(NORMAL)


def test_each_side_makes_its_own_passes() -> None:
    sampler, longer = make(), make(normal=range(50), abnormal=range(100, 123))
    for first in range(0, 40, 4):  # 23 abnormal bags make passes of 4 steps, whatever the normal ones do
        a_pass = [bag for step in range(first, first + 4) for bag in bags(sampler, step)[5:]]
        assert max(Counter(a_pass).values()) == 1
        assert a_pass == [bag for step in range(first, first + 4) for bag in bags(longer, step)[5:]]
    seen = {bag for step in range(40) for bag in bags(sampler, step)[5:]}
    assert seen == set(ABNORMAL)  # what a pass leaves over has its turn


def test_passes_differ() -> None:
    assert bags(make(), 0)[:5] != bags(make(), 20)[:5]


def test_a_small_side_fills_its_half_by_repetition() -> None:
    sampler = make(batch_size=8, abnormal=range(100, 103))
    for step in range(30):
        assert sorted(Counter(bags(sampler, step)[8:]).values()) == [2, 3, 3]
    twice = {tuple(sorted(bags(sampler, step)[8:])) for step in range(30)}
    assert len(twice) == 3  # the bag that comes only twice changes


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_ranks_are_disjoint_in_every_step_and_equally_long(world_size: int, batch_size: int) -> None:
    ranks = [make(batch_size, rank, world_size) for rank in range(world_size)]
    assert len({len(sampler) for sampler in ranks}) == 1
    for step in range(2 * len(ranks[0])):
        seen = [set(bags(sampler, step)) for sampler in ranks]
        assert len(set.union(*seen)) == sum(map(len, seen))


def test_ranks_share_a_pass_without_overlap_and_trade_the_remainder() -> None:
    ranks = [make(1, rank, 3) for rank in range(3)]
    a_pass = [bags(sampler, step)[1] for sampler in ranks for step in range(7)]
    assert len(set(a_pass)) == 21  # of 23, two wait for another pass
    more = {bags(sampler, step)[1] for sampler in ranks for step in range(7 * 20)}
    assert more == set(ABNORMAL)


def test_a_batch_is_a_pure_function_of_seed_step_and_rank() -> None:
    expected = make().batch(12)
    sampler = make()
    list(sampler)
    assert sampler.batch(12) == expected
    assert make(seed=8).batch(12) != expected
    assert make(rank=1, world_size=2).batch(12) != make(rank=0, world_size=2).batch(12)


def test_the_random_seeds_of_bags_differ_within_and_between_batches() -> None:
    seeds = [draw.seed for step in range(50) for draw in make().batch(step)]
    assert len(set(seeds)) == len(seeds)


def test_iteration_begins_at_the_given_step() -> None:
    whole = [make().batch(step) for step in range(60)]
    reached = 13
    resumed = BagSampler({"normal": NORMAL, "abnormal": ABNORMAL}, 5, 7, next_step=lambda: reached)
    assert list(islice(resumed, 20)) == whole[13:33]
    reached = 33
    assert list(resumed) == whole[33:53]


@pytest.mark.parametrize(
    ("normal", "abnormal", "world_size", "problem"),
    [
        (range(0), ABNORMAL, 1, "no normal video"),
        (NORMAL, range(0), 1, "no abnormal video"),
        (NORMAL, range(100, 103), 4, r"3 abnormal video\(s\) for 4 process"),
    ],
)
def test_a_side_needs_a_bag_a_process(normal: range, abnormal: range, world_size: int, problem: str) -> None:
    with pytest.raises(WSVADError, match=f"'train'.*{problem}"):
        make(normal=normal, abnormal=abnormal, world_size=world_size)
