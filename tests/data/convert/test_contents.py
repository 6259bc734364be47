"""What many files hold together: side files, arrays of one name in each, files of one snippet."""

from pathlib import Path

import numpy as np
import pytest

from wsvad_lightning.data.convert.contents import Contents, find_arrays
from wsvad_lightning.data.convert.files import files_below
from wsvad_lightning.data.convert.report import BROKEN, SKIPPED, USED

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(folder: Path, **arrays: np.ndarray) -> Contents:
    """Write a file an array, under names in which __ is a slash, and find them again."""
    for name, array in arrays.items():
        path = folder / f"{name.replace('__', '/')}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    return find_arrays(files_below(folder).files)


def names_of(found: Contents) -> list[str]:
    return [array.name for _, array in found.arrays]


def test_rates_and_time_stamps_are_set_aside(tmp_path: Path) -> None:
    """As video_features writes them."""
    found = write(
        tmp_path, a_rgb=ROWS, a_fps=np.array(25.0), a_timestamps_ms=ROWS[:, 0], b_fps=ROWS, c_flow=ROWS
    )
    assert names_of(found) == ["a_rgb.npy", "b_fps.npy", "c_flow.npy"]
    assert [(entry.file, entry.status, entry.reason) for entry in found.rest] == [
        ("a_fps.npy", SKIPPED, "fps of the frames, no features"),
        ("a_timestamps_ms.npy", SKIPPED, "timestamps_ms of the frames, no features"),
    ]


@pytest.mark.parametrize(
    ("pattern", "videos"),
    [("{v}__{n:03d}", ["a", "b"]), ("{v}_{n}", ["a", "b"]), ("{v}__clip-{n}", ["a", "b"])],
)
def test_files_of_one_snippet_are_joined(pattern: str, videos: list[str], tmp_path: Path) -> None:
    arrays = {pattern.format(v=v, n=n): ROWS[0] + n for v in videos for n in range(11)}
    found = write(tmp_path, **arrays)
    assert names_of(found) == videos
    for _, array in found.arrays:
        assert array.shape == (11, 3)
        np.testing.assert_array_equal(array.read(), [ROWS[0] + n for n in range(11)])
    assert [entry.status for entry in found.rest] == [USED] * 20
    assert found.notes == ["files of one snippet each are joined to 2 videos, by their numbers"]


def test_vectors_of_whole_videos_are_not_joined(tmp_path: Path) -> None:
    assert names_of(write(tmp_path, v1=ROWS[0], v2=ROWS[0], v3=ROWS[0])) == ["v1.npy", "v2.npy", "v3.npy"]


def test_missing_snippets_break_their_video(tmp_path: Path) -> None:
    found = write(tmp_path, a__0=ROWS[0], a__2=ROWS[0], b__0=ROWS[0], b__1=ROWS[0])
    assert names_of(found) == ["b"]
    broken = [entry for entry in found.rest if entry.status == BROKEN]
    assert {(entry.video, entry.reason) for entry in broken} == {
        ("a", "1 file is missing between 0.npy and the last")
    }


def test_arrays_called_alike_in_every_file_are_of_the_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", fc6=ROWS)
    assert names_of(find_arrays(files_below(tmp_path).files)) == ["a.npz", "b.npz"]
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", logits=ROWS, probs=ROWS)
    found = find_arrays(files_below(tmp_path).files)
    assert not found.arrays
    assert {entry.reason for entry in found.rest} == {
        "holds logits, probs, as other files do: call the features 'features'"
    }


def test_files_of_many_videos_keep_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", a=ROWS, b=ROWS)
    np.savez(tmp_path / "two.npz", c=ROWS, d=ROWS)
    assert names_of(find_arrays(files_below(tmp_path).files)) == ["a", "b", "c", "d"]
