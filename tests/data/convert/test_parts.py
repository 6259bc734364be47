"""A name gives a part of the data set if all its words are known."""

import re

import pytest

from wsvad_lightning.data.convert.parts import part_of_name, words_of


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("Testing", "test"),
        ("VALIDATION", "val"),
        ("UCF_Train_ten_crop_i3d", "train"),
        ("SH_Test_ten_crop_i3d", "test"),
        ("XDTrainClipFeatures", "train"),
        ("RGBTest", "test"),
        ("ucf_CLIP_rgbtest", "test"),
        ("shanghaitech.training", "train"),
        ("shanghai-i3d-test-10crop", "test"),
        ("Testing_Normal_Videos_Anomaly", "test"),
        ("XD_B1_Test", "test"),
        ("Anomaly_Train", "train"),
        ("test_set", "test"),
        ("ucf-videoMae-test-CLIP-L_UCF_9-5_9-1_finetune_dif_0.5_SP_norm_a0.05_fast", "test"),
    ],
)
def test_names_of_published_folders_and_lists(name: str, part: str) -> None:
    assert part_of_name(name) == part


OTHERS = """
latest, contest_train2, train_station, test_track, val_thorens, testimony, training_camp, pretrained, protest
Fastest, attest_x, train2, Test001, my_train, train_and_test, trainyard, interval, valley, test bench
crash-test, TestDrive, trainée, été-test, train_val, i3d, abnormally_normal, ConTest, train_accident
"""


@pytest.mark.parametrize("name", ["", *re.split(", |\n", OTHERS.strip())])
def test_words_of_other_things(name: str) -> None:
    assert part_of_name(name) is None


def test_words() -> None:
    assert words_of("SH_PATCH35_i3d") == ["SH", "PATCH", "35", "i3d"]
    assert words_of("patches_4x7") == ["patches", "4x7"]
    assert words_of("XDTestClipFeatures") == ["XD", "Test", "Clip", "Features"]
