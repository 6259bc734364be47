from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from wsvad_lightning.configs import config_folder
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.efficientnet_lite import load_efficientnet_lite0
from wsvad_lightning.extraction.backbones.flow import flow_statistics, measure_motion
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.extraction.encoders import FrameEncoder, build_encoder
from wsvad_lightning.extraction.streams import FrameWindow, StreamSpec
from wsvad_lightning.video.views import parse_views, view_images

CPU = torch.device("cpu")


def build_frame_encoder(spec: StreamSpec) -> FrameEncoder:
    encoder = build_encoder(spec, CPU)
    assert isinstance(encoder, FrameEncoder)
    return encoder


@pytest.fixture(scope="module")
def frames(texture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[4, 60, 90, 3]``, drifting faster and faster and far in the end."""
    return np.stack([np.roll(texture, -shift, axis=1)[:60, :90] for shift in (0, 1, 3, 40)])


def test_differences_are_amplified_and_saturate(frames: NDArray[np.uint8]) -> None:
    change = np.abs(frames[1:].astype(int) - frames[:-1])
    expected = torch.from_numpy(np.minimum(4 * change, 252)).permute(0, 3, 1, 2)
    assert (expected == 252).any()
    torch.testing.assert_close(FrameWindow(frames, opens=False).diff.long(), expected)


def test_the_first_frame_of_a_video_takes_the_motion_of_the_second(frames: NDArray[np.uint8]) -> None:
    opening, later = FrameWindow(frames, opens=True), FrameWindow(frames, opens=False)
    assert len(opening.rgb) == len(opening.diff) == len(opening.motion(40)) == 4
    assert len(later.rgb) == len(later.diff) == len(later.motion(40)) == 3
    for all_frames, pairs in ((opening.diff, later.diff), (opening.motion(40), later.motion(40))):
        torch.testing.assert_close(all_frames[1:], pairs)
        torch.testing.assert_close(all_frames[0], pairs[0])


def test_streams_of_one_window_share_the_motion(frames: NDArray[np.uint8]) -> None:
    window = FrameWindow(frames, opens=True)
    assert window.motion(40) is window.motion(40)
    assert window.diff is window.diff
    assert window.motion(48).shape[-2] == 48


@pytest.mark.parametrize("seen", ["rgb", "diff"])
def test_the_network_sees_the_views(seen: Any, frames: NDArray[np.uint8]) -> None:
    window = FrameWindow(frames, opens=False)
    encoder = build_frame_encoder(StreamSpec(view="1x2", input=seen, size=64))
    images = view_images(window.rgb if seen == "rgb" else window.diff, parse_views("1x2"), 64).flatten(0, 1)
    with torch.inference_mode():
        expected = load_efficientnet_lite0()[0].features(images).view(3, 2, 1280)
        torch.testing.assert_close(encoder.encode(window), expected)
    assert encoder.views == ("r0c0", "r0c1")


def test_flow_is_described_within_the_views(frames: NDArray[np.uint8]) -> None:
    window = FrameWindow(frames, opens=False)
    encoder = build_frame_encoder(StreamSpec("motion", "flow_statistics", view="2x3", size=48))
    motion = measure_motion(window.frames, 48)
    encoded = encoder.encode(window)
    assert encoded.shape == (3, 6, 10)
    torch.testing.assert_close(encoded[:, 4], flow_statistics(motion, parse_views("2x3")[4]))
    assert build_frame_encoder(StreamSpec("motion", "flow_histogram")).encode(window).shape == (3, 1, 34)


def test_recipes_hold_everything_that_the_vectors_depend_on() -> None:
    network = build_encoder(StreamSpec("diffs", view="center", input="diff"), CPU).recipe
    sha256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert (network["size"], network["input"], network["view"], network["sha256"]) == (
        224,
        "diff",
        "center",
        sha256,
    )
    assert build_encoder(StreamSpec("motion", "flow_statistics"), CPU).recipe["size"] == 120


@pytest.mark.parametrize(
    "path", sorted((config_folder() / "extract").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_recipes_hold_streams_and_options_that_there_are(path: Path) -> None:
    recipe = yaml.safe_load(path.read_text())
    specs = [StreamSpec(**stream) for stream in recipe.pop("streams")]
    assert all(parse_views(spec.seen) for spec in specs)
    assert set(recipe) <= set(signature(extract).parameters)


@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        ({"name": "a/b"}, "streams.name"),
        ({"name": ""}, "streams.name"),
        ({"size": 0}, "streams.size"),
        ({"backbone": "flow_statistics", "input": "diff"}, "streams.input"),
        ({"view": "3d"}, "view"),
    ],
)
def test_impossible_streams_are_refused(spec: dict[str, Any], argument: str) -> None:
    with pytest.raises(WSVADError) as error:
        build_encoder(StreamSpec(**spec), CPU)
    assert error.value.argument == argument
