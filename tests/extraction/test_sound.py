"""Sound as a stream: aligned with the snippets by time, refused or zero where there is none."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.videos import save_heard
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.log_mel import PATCH, describe_patches, log_mel
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.live import SnippetStream
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import StreamSpec

HEARD = StreamSpec("audio", "log_mel")
SEEN = StreamSpec("motion", "flow_statistics", size=32)
RATE = 16_000


def burst(start: float, end: float, length: float) -> NDArray[np.float32]:
    """Noise from one second to another, and silence around it."""
    samples = np.random.default_rng(0).normal(0, 0.2, round(length * RATE)).astype(np.float32).clip(-1, 1)
    samples[: round(start * RATE)] = samples[round(end * RATE) :] = 0
    return samples


def test_snippets_hear_what_is_around_their_middle(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    samples = burst(3.0, 5.0, 8.0)
    save_heard(videos / "a.mkv", samples, num_frames=84)
    output = str(tmp_path / "s.h5")
    assert extract(str(videos), output, streams=[SEEN, HEARD], snippet_length=8, snippet_stride=4) == 0
    store = FeatureStore(tmp_path / "s.h5")
    features = store.read("a", "audio")
    assert features.shape == (len(store.read("a", "motion")), 1, 128) == (20, 1, 128)
    for number in (0, 6, 9, 13, 18):
        middle = (4 * number + 4) / 10
        first = round(100 * middle) - PATCH // 2
        padded = torch.nn.functional.pad(torch.from_numpy(samples), (2 * RATE, 4 * RATE))
        around = padded[2 * RATE + 160 * first :][: 160 * (PATCH - 1) + 400]
        expected = describe_patches(log_mel(around)[None])[0]
        np.testing.assert_allclose(features[number, 0], expected, atol=1e-3)
    level = features[:, 0, :64].mean(axis=1)
    loud = level > (level.min() + level.max()) / 2
    assert np.flatnonzero(loud).tolist() == [7, 8, 9, 10, 11]  # middles from 3.2 to 4.8 seconds
    recorded = json.loads(store.provenance.preprocessing)["streams"]["audio"]
    assert recorded == {
        "backbone": "log_mel",
        "input": "rgb",
        "name": "audio",
        "no_sound": "refuse",
        "view": "full",
    }
    heard, _ = ExtractionRecipe.recorded(store.provenance).streams
    assert heard == replace(HEARD, view="full")


def test_a_video_without_sound_is_refused_or_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = save_heard(tmp_path / "mute.mkv", None), str(tmp_path / "s.h5")
    with pytest.raises(WSVADError, match="has no sound track, which the stream audio is made of"):
        extract(str(path), output, streams=[SEEN, HEARD])
    zeros = StreamSpec("audio", "log_mel", no_sound="zeros")
    assert extract(str(path), output, streams=[SEEN, zeros]) == 0
    assert not FeatureStore(output).read("mute", "audio").any()
    assert "no sound track: zeros in audio" in capsys.readouterr().err


def test_cameras_have_no_sound() -> None:
    recipe = ExtractionRecipe((HEARD,), SnippetRecipe())
    encoders = recipe.build_encoders(torch.device("cpu"))
    with pytest.raises(WSVADError, match="frames that come in have none"):
        SnippetStream(encoders, recipe)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "log_mel", "size": 64}, "sees no images. Leave size out"),
        ({"backbone": "vggish", "view": "ten_crop"}, "sees no images. Leave view out"),
        ({"backbone": "log_mel", "weights": "a.pth"}, "takes no weights"),
        ({"backbone": "flow_statistics", "no_sound": "zeros"}, "hears no sound"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        StreamSpec(**settings)  # type: ignore[arg-type]


def test_vggish_needs_its_file() -> None:
    with pytest.raises(WSVADError, match="takes its weights from a file"):
        build_encoder(StreamSpec("audio", "vggish"), torch.device("cpu"))
