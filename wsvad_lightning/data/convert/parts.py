"""The words in the names of folders and lists, and the part of the data set that they give.

A name gives a part or a stream if every word of it is known: ``UCF_Train_ten_crop_i3d`` is of the training
part, while ``train_station`` is a place, and ``latest`` and ``contest_train2`` are anything.
"""

import re
from collections.abc import Container

from wsvad_lightning.data.datasets.labels import CODES, label_of_word, part_of

DATA_SETS = {"ucf", "crime", "ucfcrime", "xd", "violence", "xdviolence", "sh", "sht", "tech", "shanghai"}
DATA_SETS |= {"shtech", "shanghaitech", "ucsd", "ped", "avenue", "cuhk", "msad", "tad", "rwf", "ubnormal"}
KINDS = {"i3d", "c3d", "clip", "vit", "videomae", "videomaev2", "mae", "rgb", "resnet", "swin", "swinbert"}
KINDS |= {"flow", "audio", "vggish", "text", "emb", "sent", "caption", "captions", "patch", "patches"}
COUNTED = {"crop", "crops", "patch", "patches", "resnet", "ped"}  # words that numbers go with
FILLERS = {"feature", "features", "feat", "feats", "video", "videos", "frame", "frames", "image", "images"}
FILLERS |= {"clips", "list", "lists", "names", "split", "splits", "set", "part", "data", "dataset", "concat"}
FILLERS |= {"annotation", "annotations", "label", "labels", "gt", "temporal", "for", "of", "npy", "zip", "n"}
FILLERS |= {"ten", "five", "one", "event", "events", *COUNTED}
WRITTEN_AS_ONE = re.compile("(rgb|flow|audio)(train|test)")  # XDVioDet, VadCLIP
OF_VIDEOMAE = re.compile(r"ucf-videomae(-test)?-clip-l_ucf_.*", re.IGNORECASE)  # lists of settings
CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
NUMBER = re.compile(r"\d+(x\d+)?")
PARTS = ("train", "val", "test")


def part_of_name(name: str, classes: Container[str] = ()) -> str | None:
    """The part that the name of a folder or list gives; None if it gives none, or several.

    Args:
        name: without its suffix.
        classes: anomaly classes that it may name.
    """
    if match := OF_VIDEOMAE.fullmatch(name):
        return "test" if match[1] else None
    words = words_of(name)
    parts = {part for word in words if (part := part_of(word)) in PARTS}
    return parts.pop() if len(parts) == 1 and all_known(words, classes) else None


def words_of(name: str) -> list[str]:
    """The words of a name, split at separators and where capitals begin: ``XD``, ``Train``, ``Clip``."""
    words: list[str] = []
    for token in re.findall(r"[^\W_]+", name):
        pieces = CAMEL.findall(token)
        if match := WRITTEN_AS_ONE.fullmatch(token.lower()):
            words += match.groups()
        elif _is_known(token) or NUMBER.fullmatch(token) or "".join(pieces) != token:
            words.append(token)
        else:
            words += pieces
    return words


def all_known(words: list[str], classes: Container[str] = ()) -> bool:
    """Whether all words are those of data sets, parts, features and labels.

    Numbers are known where they count crops or patches.
    """
    numbers = [word for word in words if NUMBER.fullmatch(word)]
    counted = not COUNTED.isdisjoint(word.lower() for word in words)
    others = (word for word in words if word not in numbers and word not in classes)
    return all(map(_is_known, others)) and (counted or not numbers)


def _is_known(word: str) -> bool:
    listed = word.lower() in DATA_SETS | KINDS | FILLERS or word in CODES
    return listed or part_of(word) is not None or label_of_word(word) is not None
