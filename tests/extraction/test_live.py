"""Features of a growing video are those of the whole one, and come as soon as their frames are there."""

import numpy as np
import pytest
import torch

from tests.videos import VideoMaker
from wsvad_lightning.extraction.encode import encode_video
from wsvad_lightning.extraction.live import SnippetStream, stream_snippets
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.video.reader import VideoReader

MOTION = (
    StreamSpec("motion", "flow_statistics", view="1x2", size=32),
    StreamSpec("whole", "flow_histogram", size=32),
)
GRIDS = {
    "side by side": SnippetRecipe(length=4, stride=4),
    "overlapping, every second frame": SnippetRecipe(length=6, stride=2, frame_stride=2, pooling="max"),
    "apart, without the tail": SnippetRecipe(length=2, stride=5, tail="drop"),
    "one frame each": SnippetRecipe(length=1, stride=1),
    "longer than the video": SnippetRecipe(length=64, stride=16, tail="pad"),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_features_are_those_of_the_whole_video(grid: str, make_video: VideoMaker) -> None:
    path = make_video("clip.mp4", 23)
    recipe = ExtractionRecipe(MOTION, GRIDS[grid], dtype="float16")
    encoders = recipe.build_encoders(torch.device("cpu"))
    frames = list(VideoReader(path))
    found = list(stream_snippets(((frame, t / 10) for t, frame in enumerate(frames)), encoders, recipe))
    with encode_video(path, encoders, recipe.snippets, dtype="float16") as whole:
        assert whole.num_frames == 23
        for name, spool in whole.streams.items():
            given = np.stack([snippet.features[name] for snippet in found])
            assert given.dtype == np.float16
            np.testing.assert_array_equal(given, spool[:])
    spans = [recipe.snippets.span(t, 23) for t in range(len(found))]
    assert [one.number for one in found] == list(range(len(found)))
    assert [one.first_frame for one in found] == [start for start, _ in spans]
    times = [[one.start, min(one.end, 2.3)] for one in found]  # one may come before the last frame does
    np.testing.assert_allclose(times, np.array(spans) / 10)


@pytest.mark.parametrize("grid", sorted(GRIDS.keys() - {"longer than the video", "one frame each"}))
def test_a_snippet_comes_with_its_last_sampled_frame(grid: str) -> None:
    recipe = ExtractionRecipe(MOTION[:1], GRIDS[grid])
    stream = SnippetStream(recipe.build_encoders(torch.device("cpu")), recipe)
    frames, rng = 20, np.random.default_rng(0)
    came: dict[int, int] = {}
    for t in range(frames):
        came |= {one.number: t for one in stream.add(rng.integers(0, 255, (32, 32, 3), np.uint8), t)}
    snippets = recipe.snippets
    last = (snippets.sampled_length - 1) * snippets.frame_stride
    expected = {t: t * snippets.stride + last for t in range(frames)}
    assert came == {t: frame for t, frame in expected.items() if frame < frames}


def test_no_frames_make_no_snippets() -> None:
    recipe = ExtractionRecipe(MOTION[:1], SnippetRecipe())
    assert list(stream_snippets([], recipe.build_encoders(torch.device("cpu")), recipe)) == []
