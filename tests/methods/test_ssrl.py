"""SSRL: its branches, what each stage trains, and how one goes on from another."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import SSRL
from wsvad_lightning.methods.ssrl import AT_ONCE, GridBranch, GridConv, patch_count
from wsvad_lightning.types import Patches, WSVADBatch

GRIDS = ["2x3", "3x5", "4x7"]
DIM = 8


def with_patches(batch: WSVADBatch, grids: Sequence[str] = GRIDS) -> WSVADBatch:
    bags, _, snippets, dim = batch.features.shape
    streams = {f"patches_{g}": torch.randn(bags, snippets, patch_count(g), dim).abs() for g in grids}
    return batch._replace(streams=streams)


def paired(features: Tensor) -> WSVADBatch:
    return with_patches(training_batch(*features.chunk(2)))


def save(method: SSRL, folder: Path) -> str:
    checkpoint = {"state_dict": method.state_dict(), "hyper_parameters": dict(method.hparams)}
    method.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "stage.ckpt")
    return str(folder / "stage.ckpt")


@pytest.mark.parametrize("stage", [2, 3, 4])
@pytest.mark.parametrize(("videos", "crops", "snippets"), [(1, 1, 1), (2, 3, 17)])
def test_any_batch_crops_and_length(stage: int, videos: int, crops: int, snippets: int) -> None:
    method = SSRL(DIM, stage)
    losses = method.compute_losses(paired(torch.randn(2 * videos, crops, snippets, DIM)))
    assert all(value.isfinite() for value in losses.values())
    scores = method.eval().score(with_patches(evaluation_batch(torch.randn(crops, snippets, DIM))))
    assert scores.shape == (1, snippets)


@pytest.mark.parametrize("grid", ["1x1", "1x4", "2x2", "3x3", "4x7"])
def test_any_grid_becomes_a_vector(grid: str) -> None:
    branch = GridBranch(DIM, grid, dropout=0.0)
    assert branch(torch.randn(2, 3, patch_count(grid), DIM)).shape == (2, 3, DIM)


def test_maps_are_padded_only_where_the_kernel_would_not_fit() -> None:
    linear = [GridBranch(DIM, grid, 0.0).to_vector[0] for grid in GRIDS]
    assert [layer.in_features for layer in linear if isinstance(layer, nn.Linear)] == [4 * 6, 4 * 3, 4 * 10]


@pytest.mark.parametrize("grid", ["2x2", "2x3", "3x5"])
def test_the_convolution_is_that_of_pytorch(grid: str) -> None:
    layer, patches = GridBranch(DIM, grid, dropout=0.0).to_map[0], torch.randn(3, patch_count(grid), DIM)
    assert isinstance(layer, GridConv)
    grids = patches.mT.unflatten(-1, [int(size) for size in grid.split("x")])  # type: ignore[no-untyped-call]
    expected = torch.conv2d(grids, layer.weight, layer.bias, padding=layer.margin)
    torch.testing.assert_close(layer(grids), expected)


def test_patches_of_a_snippet_move_its_score_alone_before_context() -> None:
    branch = GridBranch(DIM, "2x3", dropout=0.0).eval()
    patches = torch.randn(1, 5, 6, DIM)
    other = patches.clone()
    other[0, 2] += 1
    changed = (branch(patches) - branch(other)).abs().sum(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [2]


def test_parts_join_to_the_whole() -> None:
    branch = GridBranch(DIM, "2x3", dropout=0.0).eval()
    patches = torch.randn(1, AT_ONCE + 5, 6, DIM)
    expected = torch.cat([branch(patches[:, :AT_ONCE]), branch(patches[:, AT_ONCE:])], dim=1)
    torch.testing.assert_close(branch(patches), expected)


def test_a_stage_trains_the_newest_branch_alone() -> None:
    method = SSRL(DIM, stage=3)
    before = {name: value.clone() for name, value in method.net.state_dict().items()}
    optimizer = torch.optim.Adam(method.parameters(), lr=0.1, weight_decay=0.1)
    torch.autograd.backward(method.total_loss(method.compute_losses(paired(torch.randn(4, 2, 6, DIM)))))
    optimizer.step()
    changed = {
        name for name, value in method.net.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed
    assert all(name.startswith("branches.1.") for name in changed)
    assert any("running_mean" in name for name in changed)


@pytest.mark.parametrize("stage", [1, 2, 4])
def test_frozen_statistics_stay_whatever_the_mode_was(stage: int) -> None:
    net = SSRL(DIM, stage).net
    for mode in (True, False, True):
        net.train(mode)
    learning = {name.split(".running")[0] for name, _ in net.named_buffers() if "running_mean" in name}
    frozen = {name for name in learning if not net.get_submodule(name).training}
    newest = f"branches.{stage - 2}."
    assert frozen == ({name for name in learning if not name.startswith(newest)} if stage > 1 else set())
    assert all(module.training for module in net.modules() if isinstance(module, nn.Dropout))


def test_dropout_of_a_branch_is_that_of_the_last_grid() -> None:
    branches = SSRL(DIM, stage=4, dropout=0.7).net.branches
    dropouts = [m.p for branch in branches for m in branch.modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0.0, 0.0, 0.7]


def test_a_stage_starts_from_all_that_the_one_before_has_learnt(tmp_path: Path) -> None:
    before, after = SSRL(DIM, stage=2), SSRL(DIM, stage=3)
    after.start_from(save(before, tmp_path))
    learnt = before.net.state_dict()
    assert all(torch.equal(after.net.state_dict()[name], value) for name, value in learnt.items())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (SSRL(DIM, stage=1), "SSRL in stage 1 on crops of 8 channels, where SSRL in stage 2 on crops, 2x3"),
        (SSRL(DIM, stage=2, grids=["3x3"]), "stage 2 on crops, 3x3"),
        (SSRL(4, stage=2), "of 4 channels"),
    ],
)
def test_another_checkpoint_is_refused(given: SSRL, message: str, tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match=message):
        SSRL(DIM, stage=3).start_from(save(given, tmp_path))


def test_a_missing_checkpoint_is_named_by_its_argument(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="model.previous=.*none.ckpt.*no such file"):
        SSRL(DIM, stage=2).start_from(str(tmp_path / "none.ckpt"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stage": 5}, r"3 grids make 4 stages"),
        ({"stage": 0}, r"model.stage='0'"),
        ({"stage": 2, "grids": ["2by3"]}, "is not a grid"),
    ],
)
def test_wrong_arguments_are_reported(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        SSRL(DIM, **arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_hazards_give_finite_gradients_in_the_last_stage() -> None:
    for features in (torch.zeros(4, 2, 6, DIM), torch.full((4, 2, 6, DIM), 3.0)):
        method = SSRL(DIM, stage=4)
        batch = paired(features)
        batch = batch._replace(streams={name: torch.zeros_like(x) for name, x in batch.streams.items()})
        torch.autograd.backward(method.total_loss(method.compute_losses(batch)))
        gradients = [p.grad for p in method.parameters() if p.requires_grad]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("centred", [True, False])
def test_maps_have_the_finest_grid_and_depend_on_the_patch_left_in(
    centred: bool,
) -> None:
    torch.manual_seed(0)
    method = SSRL(DIM, 4).eval()
    batch = with_patches(evaluation_batch(torch.randn(2, 5, DIM)))
    batch = batch._replace(patches=Patches(None, centred, list))
    maps = method.patch_maps(batch)
    assert maps is not None
    assert maps.shape == (5, 4, 7)
    streams = {name: torch.zeros_like(values) for name, values in batch.streams.items()}
    for name, patch in (("patches_2x3", 5), ("patches_3x5", 14), ("patches_4x7", 27)):  # the last of each
        streams[name][:, :, patch] = batch.streams[name][:, :, patch]
    features = batch.features * (not centred)  # 0 is the average where it is known
    left_in = batch._replace(features=features, streams=streams)
    torch.testing.assert_close(maps[:, 3, 6], method.score(left_in)[0])
    assert maps.flatten(1).std(dim=1).min() > 0
