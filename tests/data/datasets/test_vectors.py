"""Ready frame labels: of all test videos in one array, or of each by its name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.vectors import Listed, read_vector
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError

VIDEOS = {  # 3 and 2 snippets of 16 frames
    "Abuse028_x264": Listed("Abuse028_x264.npy", VideoAnnotation("Abuse028_x264", 1), 51, 48),
    "Normal_1": Listed("Normal_1.npy", VideoAnnotation("Normal_1", 0), 30, 32),
}
COVERED = np.repeat([1, 0, 0], [16, 32, 32])  # the abnormal video first


LISTED = "Abuse028_x264_i3d.npy\nNormal_1_i3d.npy\n"


def files(folder: Path, vector: object = COVERED, names: str = LISTED) -> tuple[str, str]:
    np.save(folder / "gt.npy", np.asarray(vector))
    (folder / "test.list").write_text(names)
    return str(folder / "gt.npy"), str(folder / "test.list")


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_a_vector_is_divided_in_the_order_of_its_list(kind: type, tmp_path: Path) -> None:
    labels = read_vector(*files(tmp_path, COVERED.astype(kind)), VIDEOS).labels
    assert {name: (len(own), int(own.sum())) for name, own in labels.items()} == {
        "Abuse028_x264": (48, 16),
        "Normal_1": (32, 0),
    }
    turned = files(tmp_path, np.repeat([0, 1, 0], [32, 16, 32]), "UCF/Normal_1.npy\nUCF/Abuse028_x264.npy")
    assert {name: own.tolist() for name, own in read_vector(*turned, VIDEOS).labels.items()} == {
        name: own.tolist() for name, own in labels.items()
    }


def test_a_line_for_each_crop_and_a_label_for_each_frame(tmp_path: Path) -> None:
    crops = "".join(f"{name}__{crop}.npy\n" for name in VIDEOS for crop in range(3))
    labels = read_vector(*files(tmp_path, np.repeat([0, 1, 0], [20, 31, 30]), crops), VIDEOS).labels
    assert {name: (len(own), int(own.sum())) for name, own in labels.items()} == {
        "Abuse028_x264": (51, 31),
        "Normal_1": (30, 0),
    }


def test_an_archive_names_its_videos(tmp_path: Path) -> None:
    np.savez(tmp_path / "gt.npz", Normal_1=np.zeros(30), Abuse028_x264=np.ones(48))
    labels = read_vector(str(tmp_path / "gt.npz"), None, VIDEOS).labels
    assert {name: len(own) for name, own in labels.items()} == {"Normal_1": 30, "Abuse028_x264": 48}
    np.savez(tmp_path / "gt.npz", Normal_1=np.zeros(31), Abuse028_x264=np.ones(48))
    with pytest.raises(WSVADError, match=r"shape \(31,\) for Normal_1, of 30 frames \(32 in its snippets\)"):
        read_vector(str(tmp_path / "gt.npz"), None, VIDEOS)
    with pytest.raises(WSVADError, match=r"data.gt_list='a.list': .*gt.npz names its videos itself"):
        read_vector(str(tmp_path / "gt.npz"), "a.list", VIDEOS)


def archive(folder: Path) -> tuple[str, None]:
    (folder / "a.npz").write_bytes(b"PK")
    return str(folder / "a.npz"), None


BAD: dict[str, tuple[Callable[[Path], tuple[str, str | None]], str]] = {
    "too long": (
        lambda d: files(d, np.zeros(82)),
        r"data.gt_vector=.*is of shape \(82,\); the 2 listed videos have 81 frames, their snippets 80",
    ),
    "other order": (
        lambda d: files(d, np.repeat([0, 1], [64, 16])),
        "labels 16 frames of Normal_1 anomalous, which is a normal video. Give the list in the order",
    ),
    "scores": (lambda d: files(d, COVERED * 0.5), "labels of Abuse028_x264 are neither 0 nor 1"),
    "two axes": (lambda d: files(d, COVERED[None]), r"is of shape \(1, 80\)"),
    "pickle": (lambda d: files(d, np.array([{}], dtype=object)), "data.gt_vector=.*cannot be read"),
    "another video": (
        lambda d: files(d, names="Abuse028_x264\nNormal_1\nNormal_2"),
        "data.gt_list=.*1 are not of the test videos: Normal_2",
    ),
    "one missing": (
        lambda d: files(d, names="Normal_1"),
        "data.gt_list=.*1 of the test videos are not there: Abuse028_x264",
    ),
    "no list": (lambda d: (files(d)[0], str(d / "none.list")), "data.gt_list=.*none.list"),
    "no archive": (archive, "data.gt_vector=.*a.npz.*cannot be read"),
    "unlisted": (lambda d: (files(d)[0], None), "data.gt_list is required: .*does not say which frames"),
}


def test_what_was_counted_must_be_clear(tmp_path: Path) -> None:
    abnormal, normal = VIDEOS
    videos = {abnormal: VIDEOS[abnormal]._replace(num_frames=50), normal: VIDEOS[normal]}
    with pytest.raises(WSVADError, match="may be of the 80 frames of the videos or of as many of their"):
        read_vector(*files(tmp_path), videos)


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    given, message = BAD[case]
    path, listed = given(tmp_path)
    with pytest.raises(WSVADError, match=message) as error:
        read_vector(path, listed, VIDEOS)
    assert "\n" not in str(error.value)


def test_the_data_module_tests_by_them_and_says_how_they_differ(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    store = str(make_store(tmp_path / "store.h5", snippet_length=16, train=2, test=2))
    data = WSVADDataModule(store)
    names = data.parts["test"]
    marked = [name for name in names if data.annotations[name].label][:1]
    own = {name: np.zeros(16 * data.store[name].num_snippets, np.uint8) for name in names}
    own[marked[0]][:16] = 1
    np.save(tmp_path / "gt.npy", np.concatenate([*own.values()]))
    (tmp_path / "a.list").write_text("\n".join(own))
    data = WSVADDataModule(store, gt_vector=str(tmp_path / "gt.npy"), gt_list=str(tmp_path / "a.list"))
    for batch in data.test_dataloader():
        (labels,) = batch.frame_labels or [None]
        assert labels is not None
        assert labels.tolist() == own[batch.video_ids[0]].tolist()
        assert batch.num_frames is not None
        assert batch.num_frames.item() == len(labels)
    assert "are not those of the annotations" in caplog.text + capfd.readouterr().err
    with pytest.raises(WSVADError, match="data.gt_list='a': is the order of data.gt_vector"):
        WSVADDataModule(store, gt_list="a")
    with pytest.raises(WSVADError, match="data.gt_vector='a.npz': takes the place of the rule official:rtfm"):
        WSVADDataModule(store, gt_vector="a.npz", gt_rule="official:rtfm")
