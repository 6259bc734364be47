"""Frame labels by the rules of authors, down to the bit where their vectors are at hand."""

import json
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.command import label_tests, read_benchmark
from wsvad_lightning.data.datasets.rules import RULES, find_rule
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError

Labels = dict[str, NDArray[np.uint8]]


def runs(labels: NDArray[np.uint8]) -> str:
    """Lengths of equal labels, such as ``0x3 1x2``."""
    borders = np.flatnonzero(np.diff(labels, prepend=255, append=255))
    return " ".join(f"{labels[a]}x{b - a}" for a, b in pairwise(borders))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("exact", "0x10 1x10 0x15 1x15"),
        ("official:sultani", "0x9 1x11 0x14 1x16"),
        ("official:deepmil", "0x10 1x10 0x15 1x13"),
        ("official:rtfm", "0x10 1x11 0x14 1x16 0x13"),
        ("official:rtfm_sht", "0x10 1x10 0x15 1x29"),
        ("official:pel4vad_sht", "0x10 1x10 0x15 1x13"),
        ("official:xdviodet", "0x10 1x10 0x15 1x13"),
        ("official:vadclip", "0x10 1x10 0x15 1x13"),
    ],
)
def test_a_video_of_50_frames_by_every_rule(rule: str, expected: str) -> None:
    video = VideoAnnotation("x", 1, (), None, ((10, 20), (35, 50)))
    assert runs(find_rule(rule).label(video, 50)) == expected
    assert pickle.loads(pickle.dumps(find_rule(rule))).label(video, 50).tolist()


@pytest.mark.parametrize(("num_frames", "lengths"), [(64, (64, 64, 48, 48)), (65, (64, 80, 64, 48))])
def test_lengths_at_whole_snippets(num_frames: int, lengths: tuple[int, ...]) -> None:
    video = VideoAnnotation("x", 0)
    rules = ("official:deepmil", "official:rtfm", "official:xdviodet", "official:pel4vad_sht")
    assert tuple(len(RULES[rule].label(video, num_frames)) for rule in rules) == lengths


def test_features_of_another_length_are_refused() -> None:
    video = VideoAnnotation("x", 1, (), None, ((10, 20),))
    with pytest.raises(WSVADError, match=r"official:deepmil.*x has 4 snippets; it gives 3 for 50 frames"):
        RULES["official:deepmil"].label(video, 50, num_snippets=4)
    with pytest.raises(WSVADError, match="it gives 3 or 4 for 50 frames"):
        RULES["official:vadclip"].label(video, 50, num_snippets=5)
    assert len(RULES["official:vadclip"].label(video, 50, num_snippets=4)) == 64
    assert (
        len(RULES["official:xdviodet"].label(video, 64, num_snippets=4)) == 64
    )  # F follows from the features


def test_unknown_rules_and_intervals_are_refused() -> None:
    with pytest.raises(WSVADError, match="no such rule.*official:rtfm"):
        find_rule("rtfm")
    with pytest.raises(WSVADError, match="anomalous frames are unknown"):
        RULES["official:rtfm"].label(VideoAnnotation("x", 1), 50)


def test_the_data_module_tests_by_the_rule(tmp_path: Path) -> None:
    store = str(make_store(tmp_path / "store.h5", snippet_length=16))  # its last snippets are padded
    for rule, whole in (("exact", False), ("official:rtfm", True)):
        data = WSVADDataModule(store, gt_rule=rule)
        for batch in data.test_dataloader():
            assert batch.num_frames is not None
            assert batch.frame_labels is not None
            assert batch.frame_labels[0] is not None
            frames = len(batch.frame_labels[0])
            assert batch.num_frames.item() == frames
            assert frames == (
                16 * batch.lengths.item() if whole else data.store[batch.video_ids[0]].num_frames
            )
    with pytest.raises(WSVADError, match="official:xdviodet.*snippets; it gives"):
        list(WSVADDataModule(store, gt_rule="official:xdviodet").test_dataloader())


def test_rules_need_snippets_of_16_frames(tmp_path: Path) -> None:
    store = str(make_store(tmp_path / "store.h5", snippet_length=8))
    with pytest.raises(
        WSVADError, match="needs snippets of 16 frames; the store has snippets of 8 frames every 8"
    ):
        WSVADDataModule(store, gt_rule="official:rtfm").test_dataloader()
    WSVADDataModule(store).test_dataloader()


def read_vectors(path: Path) -> Labels:
    """Authors' labels, kept as lengths and half-open runs."""
    content: dict[str, dict[str, Any]] = json.loads(path.read_text())
    labels = {video: np.zeros(entry["num_frames"], np.uint8) for video, entry in content.items()}
    for video, entry in content.items():
        for start, end in entry["anomalous"]:
            labels[video][start:end] = 1
    return labels


def assert_same(ours: Labels, theirs: Labels) -> None:
    assert set(ours) == set(theirs)
    for video, labels in theirs.items():
        np.testing.assert_array_equal(ours[video], labels, err_msg=video)


@pytest.mark.parametrize(
    ("rule", "table", "frames", "anomalous"),
    [
        ("exact", "ucf_all_frames", 1_111_808, 84_182),
        ("official:deepmil", "ucf_pel4vad", 1_109_680, 84_128),
        ("official:rtfm", "ucf_rtfm_rule", 1_114_144, 84_343),
        ("official:sultani", None, 1_111_808, 84_338),
    ],
)
def test_ucf_crime_has_the_published_size(
    real_data: Path, rule: str, table: str | None, frames: int, anomalous: int
) -> None:
    videos = read_benchmark("ucf_crime", [real_data / "annotations" / "ucf_crime"])
    labels = label_tests(videos, RULES[rule]).values()
    assert len(labels) == 290
    assert (sum(map(len, labels)), sum(int(values.sum()) for values in labels)) == (frames, anomalous)
    golden = real_data.parent / "golden" / "metrics.json"
    if table is not None and golden.exists():
        known = json.loads(golden.read_text())["tables"][table]
        assert (known["n_frames"], known["n_positive"]) == (frames, anomalous)


def test_deepmil_labels_of_ucf_crime_are_those_of_pel4vad(real_data: Path) -> None:
    folder = real_data / "annotations" / "ucf_crime"
    ours = label_tests(read_benchmark("ucf_crime", [folder]), RULES["official:deepmil"])
    assert_same(ours, read_vectors(folder / "frame_gt_pel4vad.json"))


@pytest.mark.parametrize("behind", [1, 16])
def test_xdviodet_labels_are_those_of_pel4vad(real_data: Path, behind: int) -> None:
    folder = real_data / "annotations" / "xd_violence"
    theirs = read_vectors(folder / "frame_gt_pel4vad.json")
    videos = read_benchmark("xd_violence", [folder])
    ours = {}
    for video_id, labels in theirs.items():  # the frame counts themselves are not published: either bound
        video = videos[video_id]
        num_frames = max([len(labels) + behind, *(end for _, end in video.intervals or ())])
        ours[video_id] = RULES["official:xdviodet"].label(video, num_frames, len(labels) // 16)
    assert_same(ours, theirs)
    assert sum(map(len, ours.values())) == 2_330_384
    assert sum(int(labels.sum()) for labels in ours.values()) == 537_805


def test_shanghaitech_labels_are_those_of_rtfm_and_pel4vad(real_data: Path) -> None:
    folder = real_data / "annotations" / "shanghaitech"
    videos = read_benchmark("shanghaitech", [folder])
    theirs = read_vectors(folder / "frame_gt_s3r.json")
    ours = {}
    for video_id, labels in theirs.items():  # of normal videos only the features state the length
        num_frames = videos[video_id].num_frames or len(labels)
        ours[video_id] = RULES["official:rtfm_sht"].label(videos[video_id], num_frames, len(labels) // 16)
    assert_same(ours, theirs)
    assert sum(map(len, ours.values())) == 142_912
    assert sum(int(labels.sum()) for labels in ours.values()) == 8_028
    abnormal = [videos[video_id] for video_id in theirs if videos[video_id].label == 1]  # the list's order
    cut = np.concatenate([RULES["official:pel4vad_sht"].label(v, v.num_frames or 0) for v in abnormal])
    array = np.load(folder / "sh-gt.npy")
    np.testing.assert_array_equal(cut, array[: len(cut)])
    assert (len(array), int(cut.sum()), int(array.sum())) == (140_112, 7_874, 7_874)
