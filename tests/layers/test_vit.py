import pytest
import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import (
    MaskedAutoencoder,
    TokenSplit,
    TubeGrid,
    VideoViT,
    normalise_tubes,
    take_tokens,
)

GRID = TubeGrid(frames=4, size=(8, 12), tube=2, patch=4)


def network(*, checkpointing: bool = False) -> MaskedAutoencoder:
    torch.manual_seed(0)
    encoder = VideoViT(GRID, dim=12, depth=2, heads=3, checkpointing=checkpointing)
    return MaskedAutoencoder(encoder, dim=8, depth=1, heads=2, checkpointing=checkpointing)


def clips(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 4, 8, 12, generator=torch.Generator().manual_seed(1))


SPLIT = TokenSplit(torch.tensor([[0, 5, 11], [1, 2, 3]]), torch.tensor([[1, 2, 3], [0, 10, 11]]))


def test_tubes_are_ordered_by_time_row_and_column() -> None:
    numbered = torch.arange(4 * 8 * 12.0).view(1, 1, 4, 8, 12).expand(1, 3, 4, 8, 12)
    tubes = GRID.cut(numbered)
    assert tubes.shape == (1, 12, 3, 32)
    assert GRID.shape == (2, 2, 3)
    assert tubes[0, :, 0, 0].tolist() == [
        t * 96 + y * 12 + x for t in (0, 2) for y in (0, 4) for x in (0, 4, 8)
    ]
    assert tubes[0, 0, 0, :5].tolist() == [0, 1, 2, 3, 12]


def test_the_embedding_is_the_authors_convolution_on_imagenet_colours() -> None:
    encoder = network().encoder
    coloured = (clips() - encoder.mean[:, None, None, None]) / encoder.std[:, None, None, None]
    expected = encoder.embedding(coloured).flatten(2).transpose(1, 2)
    torch.testing.assert_close(encoder.embed(GRID.cut(clips())), expected)


def test_hidden_tokens_do_not_change_what_is_encoded() -> None:
    encoder, tubes = network().encoder, GRID.cut(clips())
    hidden = torch.zeros(tubes.shape[:2], dtype=torch.bool).scatter(1, SPLIT.visible, value=True)
    changed = torch.where(hidden[..., None, None], tubes, torch.rand_like(tubes))
    torch.testing.assert_close(encoder(changed, SPLIT.visible), encoder(tubes, SPLIT.visible))
    everything = torch.arange(12).expand(2, -1)
    torch.testing.assert_close(encoder(tubes, everything), encoder(tubes))


def test_checkpointing_changes_neither_values_nor_gradients() -> None:
    found = []
    for checkpointing in (False, True):
        net = network(checkpointing=checkpointing)
        loss = net(GRID.cut(clips()), SPLIT).square().mean()
        torch.autograd.backward(loss)
        found.append([loss, *(p.grad for p in net.parameters())])
    assert all(value is not None for value in found[0])
    torch.testing.assert_close(found[1], found[0])


def test_targets_have_no_mean_and_unit_deviation_and_constant_tubes_are_zero() -> None:
    tubes = GRID.cut(clips())
    target = normalise_tubes(tubes)
    torch.testing.assert_close(target.mean(dim=-1), torch.zeros(2, 12, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.std(dim=-1), torch.ones(2, 12, 3), atol=1e-4, rtol=0)
    assert not normalise_tubes(torch.full((1, 1, 3, 32), 0.25)).any()


def test_tokens_are_taken_from_each_clip_or_from_a_table() -> None:
    tokens = torch.arange(24).view(2, 12, 1)
    assert take_tokens(tokens, SPLIT.visible).squeeze(-1).tolist() == [[0, 5, 11], [13, 14, 15]]
    assert take_tokens(tokens[:1], SPLIT.visible).squeeze(-1).tolist() == [[0, 5, 11], [1, 2, 3]]


@pytest.mark.parametrize(
    ("grid", "line"),
    [
        (TubeGrid(15, (32, 32)), "model.frames='15': must be a multiple of model.tube=2. Give 14"),
        (
            TubeGrid(16, (240, 320), patch=14),
            "model.size='240': must be a multiple of model.patch=14. Give 238",
        ),
        (TubeGrid(16, (32, 40)), "model.size='40': must be a multiple of model.patch=16. Give 32"),
        (TubeGrid(16, (8, 32)), "model.size='8': must be a multiple of model.patch=16. Give 16"),
        (TubeGrid(16, (32, 32), tube=0), "model.frames='16': must be a multiple of model.tube=0"),
    ],
)
def test_sizes_that_cannot_be_cut_are_refused(grid: TubeGrid, line: str) -> None:
    with pytest.raises(WSVADError) as error:
        VideoViT(grid, dim=8, depth=1, heads=2)
    assert str(error.value).startswith(line)


def test_clips_of_another_size_and_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(WSVADError, match="clips of 4 frames of 8 x 8, the network is for 4 of 8 x 12"):
        GRID.cut(torch.rand(1, 3, 4, 8, 8))
    with pytest.raises(WSVADError, match="model.heads='5': does not divide 12"):
        VideoViT(GRID, dim=12, depth=1, heads=5)
