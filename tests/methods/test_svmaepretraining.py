from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.layers.test_depth_network import save_depth_network
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import normalise_tubes, take_tokens
from wsvad_lightning.methods import SVMAEPretraining
from wsvad_lightning.types import ClipBatch

SMALL: dict[str, Any] = {
    "size": (16, 24),
    "frames": 4,
    "patch": 8,
    "dim": 12,
    "depth": 1,
    "heads": 2,
    "decoder_dim": 8,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "mask_ratio": 0.5,
}


def small(**settings: Any) -> SVMAEPretraining:
    torch.manual_seed(0)
    return SVMAEPretraining(**SMALL | settings)


def batch(clips: Tensor | None = None, depth: Tensor | None = None) -> ClipBatch:
    clips = torch.rand(2, 3, 4, 16, 24) if clips is None else clips
    size, frames = len(clips), clips.shape[2]
    return ClipBatch(
        clips=clips,
        labels=torch.full((size,), torch.nan),
        video_ids=["a"] * size,
        starts=torch.zeros(size).long(),
        frames=torch.arange(frames).expand(size, -1),
        num_frames=torch.full((size,), frames),
        fps=torch.full((size,), 10.0),
        depth=depth,
    )


def train_once(module: SVMAEPretraining, given: ClipBatch) -> Tensor:
    total = module.total_loss(module.compute_losses(given))
    torch.autograd.backward(total)
    return total


@pytest.mark.parametrize("mask", ["scene", "tube", "random"])
def test_a_step_reaches_every_parameter(mask: str) -> None:
    module = small(mask=mask)
    assert train_once(module, batch()).isfinite()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_clip_without_motion_and_colour_has_finite_losses_and_gradients(value: float) -> None:
    module = small()
    assert train_once(module, batch(torch.full((1, 3, 4, 16, 24), value))).isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_without_levels_the_loss_is_that_of_videomae() -> None:
    module = small(mask="tube", levels=[1.0])
    given = batch()
    torch.manual_seed(3)
    loss = module.compute_losses(given)["reconstruction"]
    torch.manual_seed(3)
    split = module.split(given.clips, module.depth_of(given))
    tubes = module.grid.cut(given.clips)
    target = normalise_tubes(take_tokens(tubes, split.masked))
    torch.testing.assert_close(loss, F.mse_loss(module.net(tubes, split), target))


def test_far_tubes_weigh_twice_as_much_as_near_ones() -> None:
    module = small(mask="random")
    given = batch()
    torch.manual_seed(3)
    loss = module.compute_losses(given)["reconstruction"]
    torch.manual_seed(3)
    split = module.split(given.clips, module.depth_of(given))
    errors = module.reconstruction_errors(given.clips, split)
    upper = split.masked % 6 < 3  # rows: the upper one is far
    torch.testing.assert_close(loss, (errors * torch.where(upper, 1.2, 0.6)).mean())


def test_what_moves_is_seen_more_often() -> None:
    clips = torch.zeros(64, 3, 4, 16, 24)
    clips[:, :, 1::2, :8, :8] = 1.0  # the first place of both tubelets
    module = small(mask_ratio=0.75, depth_share=0.05)
    split = module.split(clips, module.prior.expand(64, -1))
    seen = (split.visible % 6 == 0).float().mean().item()
    assert seen > 2 * (1 / 6)


def test_depth_comes_from_where_it_is_asked_for(tmp_path: Path) -> None:
    stream = torch.rand(2, 4, 2, 3)
    found = small(depth_from="stream").depth_of(batch(depth=stream))
    pooled = stream.view(2, 2, 2, 2, 3).mean(dim=2).flatten(1)
    assert torch.equal(found.argsort(), pooled.argsort())
    assert torch.equal(small().depth_of(batch(depth=stream)), small().prior.expand(2, -1))
    with pytest.raises(WSVADError, match="model.depth_from='stream': the clips come without depth"):
        small(depth_from="stream").compute_losses(batch())
    network = small(depth_from="network", depth_network=str(save_depth_network(tmp_path)))
    assert network.depth_of(batch()).shape == (2, 12)
    assert not any("depth_network" in name for name in network.state_dict())


def test_decay_spares_vectors_and_the_mask_token() -> None:
    module = small(optimizer=lambda groups: torch.optim.AdamW(groups, weight_decay=0.05))
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed, kept = optimizer.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.05, 0.0)
    assert any(parameter is module.net.mask_token for parameter in kept["params"])
    assert {parameter.ndim for parameter in kept["params"]} == {1, 3}
    assert len(decayed["params"]) + len(kept["params"]) == len(list(module.parameters()))


def test_bf16_autocast_trains() -> None:
    module = small()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = module.compute_losses(batch())
    assert losses["reconstruction"].dtype is torch.float32
    torch.autograd.backward(module.total_loss(losses))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"mask_ratio": 1.0}, "model.mask_ratio='1.0': leaves none of 12 places"),
        ({"mask_ratio": 0.1, "mask": "tube"}, "model.mask_ratio='0.1': leaves none of 6 places"),
        ({"depth_share": 1.5}, "model.depth_share='1.5'"),
        ({"levels": []}, "model.levels='[]'"),
        ({"levels": [-1.0]}, "model.levels='[-1.0]'"),
        ({"levels": [1.0, float("nan")]}, "model.levels='[1.0, nan]'"),
        ({"depth_from": "network"}, "model.depth_network does not go with depth_from=network"),
        ({"depth_network": "x"}, "model.depth_network='x': does not go with depth_from=prior"),
        ({"size": (16, 20)}, "model.size='20': must be a multiple of model.patch=8"),
        ({"start_from": "absent.ckpt"}, "model.start_from='absent.ckpt': no such file"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(WSVADError) as error:
        small(**settings)
    assert str(error.value).startswith(line)


def test_clips_of_another_size_are_refused() -> None:
    with pytest.raises(WSVADError, match="clips of 4 frames of 16 x 16, the network is for 4 of 16 x 24"):
        small().compute_losses(batch(torch.rand(1, 3, 4, 16, 16)))
