"""``wsvad data merge``: several stores into one, more videos or more streams of the same videos."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from wsvad_lightning.data.store.layout import checksum, damaged, new_file, write_video
from wsvad_lightning.data.store.reader import FeatureStore
from wsvad_lightning.data.store.records import Features, Provenance, VideoRecord, join_decoders
from wsvad_lightning.errors import WSVADError, counted


def merge(stores: list[str], *, output: str) -> None:
    """Join stores: videos of one recipe, or streams of the same videos in the same snippets.

    The new store appears when it is complete; the old ones stay as they are. Every checksum is compared.

    Args:
        stores: the stores; they have no video in common, or all of them.
        output: the store to make.

    Raises:
        WSVADError: if there is nothing to join, the stores do not fit, or one is damaged.
    """
    if len(stores) < 2:
        raise WSVADError("stores", " ".join(stores), "there is nothing to join", "Give two stores or more")
    path = Path(output)
    if path.exists() or Path(f"{path}.parts").exists():
        raise WSVADError("output", output, "is there already", "Choose another name, or remove it")
    opened = [FeatureStore(store) for store in stores]
    names = set(opened[0])
    if all(set(store) == names for store in opened):
        sources, provenance = opened, _join_recipes(opened)
    else:
        sources = [FeatureStore([path for store in opened for path in store.paths])]
        provenance = sources[0].provenance
    provenance = replace(provenance, decoder=join_decoders(store.provenance for store in opened))
    with new_file(path, provenance) as videos:
        for video_id in track(list(sources[0]), "merging", console=Console(stderr=True), transient=True):
            record = sources[0][video_id]
            streams: dict[str, Features] = {}
            for store in sources:
                _check_same(record, store[video_id], store)
                streams |= _read(store, video_id)
            recorded = record.num_frames, record.fps, None, record.notes, record.coding, record.origin
            write_video(videos, record.annotation, streams, *recorded)
    held = f"{counted(len(sources[0]), 'video')}, streams {' '.join(FeatureStore(path).streams)}"
    Console().print(f"{path}: {held}", highlight=False)


def _join_recipes(stores: Sequence[FeatureStore]) -> Provenance:
    """The recipe of a store that holds the streams of all.

    Raises:
        WSVADError: if two hold a stream of one name, or their snippets differ.
    """
    first = stores[0].provenance
    seen: set[str] = set()
    for store in stores:
        for name in ("snippet_length", "snippet_stride", "frame_stride"):
            mine, theirs = getattr(first, name), getattr(store.provenance, name)
            if mine != theirs:
                problem = f"its {name} is {theirs}, that of {stores[0].path} is {mine}"
                raise WSVADError("stores", store.path, problem, "Extract both with the same snippets")
        twice = sorted(seen & set(store.streams))
        if twice:
            problem = f"another store holds its streams {twice} of the same videos"
            raise WSVADError(
                "stores", store.path, problem, "Give each stream a name of its own when it is made"
            )
        seen |= set(store.streams)
    recipes = [store.provenance for store in stores]
    main = next((store.provenance for store in stores if "features" in store.streams), first)
    recorded = [
        {"streams": sorted(store.streams), "recipe": store.provenance.preprocessing} for store in stores
    ]
    return replace(
        first,
        backbone=_join(recipe.backbone for recipe in recipes),
        source=_join(recipe.source for recipe in recipes),
        pooling=_join(recipe.pooling for recipe in recipes),
        tail=_join(recipe.tail for recipe in recipes),
        preprocessing=json.dumps(recorded),
        text_aligned=main.text_aligned,
        views={name: views for recipe in recipes for name, views in recipe.views.items()},
    )


def _join(words: Iterable[str]) -> str:
    return "+".join(dict.fromkeys(words))


def _check_same(first: VideoRecord, other: VideoRecord, store: FeatureStore) -> None:
    """Refuse streams of another length, or of a video that is annotated otherwise; frames may be scaled."""
    first, other = (
        replace(record, annotation=replace(record.annotation, frame_size=None)) for record in (first, other)
    )
    for name in ("num_snippets", "num_frames", "fps", "annotation"):
        mine, theirs = getattr(first, name), getattr(other, name)
        if mine != theirs:
            problem = f"{first.annotation.video_id} has {name} {theirs} there, {mine} in the first store"
            raise WSVADError("stores", store.path, problem, "Make both stores of the same videos and table")


def _read(store: FeatureStore, video_id: str) -> dict[str, Features]:
    streams = {}
    for name, location in store[video_id].streams.items():
        streams[name] = store.read(video_id, name)
        if checksum(streams[name]) != location.checksum:
            raise damaged(location.file, f"{location.dataset} is not what was written")
    return streams
