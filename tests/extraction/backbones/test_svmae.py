import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from tests.layers.test_depth_network import save_depth_network
from tests.methods.test_svmaepretraining import small
from tests.videos import VideoMaker
from wsvad_lightning.checkpoint import sealed
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.svmae import fuse_tokens, load_encoder
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.streams import FrameWindow, StreamSpec
from wsvad_lightning.layers.scene_maps import cube_difference
from wsvad_lightning.methods import SVMAEPretraining

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def module() -> SVMAEPretraining:
    return small().eval()


@pytest.fixture(scope="module")
def checkpoint(module: SVMAEPretraining, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("svmae") / "last.ckpt"
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


def windows() -> FrameWindow:
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 24, 3), np.uint8)
    return FrameWindow(frames, opens=True)


def vector(checkpoint: Path, **fusion: Any) -> torch.Tensor:
    encoder = build_encoder(StreamSpec(backbone="svmae", weights=str(checkpoint), **fusion), CPU)
    (found,) = encoder.open(SnippetRecipe(4, 4)).add(windows())
    return found


def test_all_options_off_give_the_mean_over_the_tokens(module: SVMAEPretraining, checkpoint: Path) -> None:
    clip = windows().rgb.transpose(0, 1)[None].float() / 255
    with torch.no_grad():
        tokens = module.net.encoder(module.grid.cut(clip))
    found = vector(checkpoint, motion_share=1.0, depth_weight=0.0)
    torch.testing.assert_close(found, tokens.mean(dim=1))
    moving = cube_difference(clip, module.grid)[0].argsort()[6:]
    torch.testing.assert_close(vector(checkpoint, depth_weight=0.0), tokens[:, moving].mean(dim=1))
    depth = module.prior[0, moving]
    weights = (1 + 0.05 * depth) / (1 + 0.05 * depth).sum()
    expected = (weights[:, None] * tokens[0, moving]).sum(dim=0)[None]
    torch.testing.assert_close(vector(checkpoint), expected)


def test_fusion_keeps_what_moves_and_weighs_what_is_far() -> None:
    tokens = torch.eye(4)[None]
    motion, depth = torch.tensor([[0.0, 3.0, 1.0, 2.0]]), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    found = fuse_tokens(tokens, motion, depth, motion_share=0.5, depth_weight=1.0)
    torch.testing.assert_close(found, torch.tensor([[0.0, 2 / 3, 0.0, 1 / 3]]))
    one = fuse_tokens(tokens, motion, depth, motion_share=0.01, depth_weight=0.0)
    assert one.tolist() == [[0.0, 1.0, 0.0, 0.0]]


def test_every_option_is_recorded(checkpoint: Path, tmp_path: Path) -> None:
    network = save_depth_network(tmp_path)
    spec = StreamSpec(backbone="svmae", weights=str(checkpoint), depth_network=str(network))
    recipe = build_encoder(spec, CPU).recipe
    assert {name: recipe[name] for name in ("motion_share", "depth_weight", "clip_size")} == {
        "motion_share": 0.5,
        "depth_weight": 0.05,
        "clip_size": [16, 24],
    }
    assert len(recipe["depth"]) == len(recipe["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(recipe)


def test_extract_uses_the_checkpoint(checkpoint: Path, make_video: VideoMaker, tmp_path: Path) -> None:
    make_video("videos/a.mp4", 12)
    output = tmp_path / "store.h5"
    arguments = ["extract", str(tmp_path / "videos"), str(output), "--config", "extract/svmae.yaml"]
    arguments += ["--weights", str(checkpoint)]
    assert main(arguments) == 2  # 16 frames a snippet, and the encoder takes 4
    assert not output.exists()
    assert main([*arguments, "--snippet_length", "4"]) == 0
    store = FeatureStore(output)
    recipe = json.loads(store.provenance.preprocessing)["streams"]["features"]
    assert (recipe["backbone"], recipe["motion_share"], recipe["depth"]) == ("svmae", 0.5, "prior")
    assert store["a"].num_snippets == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c.update(method="URDMU"), "is of URDMU, which has no encoder of clips"),
        (lambda c: c["hyper_parameters"].update(dim=10**9), "larger than its weights"),
        (lambda c: c["hyper_parameters"].update(size=[10**7, 10**7]), "multiple of|larger than its weights"),
        (lambda c: c["hyper_parameters"].update(size="large"), "size is not of type"),
        (lambda c: c["hyper_parameters"].update(depth=2), "lacks net.encoder.stack.layers.1"),
        (lambda c: c["state_dict"].pop("net.encoder.norm.bias"), "lacks net.encoder.norm.bias"),
    ],
)
def test_odd_checkpoints_are_refused_in_a_line(
    change: Any, problem: str, checkpoint: Path, tmp_path: Path
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(sealed(content), tmp_path / "odd.ckpt")
    with pytest.raises(WSVADError, match=problem):
        load_encoder(str(tmp_path / "odd.ckpt"))


@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        ({"backbone": "svmae", "motion_share": 0.0}, "streams.motion_share"),
        ({"backbone": "svmae", "motion_share": 1.5}, "streams.motion_share"),
        ({"backbone": "svmae", "depth_weight": -1.0}, "streams.depth_weight"),
        ({"backbone": "clip", "motion_share": 0.5}, "streams.motion_share"),
        ({"backbone": "svmae"}, "streams.weights"),
        ({"backbone": "svmae", "weights": "absent.ckpt"}, "weights"),
    ],
)
def test_impossible_streams_are_refused(spec: dict[str, Any], argument: str) -> None:
    with pytest.raises(WSVADError) as error:
        build_encoder(StreamSpec(**spec), CPU)
    assert error.value.argument == argument
