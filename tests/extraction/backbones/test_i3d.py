"""The networks themselves are compared with the authors' numbers in tests/parity."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.i3d import crop_frames, resize_frames, scale_clips
from wsvad_lightning.extraction.backbones.i3d_inception import (
    POOL,
    I3DInception,
    SameMaxPool3d,
    load_i3d_inception,
)
from wsvad_lightning.extraction.backbones.i3d_inception import layer_table as inception_table
from wsvad_lightning.extraction.backbones.i3d_resnet50 import I3DResNet50, load_i3d_resnet50
from wsvad_lightning.extraction.backbones.i3d_resnet50 import layer_table as resnet_table
from wsvad_lightning.extraction.backbones.weights import LayerTable, hash_file
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.streams import FrameWindow, StreamSpec
from wsvad_lightning.video.views import parse_views, resize


def released_file(network: nn.Module, table: LayerTable, path: Path) -> Path:
    """Weights as the authors released them: an old file, whose normalizations count no batches."""
    state: dict[str, Tensor] = {}
    for ours, (layer, norm) in table.items():
        weight = network.get_submodule(ours).get_parameter("weight").detach()
        state[f"{layer}.weight"] = weight
        if norm is None or ".nl." in layer:
            state[f"{layer}.bias"] = torch.zeros(len(weight))
        if norm is not None:
            for key in ("weight", "bias", "running_mean", "running_var"):
                state[f"{norm}.{key}"] = torch.full((len(weight),), float("var" in key or key == "weight"))
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = I3DInception(num_classes=7)
    return released_file(network, inception_table(network), tmp_path_factory.mktemp("i3d") / "rgb.pt")


@pytest.fixture(scope="module")
def frames() -> Tensor:
    picture = np.random.default_rng(0).integers(0, 256, (2, 90, 60, 3), dtype=np.uint8)
    return torch.from_numpy(picture).permute(0, 3, 1, 2)


def test_frames_of_any_aspect_become_340_by_256_by_lanczos(frames: Tensor) -> None:
    picture = Image.fromarray(frames[1].permute(1, 2, 0).numpy()).resize((340, 256), Image.Resampling.LANCZOS)
    resized = resize_frames(frames)
    assert resized.shape == (2, 3, 256, 340)
    np.testing.assert_array_equal(resized[1].permute(1, 2, 0).numpy(), np.asarray(picture))


def test_the_crops_lie_where_the_published_ones_do(frames: Tensor) -> None:
    resized = resize_frames(frames)
    crops = crop_frames(frames, views=parse_views("ten_crop"))
    assert crops.shape == (2, 10, 3, 224, 224)
    places = [(0, 0), (0, 116), (16, 58), (32, 0), (32, 116)]
    for half, whole in ((crops[:, :5], resized), (crops[:, 5:], resized.flip(-1))):
        for crop, (top, left) in zip(half.unbind(1), places, strict=True):
            assert torch.equal(crop, whole[..., top : top + 224, left : left + 224])


def test_patches_are_resized_to_the_size_of_a_crop(frames: Tensor) -> None:
    patches = crop_frames(frames, views=parse_views("2x2"))
    assert patches.shape == (2, 4, 3, 224, 224)
    torch.testing.assert_close(patches[:, 3], resize(resize_frames(frames)[..., 128:, 170:], 224, 224))


def test_clips_are_scaled_with_the_channels_before_the_time() -> None:
    clips = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 1, 3, 1, 1).expand(1, 4, 3, 2, 2)
    scaled = scale_clips(clips)
    assert scaled.shape == (1, 3, 4, 2, 2)
    torch.testing.assert_close(scaled[0, :, 3, 1, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_zeros_pad_the_maximum_in_time_too() -> None:
    x = torch.rand(1, 2, 3, 5, 4)
    pooled = SameMaxPool3d((3, 3, 3), (2, 2, 2))(x)
    assert pooled.shape == (1, 2, 2, 3, 2)
    torch.testing.assert_close(pooled[0, :, 1, 2, 1], x[0, :, 1:, 3:, 2:].amax(dim=(1, 2, 3)))


def test_a_map_of_any_size_becomes_one_vector() -> None:
    network = I3DInception()
    network.stages = nn.Sequential()  # the last map itself
    published = torch.rand(2, 1024, *POOL)
    assert torch.equal(network.features(published), avg_pool3d(published, POOL, stride=1).flatten(1))
    larger = torch.rand(2, 1024, 3, 8, 7)
    windows = [larger[:, :, t : t + 2, y : y + 7].mean(dim=(2, 3, 4)) for t in (0, 1) for y in (0, 1)]
    torch.testing.assert_close(network.features(larger), torch.stack(windows).mean(dim=0))
    smaller = torch.rand(2, 1024, 1, 2, 3)
    torch.testing.assert_close(network.features(smaller), smaller.mean(dim=(2, 3, 4)))


def test_longer_and_larger_clips_have_one_vector_and_one_row_of_logits() -> None:
    clips = torch.rand(1, 3, 24, 256, 256)
    with torch.inference_mode():
        network = I3DInception(num_classes=7).eval()
        assert network.features(clips).shape == (1, 1024)
        assert network(clips[:, :, :9, :64, :96]).shape == (1, 7)


def test_a_stream_sees_what_was_published(inception_file: Path, frames: Tensor) -> None:
    encoder = build_encoder(
        StreamSpec("i3d", "i3d_inception", view="center", weights=str(inception_file)), torch.device("cpu")
    )
    assert encoder.recipe == {
        "name": "i3d",
        "backbone": "i3d_inception",
        "view": "center",
        "input": "rgb",
        "sha256": hash_file(inception_file),
        "preprocessing": "340x256 by Lanczos, crops of 224, scaled to -1..1",
    }
    video = frames.permute(0, 2, 3, 1).numpy()[[0, 1] * 8]
    features = encoder.open(SnippetRecipe(16, 16, tail="drop"))
    with torch.inference_mode():
        given = features.add(FrameWindow(video, opens=True))
        crops = crop_frames(frames, views=parse_views("center"))[:, 0]
        network, _ = load_i3d_inception(inception_file)
        expected = network.features(2 / 255 * crops.float()[[0, 1] * 8].transpose(0, 1)[None] - 1)
    torch.testing.assert_close(torch.stack(given), expected[None], rtol=1e-4, atol=1e-5)
    assert features.finish(20) == []


def test_ten_crops_are_what_a_stream_sees_by_default() -> None:
    assert StreamSpec(backbone="i3d_resnet50", weights="a.pth").seen == "ten_crop"


def test_weights_tell_whether_there_are_non_local_blocks_and_how_many_classes(tmp_path: Path) -> None:
    network = I3DResNet50(non_local=True, num_classes=7)
    path = released_file(network, resnet_table(network), tmp_path / "nl.pth")
    loaded, sha256 = load_i3d_resnet50(path)
    assert sha256 == hash_file(path)
    assert set(loaded.state_dict()) == set(network.state_dict())
    assert len(loaded.classifier.bias) == 7
    assert set(I3DResNet50().state_dict()) < set(network.state_dict())


def test_weights_of_the_other_network_are_refused_in_one_line(inception_file: Path) -> None:
    with pytest.raises(WSVADError, match=r"lacks the key 'conv1.weight'. Give a file of Tushar-N"):
        load_i3d_resnet50(inception_file)


def test_weights_for_flow_are_refused_in_one_line(inception_file: Path, tmp_path: Path) -> None:
    state = torch.load(inception_file, weights_only=True)
    state["Conv3d_1a_7x7.conv3d.weight"] = torch.zeros(64, 2, 7, 7, 7)
    torch.save(state, tmp_path / "flow.pt")
    with pytest.raises(WSVADError, match=r"has the shape \(64, 2, 7, 7, 7\) and not \(64, 3, 7, 7, 7\)"):
        load_i3d_inception(tmp_path / "flow.pt")
