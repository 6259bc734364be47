"""SST: what is kept of a clip, which snippet is looked at, where its frames are, and maps of patches."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from tests.methods.small import SMALLER, small
from tests.parity.batches import training_batch
from tests.videos import save_grey, save_videos
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TubeGrid
from wsvad_lightning.methods import SST
from wsvad_lightning.methods.sst import PatchTransformer, SSTNet
from wsvad_lightning.methods.sst.frames import SnippetClips, middle_snippet, snippet_start
from wsvad_lightning.methods.sst.patches import kept_mean, masked_softmax
from wsvad_lightning.timeline import SnippetGrid

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]

GRID = TubeGrid(frames=16, size=(8, 12), tube=4, patch=4)  # 4 tubelets of 2 x 3 patches


def transformer(**arguments: Any) -> PatchTransformer:
    torch.manual_seed(0)
    return PatchTransformer(
        GRID, **{"dim": 12, "depth": 4, "heads": 2, "pruning": {1: 0.7, 3: 0.5}, **arguments}
    )


def sst(**arguments: Any) -> SST:
    torch.manual_seed(0)
    method = SST(8, **{**SMALLER["SST"], "dropout": 0.0, **arguments})
    method.clips = lambda batch, chosen: torch.rand(len(chosen), 3, 16, 8, 8)  # type: ignore[method-assign]
    return method


# --------------------------------------------------------------------------------------- what is kept


def test_a_tubelet_keeps_as_many_tokens_as_any_other() -> None:
    net, clips = transformer().eval(), torch.rand(2, 3, 16, 8, 12)
    tokens, index = net(clips)
    assert tokens.shape == (2, 4 * 3, 3 * 4 * 4 * 4)
    assert (index // 6).tolist() == [[0] * 3 + [1] * 3 + [2] * 3 + [3] * 3] * 2
    assert all(len({*row}) == len(row) for row in index.tolist())


def test_in_raster_order_the_same_tokens_leave_as_they_lie_in_the_frame() -> None:
    clips = torch.rand(2, 3, 16, 8, 12)
    by_score = transformer().eval()(clips)
    by_place = transformer(token_order="raster").eval()(clips)
    assert not torch.equal(by_score.places, by_score.places.sort(dim=1).values)
    assert torch.equal(by_place.places, by_score.places.sort(dim=1).values)
    order = by_score.places.argsort(dim=1)[..., None]
    torch.testing.assert_close(
        by_place.tokens, by_score.tokens.take_along_dim(order, dim=1), rtol=0, atol=1e-6
    )


def test_without_pruning_training_and_test_see_the_same() -> None:
    net, clips = transformer(pruning={}), torch.rand(2, 3, 16, 8, 12)
    masked = net.forward_masked(clips)
    assert masked.keep.shape == (0, 2, 24)
    torch.testing.assert_close(masked.tokens, net(clips).tokens)


def test_what_is_dropped_stays_dropped_and_is_not_attended_to() -> None:
    keep = transformer().forward_masked(torch.rand(4, 3, 16, 8, 12)).keep
    assert {*keep.detach().round(decimals=3).abs().flatten().tolist()} == {0.0, 1.0}
    assert (keep[1] <= keep[0] + 1e-6).all()
    attention = masked_softmax(torch.zeros(1, 1, 3, 3), torch.tensor([[1.0, 0.0, 1.0]]))[0, 0]
    expected = torch.tensor([[0.5, 0.0, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.0, 0.5]])
    torch.testing.assert_close(attention, expected, rtol=0, atol=1e-5)


def test_a_tubelet_of_which_nothing_is_kept_has_the_mean_zero() -> None:
    keep = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 2, 2, 1).requires_grad_()
    mean = kept_mean(torch.full((1, 2, 2, 1), 3.0), keep, (2,))
    assert mean.flatten().tolist() == [3.0, 0.0]
    torch.autograd.backward(mean.sum())
    assert keep.grad is not None
    assert keep.grad.isfinite().all()


@pytest.mark.parametrize("motion", ["reversal", "difference"])
def test_motion_is_that_of_the_tokens_kept(motion: str) -> None:
    net = transformer(motion=motion)
    still = torch.rand(1, 3, 1, 8, 12).expand(-1, -1, 16, -1, -1)
    moving = still.clone()
    moving[:, :, 8:, :4, :4] = 1 - moving[:, :, 8:, :4, :4]  # the first patch changes in the middle
    embedded, keep = net.embed_clips(moving), torch.ones(2, 1, 24)
    assert net.kept_motion(still, net.embed_clips(still), keep).item() == pytest.approx(0.0, abs=1e-5)
    whole = net.kept_motion(moving, embedded, keep)
    assert whole > 0.1
    keep[:, :, ::6] = 0.0
    assert net.kept_motion(moving, embedded, keep).item() == pytest.approx(0.0, abs=1e-5)


def test_without_its_mean_frame_a_still_clip_is_the_same_wherever_it_was_filmed() -> None:
    net = transformer(subtract_mean=True)
    still = torch.rand(2, 3, 1, 8, 12).expand(-1, -1, 16, -1, -1)
    torch.testing.assert_close(net.embed_clips(still), net.embed_clips(torch.zeros_like(still)))
    moving = still.clone()
    moving[:, :, 3, :4, :4] = 1 - moving[:, :, 3, :4, :4]
    changed = (net.embed_clips(moving) - net.embed_clips(still)).abs().amax(dim=2) > 1e-3
    assert changed.view(2, 4, 6).any(dim=1).tolist() == [[True, False, False, False, False, False]] * 2


def test_the_motion_of_normal_videos_counts_only_repaired() -> None:
    batch = training_batch(*torch.rand(2, 2, 20, 8))
    official, repaired = (sst(motion="difference", repaired=names) for names in ((), ("motion",)))
    found = []
    for method in (official, repaired):
        torch.manual_seed(1)
        found.append(method.compute_losses(batch)["motion"].item())
    assert found[1] < found[0] < 0.0
    assert sst().compute_losses(batch)["motion"].item() == 0.0


# --------------------------------------------------------------------------------- what is looked at


def test_snippets_are_chosen_by_the_memory_of_their_class() -> None:
    batch = training_batch(*torch.rand(2, 3, 40, 8))
    method = sst()
    with torch.no_grad():
        out = method.net.temporal.forward_pairs(batch.features)
    ranked = torch.cat([out.normal_of_normal, out.abnormal_of_abnormal]).mean(dim=1).argsort(descending=True)
    assert torch.equal(method.choose_snippets(out), ranked[:, :1])
    assert torch.equal(sst(choose="second").choose_snippets(out), ranked[:, 1:2])
    assert torch.equal(sst(num_chosen=5).choose_snippets(out), ranked[:, :5])
    at_random = sst(choose="random")
    drawn = {tuple(at_random.choose_snippets(out)[:, 0].tolist()) for _ in range(30)}
    assert drawn == {tuple(ranked[:, rank].tolist()) for rank in range(40 // 16 + 1)}


def test_of_several_snippets_the_loss_is_the_mean() -> None:
    batch, clips = training_batch(*torch.rand(2, 2, 20, 8)), torch.rand(20, 4, 3, 16, 8, 8)
    method = sst(num_chosen=2, token_ratio=None)
    method.clips = lambda batch, chosen: clips[chosen, torch.arange(4)]  # type: ignore[method-assign]
    torch.manual_seed(0)
    losses = method.compute_losses(batch)
    temporal = method.net.temporal.forward_pairs(batch.features)
    each = [method.patch_losses(batch, temporal, chosen) for chosen in method.choose_snippets(temporal).T]
    expected = sum(losses["spatial_A_mem_abnormal"] for losses in each) / 2  # free of the sampled latents
    torch.testing.assert_close(losses["spatial_A_mem_abnormal"], expected)


def test_patches_attend_to_places_of_the_whole_batch_or_to_their_own() -> None:
    described, chosen = torch.rand(4, 2, 10, 6), torch.tensor([1, 3, 3, 7])
    mean = described.mean(dim=1)
    assert torch.equal(sst().snippet_keys(described, chosen)[2, 0], mean[2, [1, 3, 3, 7]])
    assert torch.equal(sst(repaired=("keys",)).snippet_keys(described, chosen)[2, 0], mean[2, [3]])


# ------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize(
    ("snippets", "segment", "middle"), [(50, 100, 25), (399, 199, 397), (32, 3, 3), (7, 31, 6)]
)
def test_a_segment_is_in_the_middle_of_its_snippets(snippets: int, segment: int, middle: int) -> None:
    segments = 200 if segment > 31 else 32
    assert middle_snippet(segment, segments, snippets) == middle


def test_a_clip_lies_around_the_middle_of_its_snippet() -> None:
    assert snippet_start(3, SnippetGrid(16, 16), 16) == 48
    assert snippet_start(3, SnippetGrid(8, 4), 16) == 8
    assert snippet_start(0, SnippetGrid(8, 4), 16) == 0


def test_clips_are_the_frames_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_grey(tmp_path / f"{name}.mp4", [10 * t for t in range(24)])
    source = SnippetClips(str(tmp_path), {"a": 24, "b": 24, "c": 24}, 4, (8, 8))
    clips = source.read(["b", "a", "b", "a"], [20, 0, 3, 23])
    assert clips.shape == (4, 3, 4, 8, 8)
    found = (clips.mean(dim=(1, 3, 4)) * 25.5).round()
    assert found.tolist() == [[20, 21, 22, 23], [0, 1, 2, 3], [3, 4, 5, 6], [20, 21, 22, 23]]
    source.require(["a", "b"])
    with pytest.raises(WSVADError, match="model.videos=.*lacks 1 of 2 videos of the store: c"):
        source.require(["a", "c"])
    source.close()


def test_a_shorter_video_than_the_store_has_is_another_one(tmp_path: Path) -> None:
    save_grey(tmp_path / "a.mp4", [0] * 8)
    with pytest.raises(WSVADError, match="has 8 frames, a of the store 24"):
        SnippetClips(str(tmp_path), {"a": 24}, 4, (8, 8)).read(["a"], [20])
    (short,) = SnippetClips(str(tmp_path), {"a": 8}, 16, (8, 8)).read(["a"], [0])
    assert short.shape == (3, 16, 8, 8)


# ---------------------------------------------------------------------------------------------- maps


class Maps(SST):
    """Predicts maps."""

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.score(batch), self.patch_maps(batch)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[WSVADDataModule, str]:
    folder = tmp_path_factory.mktemp("sst")
    store = make_store(folder / "s.h5", train=1, test=1, dim=8, lengths=(3, 6))
    return WSVADDataModule(str(store), segments=4, batch_size=1), str(save_videos(folder / "videos", 1, 96))


def quiet(folder: Path, **arguments: Any) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )


def predicted(method: SST, data: WSVADDataModule, folder: Path) -> list[tuple[Tensor, Any]]:
    outputs: list[tuple[Tensor, Any]] = quiet(folder).predict(method, datamodule=data)  # type: ignore[assignment]
    return outputs


def test_maps_have_a_cell_a_patch_where_a_snippet_was_looked_at(
    data: tuple[WSVADDataModule, str], tmp_path: Path
) -> None:
    module, videos = data
    settings = {**SMALLER["SST"], "videos": videos}
    for scores, maps in predicted(Maps(8, patch_snippets=2, **settings), module, tmp_path):
        assert (maps.dtype, maps.shape) == (torch.float32, (scores.shape[1], 2, 2))
        looked_at = maps.amax(dim=(1, 2)) > 0
        assert sorted(looked_at.nonzero().flatten().tolist()) == sorted(scores[0].topk(2).indices.tolist())
        assert (maps.amax(dim=(1, 2)) <= scores[0]).all()
    assert {maps for _, maps in predicted(Maps(8, **SMALLER["SST"]), module, tmp_path)} == {None}


class LogBrightness(nn.Module):
    """Keeps the brightest tokens."""

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return x[..., :2]


class BrightTokens(nn.Module):
    """Scores a token by its first value; has no block that looks at snippets."""

    look = None

    def forward(self, tokens: Tensor, looked_at: None) -> Tensor:
        return tokens[:, 0, :, 0].clamp(0, 1)


def test_a_score_is_on_the_map_where_its_patch_is_in_the_frame(tmp_path: Path) -> None:
    grid = TubeGrid(frames=4, size=(16, 24), tube=2, patch=8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for place in [0, 4]:  # of the bright sixth of the frame, row by row
            picture = np.zeros((32, 48, 3), np.uint8)
            row, column = divmod(place, 3)
            picture[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 255
            for _ in range(4):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    net = SSTNet(8, grid, 16, dim=12, depth=2, heads=2, pruning={1: 0.5}, cross_attention=False)
    for layer in [*net.dtfe.blocks, net.dtfe.positions]:  # no block does anything
        for weights in layer.parameters() if isinstance(layer, nn.Module) else [layer]:
            nn.init.zeros_(weights)
    nn.init.constant_(net.dtfe.embedding.weight, 1 / (3 * grid.pixels))
    net.dtfe.predictors = nn.ModuleList([LogBrightness()])
    net.dtfe.norm, net.dtfe.project_out = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    net.spatial = BrightTokens()  # type: ignore[assignment]
    clips = SnippetClips(str(tmp_path), {"a": 8}, 4, grid.size).read(["a", "a"], [0, 4])
    maps = net.map_patches(clips, torch.zeros(2, 32))
    assert maps.shape == (2, 2, 3)
    assert (maps.flatten(1) > 0.9).nonzero().tolist() == [[0, 0], [1, 4]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "model.videos is required: the spatial network"),
        ({"videos": "no/such/folder"}, "no such file or folder"),
        ({"videos": "one"}, "lacks 1 of 2 videos of the store: train_"),
    ],
)
def test_training_requires_the_videos(
    arguments: dict[str, Any], message: str, data: tuple[WSVADDataModule, str], tmp_path: Path
) -> None:
    if arguments.get("videos") == "one":
        save_grey(tmp_path / "train_normal_000.mp4", [0] * 8)
        arguments = {"videos": str(tmp_path)}
    with pytest.raises(WSVADError, match=message):
        quiet(tmp_path, max_steps=1).fit(SST(8, **SMALLER["SST"], **arguments), data[0])


def test_segments_that_lie_elsewhere_are_refused(data: tuple[WSVADDataModule, str], tmp_path: Path) -> None:
    module, videos = data
    other = WSVADDataModule(module.store.path, segments=4, batch_size=1, sampling="linear")
    with pytest.raises(WSVADError, match="data.sampling='linear': does not say which frames"):
        quiet(tmp_path, max_steps=1).fit(SST(8, **SMALLER["SST"], videos=videos), other)


@pytest.mark.parametrize("repaired", [(), ("frames", "keys", "motion", "order")])
def test_it_learns_from_the_frames_and_starts_from_ur_dmu(
    repaired: tuple[str, ...], data: tuple[WSVADDataModule, str], tmp_path: Path
) -> None:
    module, videos = data
    start = small("URDMU")
    checkpoint = {"state_dict": start.state_dict(), "hyper_parameters": dict(start.hparams)}
    start.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "urdmu.ckpt")
    settings: Any = {**SMALLER["SST"], "videos": videos, "repaired": repaired}
    method = SST(8, temporal_from=str(tmp_path / "urdmu.ckpt"), **settings)
    quiet(tmp_path, max_steps=0).fit(method, module)
    for name, value in start.net.state_dict().items():
        assert torch.equal(method.net.temporal.state_dict()[name], value)
    before = method.net.dtfe.embedding.weight.clone()
    quiet(tmp_path, max_steps=1, limit_val_batches=0).fit(method, module)
    assert not torch.equal(method.net.dtfe.embedding.weight, before)
    assert "videos" not in method.hparams


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (8, 10)}, r"model.size='10': must be a multiple of model.patch=4"),
        ({"tube": 5}, "model.frames='16': must be a multiple of model.tube=5"),
        ({"token_ratio": (0.2,)}, r"model.token_ratio='\[0.2\]': 0.2 leaves 0 of 4 patches"),
        ({"token_ratio": (0.5, 0.8)}, "0.8 leaves 3 of 4 patches.*falling"),
        ({"dim": 16}, "model.dim='16': must be a multiple of 3"),
        ({"heads": 5}, "model.heads='5': does not divide 12 channels"),
        ({"depth": 3}, "model.depth='3': has fewer blocks"),
        ({"motion": "reversal", "token_ratio": None}, "model.motion='reversal': .*model.token_ratio is null"),
        ({"num_chosen": 2, "choose": "second"}, "model.num_chosen='2': several snippets are the top ones"),
        ({"num_chosen": 0}, "model.num_chosen='0': must be at least 1"),
        ({"patch_snippets": 0}, "model.patch_snippets='0': must be at least 1"),
    ],
)
def test_options_that_do_not_fit_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        sst(**arguments)
