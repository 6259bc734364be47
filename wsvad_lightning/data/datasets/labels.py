"""What a word says of a video: its label, an anomaly class, or its part of the data set.

Every reader of tables, lists and folders asks the functions here. A word is known as a whole or not at all:
``abnormal`` is never read as ``normal``, and ``normal_accident`` is refused rather than guessed.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import product
from typing import NamedTuple

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import ABNORMAL, LABELS, NORMAL, UNKNOWN

RESERVED = (*LABELS.values(), "score")  # words that labels and tables use, so that no class can have them
CODES = ("B1", "B2", "B4", "B5", "B6", "G")  # of XD-Violence, where A is normal and 0 fills up
SHOWN = 20  # words in a line
_INTRODUCED = re.compile(r"^label[\s_:=-]+", re.IGNORECASE)  # as in the names of XD-Violence: label_B2-G-0
BOOLEANS = {"false": "0", "true": "1"}


class Label(NamedTuple):
    """Label of a video.

    Attributes:
        label: 0 normal, 1 abnormal, -1 unknown.
        classes: anomaly classes, the dominant one first; empty if they are unknown or there are none.
    """

    label: int
    classes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{LABELS[self.label]}, {' and '.join(self.classes)}" if self.classes else LABELS[self.label]


def label_of(text: str) -> Label:
    """Read a label as tables and lists give it.

    Args:
        text: a word for normal, abnormal or unknown, see :func:`label_of_word`; ``0``, ``1`` or ``-1``, also
            as ``1.0`` or ``true``; codes of XD-Violence; these also after ``label_``; or the name of an
            anomaly class.

    Raises:
        WSVADError: if it is none of these: empty, another number, a mistyped word, or one that may as well be
            normal as a class.
    """
    text = text.strip()
    word = _INTRODUCED.sub("", text)
    if known := _label_of_number(word) or label_of_word(word) or label_of_codes(word):
        return known
    if doubt := _doubt(text):
        remedy = "Give normal, abnormal or unknown; a class of that name goes to the column 'classes'"
        raise WSVADError("label", text, doubt, remedy)
    return Label(1, (text,))


def label_of_word(text: str) -> Label | None:
    """Read a word for normal, abnormal or unknown, or the name of a data set's folder of such videos.

    Capitals, accents, plurals and separators do not matter: ``Normal_Videos_event``, ``NormalVideos``,
    ``Testing_Normal_Videos_Anomaly``, ``non-violence``, ``unauffällig``, ``正常``, ``Anomaly-Videos-Part-1``.

    Args:
        text: a cell of a table, or the name of a folder.

    Returns:
        The label; None for numbers, codes, classes and all other words.
    """
    phrase = folded(text)
    label = _WORDS.get(phrase)
    if label is None and (match := _OF_VIDEOS.fullmatch(phrase)) and match[1] not in ("none", "nothing"):
        label = _WORDS.get(match[1])
    return None if label is None else Label(label)


def label_of_codes(text: str) -> Label | None:
    """Read codes of XD-Violence, the dominant class first: ``G-B2-0``, ``B6``; ``A`` is normal.

    Args:
        text: a cell of a table, or what follows ``_label_`` in the name of a video.

    Returns:
        The label; None for other texts.
    """
    codes = re.split(r"[-_\s,;+/|&]+", text if text in ("A", "G") else text.upper())
    if "A" in codes and set(codes) <= {"A", "0"} and text[0] == "A":
        return Label(0)
    classes = tuple(dict.fromkeys(code for code in codes if code in CODES))
    if not classes or not set(codes) <= {*CODES, "0"} or text == "g":
        return None
    return Label(1, classes)


def part_of(text: str) -> str | None:
    """Read a word for a part of a data set: ``train``, ``val``, ``test`` or ``predict``.

    Args:
        text: in any capitals, also as ``Training``, ``validation`` or ``testing set``.

    Returns:
        The part; None for other words.
    """
    return _PARTS.get(re.sub(r" (set|split|part|videos?|data|list)$", "", folded(text)))


def inferred_labels(texts: Iterable[str]) -> list[str]:
    """Say which labels were read from which words, and how often; plain words and numbers go without saying.

    Args:
        texts: cells of tables, lines of lists or names of folders, all of which :func:`label_of` reads.

    Returns:
        A line for each label, and one for all classes that have names of their own.
    """
    meant: dict[str, dict[str, int]] = {}
    for text, count in Counter(texts).items():
        label = label_of(text)
        if text.lower() not in LABELS.values() and text.strip("+0.") not in ("", "1"):
            what = "classes are" if label.classes == (text,) else f"{label} is"
            meant.setdefault(what, {})[text] = count
    return [f"{what} read from {counted(own)}" for what, own in sorted(meant.items())]


def counted(texts: Mapping[str, int]) -> str:
    """Name texts and how often each occurs: ``'A' (3), 'Normal' (1)``; of many, the first.

    Args:
        texts: how often each occurs.
    """
    named = [f"{text!r} ({count})" for text, count in texts.items()]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return ", ".join(named[:SHOWN]) + more


def folded(text: str) -> str:
    """Words in small letters without accents and punctuation, a blank between them.

    Args:
        text: such as ``Normal_Videos`` or ``NormalVideos``, both of which give ``normal videos``.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[\W_]+", " ", re.sub("(?<=[a-z])(?=[A-Z])", " ", plain)).casefold().split())


def _label_of_number(text: str) -> Label | None:
    try:
        number = float(BOOLEANS.get(text.lower(), text.replace(",", ".", 1)))
    except ValueError:
        return None
    if number not in LABELS:
        remedy = "Give normal, abnormal, unknown or an anomaly class"
        raise WSVADError("label", text, "is not a label", remedy)
    return Label(int(number))


def _doubt(text: str) -> str:
    """Why a word that is not known cannot be taken for a class; empty if it can."""
    phrase = folded(text)
    words = phrase.split()
    if meant := get_close_matches(phrase, _MISTYPED, 1, cutoff=0.8):
        return f"is not a label; {meant[0]} may be meant"
    if not any(letter.isalpha() for letter in phrase):
        return "is not a label"
    if phrase in _AMBIGUOUS or _NUMBERED.fullmatch(phrase) or (len(text) == 1 and text.isascii()):
        return "may mean a normal, an abnormal or an unlabelled video"
    if re.fullmatch(r"b\d", phrase) or (
        words[0] == "a" and all(re.fullmatch(r"[ag0]|b\d", w) for w in words)
    ):
        return f"is not a code of XD-Violence ({', '.join(CODES)}; A alone is normal)"
    if words[0] in _NEGATIONS or not _NORMAL_ALONE.isdisjoint(words) or _NORMAL_WITHIN.search(phrase):
        return "may mean a normal video or a class"
    return ""


def _phrases(text: str) -> Iterable[str]:
    """The words and phrases of a table below: separated by commas."""
    return [folded(phrase) for phrase in text.split(",")]


# Adjectives that mean normal wherever they occur: among other words they make a label doubtful.
_NORMAL_ALONE = {
    *_phrases("normal, normals, norm, normality, normale, normalen, normaler, normales, normali, normaux"),
    *_phrases("normais, normaal, normala, normalt, normaali, normalny, normalna, normalne, normální"),
    *_phrases("нормальный, нормальная, нормальное, нормальные, нормально, норма, нормальний, нормально"),
    *_phrases("κανονικό, φυσιολογικό, רגיל, תקין, طبيعي, عادي, सामान्य, ปกติ, bình thường"),
    *_phrases("正常, 正常视频, 正常影片, 普通, ノーマル, 정상, 정상영상"),
}
_NORMAL = {
    *_NORMAL_ALONE,
    *_phrases("regular, regulars, usual, ordinary, typical, nominal, benign, negative, negatives, neg"),
    *_phrases(
        "none, nothing, unremarkable, inconspicuous, normal only, adl, adls, activities of daily living"
    ),
    *_phrases("unauffällig, unauffällige, Normalbetrieb, Normalfall, negativ, nichts, keine, keines"),
    *_phrases("négatif, négative, aucun, aucune, rien, negativo, negativa, ninguno, ninguna, nada, habitual"),
    *_phrases("nessuno, nessuna, nenhum, nenhuma, geen, обычный, обычное, 阴性, 无, 無, なし, 없음"),
    *_phrases("无异常, 無異常, 没有异常, 異常なし, 이상없음, 이상 없음, 非暴力"),
}
_ABNORMAL = {
    *_phrases("abnormal, abnormals, abnormality, abnormalities, abn, anom, anomal, anomaly, anomalies"),
    *_phrases("anomalous, irregular, unusual, atypical, positive, positives, pos, unnormal, nonnormal"),
    *_phrases("anormal, anormale, anormales, anormaux, anormais, anomale, anomalie, anomalien, anomalo"),
    *_phrases("anómala, anomalia, anomalía, anomalías, anomali, anormali, abnormaal, anomalii, anomálie"),
    *_phrases("auffällig, Auffälligkeit, Auffälligkeiten, positiv, positif, positivo, avvikande, avvik"),
    *_phrases("poikkeava, poikkeama, nienormalny, anomalny, anomalia, abnormální, onormal, unormal"),
    *_phrases("аномальный, аномальное, аномалия, аномалии, ненормальный, аномальний, bất thường"),
    *_phrases(
        "异常, 異常, 异常视频, 不正常, 非正常, 阳性, 이상, 비정상, 이상영상, ผิดปกติ, असामान्य, غير طبيعي, חריג"
    ),
}
_UNLABELLED = {
    *_phrases("unknown, unk, unlabelled, unlabeled, unannotated, no label, no labels, not labelled"),
    *_phrases("not labeled, not annotated, unbekannt, inconnu, inconnue, desconocido, desconocida"),
    *_phrases(
        "sconosciuto, desconhecido, onbekend, okänd, nieznany, неизвестно, 未知, 不明, 未标注, 알 수 없음"
    ),
}
_NEGATIONS = {
    "none",
    "nothing",
    *_phrases("no, non, not, without, kein, keine, keinerlei, ohne, nicht, sans, aucun, aucune, pas, sin"),
    *_phrases(
        "ningun, ninguna, sem, nenhum, nenhuma, senza, nessun, nessuna, geen, zonder, ingen, brak, без, нет"
    ),
}
_EVENTS = {  # what normal videos are without
    *_ABNORMAL,
    *_phrases("violence, violent, fight, fights, fighting, crime, crimes, criminal, event, events, incident"),
    *_phrases("incidents, accident, accidents, fall, falls, falling, danger, alarm, alarms, alert, theft"),
    *_phrases("fire, smoke, attack, crash, collision, Vorfall, Ereignis, Ereignisse, Gewalt, Unfall, Befund"),
    *_phrases(
        "événement, d anomalie, violencia, violência, violenza, evento, incidente, incidencias, incident"
    ),
    *_phrases("аномалий, аномалии, насилия, событий"),
}
_MISTYPED = (NORMAL, ABNORMAL, LABELS[UNKNOWN], "anomaly", "anomalous", "negative")
_AMBIGUOUS = {
    *_phrases(
        "no, non, not, yes, ja, nein, oui, sí, да, нет, null, nan, na, n a, nil, other, others, misc, rest"
    ),
    *_phrases(
        "miscellaneous, undefined, ok, okay, good, bad, safe, clean, background, bg, default, mixed, maybe"
    ),
    *_phrases("uncertain, unclear, unsure, neutral, todo, tbd, score, label, nv, nf, ab, nor, fi"),
    *_phrases("healthy, peaceful, quiet, calm, routine, daily, daily life, empty"),
}
_NUMBERED = re.compile(r"(?:class|clase|klasse|classe|label|category|cat|type|group|id) ?\d+")
_NEGATED = {f"{no} {what}" for no, what in product(_NEGATIONS, _EVENTS)}
_NEGATED |= {f"{what} free" for what in _EVENTS}
_NEGATED |= {
    f"{no}{what}" for no, what in product(("no", "non"), _EVENTS)
}  # not "not": German "Notfall" is an emergency
_DENIED = {f"{no} {what}" for no, what in product(("not", "non", "nicht", "not quite"), _NORMAL_ALONE)}
_WORDS = dict.fromkeys(_NORMAL | _NEGATED, 0) | dict.fromkeys(_ABNORMAL | _DENIED, 1)
_WORDS |= dict.fromkeys(_UNLABELLED, UNKNOWN)
_OF_VIDEOS = re.compile(  # the folders of UCF-Crime, MSAD and others, and words such as "normal clips"
    r"(?:ucf(?: crimes?)? |msad |tad )?(?:(?:train|training|test|testing|val|validation) )?"
    r"(?:(?:videos?|clips?|scen[ae]|class|classe|clase|klasse) )?(.+?)"
    r"(?: ?(?:videos?|clips?|events?|frames?|scenes?|samples?|class|behaviou?rs?|activit(?:y|ies)|footage))?"
    r"(?: event| for event recognition|(?<=videos) anomaly| train| training| test| testing)?"
    r"(?: part)?(?: \d+)?"
)
_NORMAL_WITHIN = re.compile(  # and what may be denied, in languages without blanks
    rf"^(?:无|無|没|沒|非|不|未)|(?:{folded('なし')}|{folded('없음')})$|"
    rf"\bnormal|(?<!{folded('不')})(?<!{folded('非')})(?<!{folded('비')})({folded('正常')}|{folded('정상')})"
)
_PARTS = {
    **dict.fromkeys(
        _phrases("train, training, trn, training set, Lernen, entraînement, entrenamiento, 训练"), "train"
    ),
    **dict.fromkeys(_phrases("val, valid, validation, validate, dev, Validierung, validación, 验证"), "val"),
    **dict.fromkeys(_phrases("test, testing, tst, testen, rgbtest, prueba, 测试"), "test"),
    "predict": "predict",
}
