import pytest

from wsvad_lightning.video.oddities import spans


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([7], "7"),
        ([60, 61, 62, 7], "7, 60-62"),
        ([0, 2, 4, 6, 8], "0, 2, 4, 6, 8"),
        (list(range(0, 20, 2)), "0, 2, 4, 6, 8 and 5 more"),
    ],
)
def test_runs_of_frames_are_named(frames: list[int], words: str) -> None:
    assert spans(frames) == words
