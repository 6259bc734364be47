"""Words for normal, abnormal and unknown, codes of data sets, and words that are refused."""

import re

import pytest

from wsvad_lightning.data.datasets.labels import Label, label_of, label_of_codes, label_of_word, part_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import UNKNOWN

NORMAL = """
normal, NORMAL, Normals, Normal_Videos, Normal_Videos_event, Testing_Normal_Videos_Anomaly
Testing_Normal_Videos, Training-Normal-Videos-Part-1, Training_Normal_Videos_Anomaly, NormalVideos
Normal_Videos_for_Event_Recognition, MSAD_normal, MSAD_normal_testing, Normal_001, normalvideo
regular, usual, negative, neg, benign, none, nothing, norm
NonFight, nonviolence, non-violence, NonViolent, NoFall, no_anomaly, non-anomalous, no_accident_video
clips_normales, unauffällig, Normalbetrieb, normale, normaux, normales, normaal, normální, нормальный
正常, 正常视频, 无异常, 異常なし, 정상, no anomaly, keine Anomalie, sin anomalías, vídeo normal
accident-free, violence_free, ADL
"""
ABNORMAL = """
abnormal, Abnormal_Videos, Anomaly-Videos-Part-2, anomaly, anomalies, Anomalous, irregular, positive, anormal
anómalo, auffällig, Anomalien, аномалия, 异常, 異常, 비정상, 이상, not_normal, non-normal
不正常, MSAD_anomaly, abnormal_clips
"""
REFUSED = {
    "is not a label": ["", "3", "nan", "inf", "?", "-", "0-0-0", "12-13"],
    "is not a label; ": ["abnromal", "nromal", "unkown", "anomoly"],
    "may mean a normal, an": [
        "no",
        "yes",
        "N",
        "Y",
        "a",
        "g",
        "B",
        "N/A",
        "null",
        "other",
        "ok",
        "нет",
        "NV",
        "class 1",
        "calm",
    ],
    "may mean a normal video or a class": [
        "normal_accident",
        "no helmet",
        "normal traffic",
        "Normalverkehr",
        "正常交通",
        "无头盔",
        "ヘルメットなし",
        "normal;abnormal",
        "normal anomaly",
        "Normal_Videos_897_x264",
    ],
    "is not a code of XD-Violence": ["B3", "b7", "A-B1", "a-0"],
}


def words(text: str) -> list[str]:
    return re.split(", |\n", text.strip())


@pytest.mark.parametrize("word", words(NORMAL))
def test_words_for_normal(word: str) -> None:
    assert label_of(word) == label_of_word(word) == Label(0)
    assert label_of(word.upper()) == Label(0)


@pytest.mark.parametrize("word", words(ABNORMAL))
def test_words_for_abnormal(word: str) -> None:
    assert label_of(word) == label_of_word(word) == label_of(word.lower()) == Label(1)


@pytest.mark.parametrize(
    "word", ["unknown", "Unlabelled", "unlabeled", "no label", "unbekannt", "未知", "-1", "-1.0"]
)
def test_words_for_unknown(word: str) -> None:
    assert label_of(word) == Label(UNKNOWN)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *((text, 0) for text in ("0", "0.0", "0,0", "False", "A", "A-0-0")),
        *((text, 1) for text in ("1", "1.0", "1,0", "+1", "true")),
    ],
)
def test_numbers(text: str, label: int) -> None:
    assert label_of(text) == label_of(f" {text} ") == Label(label)
    assert label_of_word(text) is None


@pytest.mark.parametrize("text", ["B2-G", "B2-G-0", "b2-g", "B2_G", "B2 G", "B2/G", "B2,G-0", "B2-G-B2"])
def test_codes_of_xd_violence(text: str) -> None:
    assert label_of(text) == label_of_codes(text) == Label(1, ("B2", "G"))
    assert label_of_word(text) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("label_A", Label(0)),
        ("label_B2-G-0", Label(1, ("B2", "G"))),
        ("Label: normal", Label(0)),
        ("label=1", Label(1)),
        ("label_printing", Label(1, ("label_printing",))),
    ],
)
def test_a_label_that_says_that_it_is_one(text: str, label: Label) -> None:
    assert label_of(text) == label


@pytest.mark.parametrize(
    "word", ["Fighting", "RoadAccidents", "abnormal_running", "vehicle", "fight B2", "Notfall", "打架"]
)
def test_any_other_word_is_a_class(word: str) -> None:
    assert label_of(word) == Label(1, (word,))
    assert label_of_word(word) is label_of_codes(word) is None


@pytest.mark.parametrize(
    ("text", "problem"), [(text, problem) for problem, texts in REFUSED.items() for text in texts]
)
def test_a_word_in_doubt_is_refused(text: str, problem: str) -> None:
    with pytest.raises(WSVADError) as error:
        label_of(text)
    assert error.value.problem.startswith(problem)
    assert label_of_word(text) is label_of_codes(text) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        *((text, "train") for text in ("train", "TRAIN", "Training", "training set", "Training_Videos")),
        *((text, "val") for text in ("val", "Validation", "dev")),
        *((text, "test") for text in ("Test", "testing", "Testing-Videos")),
        *((text, None) for text in ("", "latest", "tset", "trainstation", "holdout", "train test")),
        ("predict", "predict"),
    ],
)
def test_words_for_parts(text: str, part: str | None) -> None:
    assert part_of(text) == part
