import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.encoders import CLIPS_AT_ONCE, ClipEncoder, Network, build_encoder
from wsvad_lightning.extraction.pooling import SnippetRecipe, Tail
from wsvad_lightning.extraction.streams import FrameWindow, StreamSpec
from wsvad_lightning.video.views import parse_views

CPU = torch.device("cpu")
VIEWS = parse_views("1x2")
SPEC = StreamSpec("clips", "i3d_inception", view="center")


def clip_encoder(clip_length: int) -> ClipEncoder:
    """A network that gives the number of the first and of the last frame, and the number of the view."""

    def prepare(frames: Tensor) -> Tensor:
        return torch.stack([frames.float(), frames.float() + 0.5], dim=1)

    def features(clips: Tensor) -> Tensor:
        assert clips.shape[1:] == (clip_length, 3, 2, 2)
        return torch.stack([clips[:, 0, 0, 0, 0], clips[:, -1, 0, 0, 0], 2 * (clips[:, 0, 0, 0, 0] % 1)], 1)

    return ClipEncoder(SPEC, Network(VIEWS, prepare, features, {}, clip_length), clip_length, CPU)


def windows(num_frames: int, size: int) -> Iterator[FrameWindow]:
    """Frames that show their own number, in windows."""
    frames = (
        np.arange(num_frames, dtype=np.uint8)[:, None, None, None].repeat(12, axis=1).reshape(-1, 2, 2, 3)
    )
    yield FrameWindow(frames[:size], opens=True)
    for start in range(size, num_frames, size):
        yield FrameWindow(frames[start - 1 : start + size], opens=False)


def encode(encoder: ClipEncoder, recipe: SnippetRecipe, num_frames: int, size: int = 5) -> Tensor:
    features = encoder.open(recipe)
    ready = [snippet for window in windows(num_frames, size) for snippet in features.add(window)]
    return torch.stack(ready + features.finish(num_frames))


@pytest.mark.parametrize("at_once", [1, 6])
@pytest.mark.parametrize(
    ("tail", "stride", "num_frames", "expected"),
    [
        ("drop", 4, 11, [(0, 3), (4, 7)]),
        ("keep", 4, 11, [(0, 3), (4, 7), (8, 10)]),
        ("pad", 4, 11, [(0, 3), (4, 7), (8, 10)]),
        ("pad", 4, 12, [(0, 3), (4, 7), (8, 11)]),
        ("drop", 2, 9, [(0, 3), (2, 5), (4, 7)]),
        ("keep", 6, 13, [(0, 3), (6, 9), (12, 12)]),
        ("drop", 4, 3, [(0, 2)]),
    ],
)
def test_each_snippet_is_a_clip_of_its_frames(
    at_once: int,
    tail: Tail,
    stride: int,
    num_frames: int,
    expected: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CLIPS_AT_ONCE, "cpu", at_once)
    encoded = encode(clip_encoder(4), SnippetRecipe(4, stride, tail=tail), num_frames)
    first, last = torch.tensor(expected).T
    torch.testing.assert_close(encoded[:, 0], torch.stack([first, last, 0 * first], dim=1).float())
    torch.testing.assert_close(encoded[:, 1], torch.stack([first + 0.5, last + 0.5, 0 * first + 1], dim=1))


def test_frames_may_be_sampled_from_longer_snippets() -> None:
    features = clip_encoder(2).open(SnippetRecipe(4, 4, frame_stride=2, tail="drop"))
    given = [features.add(window) for window in windows(num_frames=6, size=5)]  # of the 11 of the video
    seen = [[snippet[0, :2].tolist() for snippet in snippets] for snippets in given]
    assert seen == [[[0, 1], [2, 3]], [[4, 5]]]  # the last does not count: frame 11 is missing
    assert features.finish(11) == []


def test_snippets_that_the_network_cannot_take_are_refused_at_once() -> None:
    with pytest.raises(WSVADError) as error:
        clip_encoder(16).open(SnippetRecipe(16, 16, frame_stride=2))
    assert str(error.value) == (
        "snippet_length='16': that is 8 frames at frame_stride=2, and i3d_inception takes 16. Give 32"
    )


def test_a_long_video_holds_a_bounded_number_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLIPS_AT_ONCE, "cpu", 6)
    held: list[weakref.ref[NDArray[np.uint8]]] = []

    def prepare(frames: Tensor) -> Tensor:
        images = np.zeros((len(frames), 1, 3, 2, 2), dtype=np.uint8)
        held.append(weakref.ref(images))
        return torch.from_numpy(images)

    network = Network(
        parse_views("center"), prepare, lambda clips: clips.float().mean((1, 2, 3, 4))[:, None], {}
    )
    features = ClipEncoder(SPEC, network, 16, CPU).open(SnippetRecipe(16, 8))
    frames = np.zeros((5, 2, 2, 3), dtype=np.uint8)
    most = given = 0
    for _ in range(500):
        given += len(features.add(FrameWindow(frames, opens=False)))
        most = max(most, sum(images() is not None for images in held))
    assert 2 < most <= 16 // 4 + 1  # windows of 4 frames that an unfinished snippet reaches into
    assert given + len(features.finish(2000)) == 249


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"backbone": "clip"}, "clip takes its weights from a folder. Give its path by --weights"),
        ({"backbone": "i3d_resnet50", "weights": "absent.pth"}, "no such file"),
        ({"backbone": "videomae", "weights": "absent"}, "no such folder"),
        ({"weights": "a.pth"}, "efficientnet_lite0 takes no weights by path. Leave weights out"),
        (
            {"backbone": "dinov2", "weights": "a", "size": 224},
            "sees images of the size that its weights are for",
        ),
        ({"backbone": "clip", "weights": "a", "input": "diff"}, "clip takes frames as they are"),
    ],
)
def test_impossible_streams_are_reported_in_one_line(spec: dict[str, str], problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        build_encoder(StreamSpec(**spec), CPU)  # type: ignore[arg-type]
