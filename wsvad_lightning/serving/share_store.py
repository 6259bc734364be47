"""``wsvad data share``: a feature store as a folder with a card, for others and for Hugging Face."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Any

import rich
import yaml

from wsvad_lightning.data.store.reader import FeatureStore, files_of
from wsvad_lightning.data.store.records import UNTOLD, in_words
from wsvad_lightning.errors import counted
from wsvad_lightning.files import making_folder
from wsvad_lightning.reporting.tables import as_markdown
from wsvad_lightning.serving.pushing import check_push, upload
from wsvad_lightning.serving.share import front_matter, listed, require_licence
from wsvad_lightning.shared import CARD, without_folders
from wsvad_lightning.types import LABELS

FIELDS = (
    "backbone",
    "source",
    "snippet_length",
    "snippet_stride",
    "frame_stride",
    "pooling",
    "tail",
    "text_aligned",
    "decoder",
)
NAMED = 10  # views of a stream
TEXT = """{front}
# {name}: features of {count}

Features and labels of videos, to train and test anomaly detectors on with wsvad. The videos are not in it.

## Use

```
wsvad data verify FOLDER/{name}
wsvad fit --model urdmu --data.store FOLDER/{name}
```

`FOLDER` is this folder. The store holds arrays and plain values, and runs no code.

## Videos

{videos}

{classes}

## Features

{streams}

## How they were extracted

{recipe}

## Checksum

`{checksum}` is of the features of all videos; `wsvad data info` shows it.

## Limits

Licence and conditions of the videos hold for features and annotations as well. Features of persons may say
who was there. A model that was trained on them knows the cameras of these videos alone.
"""


def share_store(store: str, *, output: str, license: str, push: str | None = None) -> None:  # noqa: A002
    """Write a feature store as a folder with a card: licence, counts, streams, extraction, checksum.

    Args:
        store: path of a store.
        output: folder to make.
        license: of features and annotations, as the card names it, such as cc-by-4.0 or other.
        push: owner/name of a data set on Hugging Face to upload the folder to, which takes a token.

    Raises:
        WSVADError: if the store cannot be read, the folder cannot be made, or nothing can be uploaded.
    """
    require_licence(license, "features and annotations")
    check_push(push)
    opened = FeatureStore([store])
    card = card_of(opened, license)
    with making_folder(output) as folder:
        for path in files_of(opened.paths[0]):
            target = folder / path.relative_to(opened.paths[0].parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        (folder / CARD).write_text(card, encoding="utf-8")
    rich.get_console().print(
        f"{output}: {counted(len(opened), 'video')} and {CARD}", markup=False, soft_wrap=True
    )
    if push is not None:
        upload(output, push, "dataset")


def card_of(store: FeatureStore, licence: str) -> str:
    """Write the card of a store.

    Args:
        store: what is shared.
        licence: of features and annotations.
    """
    name, recipe = store.paths[0].name, store.provenance
    tags = ["video-anomaly-detection", "features", *([] if recipe.backbone == UNTOLD else [recipe.backbone])]
    streams = [
        [stream, str(info.dim), str(len(info.views)), shortened(info.views)]
        for stream, info in store.streams.items()
    ]
    classes = Counter(name for video_id in store for name in store[video_id].annotation.classes)
    return TEXT.format(
        front=front_matter(licence, tags, pretty_name=name),
        name=name,
        count=counted(len(store), "video"),
        videos=as_markdown(["part", *LABELS.values(), "frames"], counts_of(store)),
        classes=f"Classes: {listed(classes)}" if classes else "No classes are annotated.",
        streams=as_markdown(["stream", "channels", "views", "which"], streams),
        recipe=recipe_of(store),
        checksum=store.checksum(),
    )


def shortened(names: Sequence[str]) -> str:
    """List names, the first and the last of many."""
    return ", ".join(names) if len(names) <= NAMED else f"{names[0]} to {names[-1]}"


def counts_of(store: FeatureStore) -> list[list[str]]:
    """Count the videos of each part by label, and their frames."""
    parts: dict[str, list[Any]] = {}
    for video_id in store:
        record = store[video_id]
        parts.setdefault(record.annotation.split or "no part", []).append(record)
    return [
        [
            part,
            *(str(sum(one.annotation.label == label for one in own)) for label in LABELS),
            f"{sum(one.num_frames for one in own):,}",
        ]
        for part, own in sorted(parts.items())
    ]


def recipe_of(store: FeatureStore) -> str:
    """Write the recipe of the extraction, with the settings of each stream."""
    recipe = store.provenance
    plain = {
        name: in_words(getattr(recipe, name)) for name in FIELDS if getattr(recipe, name) not in ("", None)
    }
    try:
        settings = without_folders(json.loads(recipe.preprocessing))
        text = yaml.safe_dump(settings, sort_keys=False)
    except ValueError:  # of a converter, in words
        text = f"{recipe.preprocessing or 'not recorded'}\n"
    return f"{listed(plain)}\n\n```yaml\n{text}```"
