"""Films that a browser plays have the frames and times of the original."""

from pathlib import Path

import av
import numpy as np

from tests.videos import VideoMaker, write_stamped
from wsvad_lightning.serving.labelling.films import Films, fitted
from wsvad_lightning.video.reader import VideoReader


def test_frames_and_times_are_those_of_the_video(tmp_path: Path, make_video: VideoMaker) -> None:
    stamps = [0.0, 0.1, 0.2, 0.5, 0.6]  # of a variable rate
    jerky = write_stamped(tmp_path / "jerky.mp4", stamps)
    odd = make_video("odd.avi", 12, width=66, height=50, codec="mpeg4")
    films = Films([jerky, odd], tmp_path)
    assert np.allclose(films.film(0).times[:-1], stamps)
    with av.open(films.film(0).path) as film:
        assert [round(frame.time, 3) for frame in film.decode(video=0)] == stamps
    own, original = (np.stack(list(VideoReader(path))) for path in (films.film(1).path, odd))
    assert own.shape == original.shape
    assert np.abs(own.astype(int) - original).mean() < 6  # it is encoded once more
    assert films.film(1) is films.film(1)


def test_large_videos_are_shrunk_and_sides_are_even() -> None:
    assert fitted({"width": 1920, "height": 1080}) == {"width": 854, "height": 480}
    assert fitted({"width": 1080, "height": 1920}) == {"width": 270, "height": 480}
    assert fitted({"width": 65, "height": 1}) == {"width": 64, "height": 2}
