"""``wsvad data captions``: texts of parts of videos become a stream of features, as TEVAD reads one."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from wsvad_lightning.data.datasets.captions import Caption, read_captions
from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter, VideoRecord
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TextTower
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import LABELS

STREAM = "text"
RULE = "mean of the texts of a snippet, each weighted by the frames that it shares with it; zeros without any"


def captions(texts: str, *, store: str, text_tower: str, output: str) -> None:
    """Write a store of texts for the videos of another one, to be joined with it by ``wsvad data merge``.

    Its stream ``text`` holds one vector a snippet, ``[T, 1, D]``: the mean of CLIP's features of the texts
    that describe frames of the snippet, each weighted by how many, and zeros where there is none. A text of
    more tokens than CLIP reads is read in parts, and counts as their mean, weighted by their tokens. Vectors
    are not normalised. Snippets are those of the store.

    The published TEVAD describes snippets by SwinBERT's captions, which a network makes of any video. Texts
    that people wrote may tell what is anomalous, also those of test videos.

    Args:
        texts: table ``video,start,end,text`` in seconds, as ``wsvad data annotations --captions`` writes it.
        store: feature store of the videos.
        text_tower: folder of a CLIP as transformers saves it.
        output: the store to make.

    Raises:
        WSVADError: if the table, the folder or the store cannot be read, no text is of a video of the store,
            or the new store is there already.
    """
    if Path(output).exists() or Path(f"{output}.parts").exists():
        raise WSVADError("output", output, "is there already", "Choose another name, or remove it")
    videos = FeatureStore(store)
    said = read_captions(texts, videos.video_paths)
    if not said.keys() & set(videos):
        problem = f"describes no video of {store}, but {next(iter(said))}"
        raise WSVADError("texts", texts, problem, "Give the texts of these videos")
    tower = TextTower.open(text_tower, "text_tower")
    needed = {caption.text for name in videos for caption in said.get(name, ())}
    read, long = _read_texts(tower, sorted(needed))
    with StoreWriter(output, _recipe(videos.provenance, text_tower)) as writer:
        for name in videos:
            record = videos[name]
            rows = lay_out(said.get(name, ()), read, record, videos.provenance.grid, tower.dim)
            writer.add(
                record.annotation,
                {STREAM: rows[:, None]},
                num_frames=record.num_frames,
                fps=record.fps,
                coding=record.coding,
                origin=record.origin,
            )
    Console().print(f"{output}: {len(videos)} videos, stream {STREAM}", highlight=False)
    for line in _notes(videos, said, long):
        Console().print(line, highlight=False, soft_wrap=True)


def lay_out(
    texts: Sequence[Caption],
    features: dict[str, NDArray[np.float32]],
    record: VideoRecord,
    grid: SnippetGrid,
    dim: int,
) -> NDArray[np.float32]:
    """Give every snippet the mean of what is said of its frames ``[T, D]``.

    Args:
        texts: of the video, with its seconds; what is behind its last frame is of no snippet.
        features: ``[D]`` of each text.
        record: of the video.
        grid: where its snippets lie.
        dim: D.
    """
    spans = np.array([grid.span(number) for number in range(record.num_snippets)], np.float64)
    spans = spans.clip(max=record.num_frames)
    rows, weights = np.zeros((len(spans), dim)), np.zeros((len(spans), 1))
    for text in texts:
        first, last = np.maximum(spans[:, 0], text.start * record.fps), text.end * record.fps
        shared = (np.minimum(spans[:, 1], last) - first).clip(min=0)[:, None]
        rows += shared * features[text.text]
        weights += shared
    means = np.divide(rows, weights, out=np.zeros_like(rows), where=weights > 0)
    return means.astype(np.float32)


def _read_texts(tower: TextTower, texts: Sequence[str]) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Read every text once; also how many took several parts."""
    read, long = {}, 0
    for text in track(texts, "reading texts", console=Console(stderr=True), transient=True):
        parts = tower.features_of_parts(text)
        weights = torch.tensor([float(tokens) for _, tokens in parts])
        mean = (torch.stack([part for part, _ in parts]) * (weights / weights.sum())[:, None]).sum(dim=0)
        read[text] = mean.numpy()
        long += len(parts) > 1
    return read, long


def _recipe(of: Provenance, text_tower: str) -> Provenance:
    """What the new store records: the snippets of the other one."""
    return Provenance(
        backbone="clip_text",
        source="texts",
        snippet_length=of.snippet_length,
        snippet_stride=of.snippet_stride,
        frame_stride=of.frame_stride,
        tail=of.tail,
        preprocessing=json.dumps({"text_tower": Path(text_tower).name, "rule": RULE}),
        views={STREAM: ("full",)},
    )


def _notes(videos: FeatureStore, said: dict[str, list[Caption]], long: int) -> list[str]:
    """What a reader should know: videos without texts by label, texts without videos, long and late texts."""
    silent = [videos[name].annotation.label for name in videos if name not in said]
    counts = ", ".join(f"{silent.count(label)} {word}" for label, word in LABELS.items() if label in silent)
    strangers = [name for name in said if name not in videos]
    known = [(videos[name], text) for name in said if name in videos for text in said[name]]
    late = sum(text.start * video.fps >= video.num_frames for video, text in known)
    notes = {
        f"videos without a text, whose vectors are zeros: {counts}": len(silent),
        f"videos with texts that the store lacks: {len(strangers)}, such as {strangers[:1]}": len(strangers),
        f"texts of more tokens than the tower reads at once, read in parts: {long}": long,
        f"texts behind the last frame of their video, left out: {late}": late,
    }
    return [note for note, number in notes.items() if number]
