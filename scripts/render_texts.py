"""Render videos of several classes, and features of them that texts describe: what CLIP is to real videos.

Where the weights of a CLIP are not at hand, this is what methods whose classes are texts are measured on. A
small text tower, and a network on top of the flow features, learn to match snippets of rendered videos with
captions of what happens in them. Other videos then get features in the space of the texts::

    python scripts/render_texts.py runs/texts

makes ``runs/texts/flow.h5``, the flow features of 270 videos, ``runs/texts/aligned.h5``, those in the space
of the texts, and ``runs/texts/tower``, the text tower as transformers saves it.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jsonargparse import auto_cli
from rich.progress import track
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter, VideoRecord
from wsvad_lightning.demo.render import DemoSpec, render_dataset
from wsvad_lightning.demo.run import make_features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import NORMAL

VIDEOS = DemoSpec(train_normal=80, train_abnormal=100, test_normal=40, test_abnormal=50)
LESSONS = DemoSpec(train_normal=60, train_abnormal=140, test_normal=2, test_abnormal=5)
STREAMS = ("flow_1x1", "flow_2x3", "flow_4x6")
CAPTIONS = ("{}", "a video of {}", "{} on the path", "what the camera shows is {}", "somebody, {}")
DIM = 64  # channels of the space that both share, and of the token vectors
STEPS = 1500
BATCH = 256
NOISE = 0.3  # standard deviations, on the flow features to learn from


def render_texts(folder: Path, seed: int = 12) -> None:
    """Render two sets of videos, let one teach texts and features, and write them for the other.

    Args:
        folder: where everything is kept; videos and flow features that are there already are not made again.
        seed: of the videos, the next one being that of those to learn from, and of what is learnt.
    """
    flows = {}
    for name, spec, own_seed in (("flow", VIDEOS, seed), ("lessons", LESSONS, seed + 1)):
        render_dataset(folder / name, own_seed, spec)
        make_features(folder / name, folder / f"{name}.h5")
        flows[name] = FeatureStore(folder / f"{name}.h5")
    videos, lessons = flows["flow"], flows["lessons"]
    torch.manual_seed(seed)
    tower, tokenizer = new_tower()
    rows, kinds = snippets_of(lessons)
    image = nn.Sequential(nn.Linear(rows.shape[1], 256), nn.GELU(), nn.Dropout(0.5), nn.Linear(256, DIM))
    mean, deviation = rows.mean(dim=0), rows.std(dim=0) + 1e-3
    learn(image, tower, tokenizer, (rows - mean) / deviation, kinds, [NORMAL, *lessons.classes])
    tower.save_pretrained(folder / "tower")
    tokenizer.save_pretrained(folder / "tower")
    made = videos.provenance
    recipe = Provenance(
        "flow_and_texts", made.source, made.snippet_length, made.snippet_stride, text_aligned=True
    )
    with StoreWriter(folder / "aligned.h5", recipe) as writer, torch.no_grad():
        image.eval()
        for name in videos:
            record, features = videos[name], image((flow_of(videos, name) - mean) / deviation)[:, None]
            streams = {"features": features.numpy()}
            writer.add(record.annotation, streams, num_frames=record.num_frames, fps=record.fps)


def flow_of(store: FeatureStore, name: str) -> Tensor:
    """Give the flow features of a video, those of all cells of the frame in a row: ``[T, D]``."""
    streams = [store.read(name, stream) for stream in STREAMS]
    return torch.from_numpy(np.concatenate([rows.reshape(len(rows), -1) for rows in streams], axis=1))


def snippets_of(store: FeatureStore) -> tuple[Tensor, Tensor]:
    """Give the snippets of all videos ``[S, D]`` and what they show ``[S]``: a class from 1 on, 0 normal."""
    rows = [flow_of(store, name) for name in store]
    shown = [kinds_of(store[name], store, len(flow)) for name, flow in zip(store, rows, strict=True)]
    return torch.cat(rows), torch.cat(shown)


def kinds_of(record: VideoRecord, store: FeatureStore, number: int) -> Tensor:
    """Find what the snippets of a video show ``[T]``: its class where half of the frames are anomalous."""
    truth, grid = record.annotation.frame_labels(record.num_frames), store.provenance.grid
    anomalous = [truth[slice(*grid.span(t))].mean() >= 0.5 for t in range(number)]
    kind = 1 + store.classes.index(record.annotation.classes[0]) if record.annotation.label else 0
    return kind * torch.tensor(anomalous)


def new_tower() -> tuple[CLIPTextModelWithProjection, CLIPTokenizer]:
    """Make an untrained text tower of CLIP's architecture, whose tokens are bytes."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=DIM,
        intermediate_size=2 * DIM,
        projection_dim=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
        pad_token_id=len(tokens) - 1,
    )
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    return CLIPTextModelWithProjection(config), tokenizer


def learn(
    image: nn.Module,
    tower: CLIPTextModelWithProjection,
    tokenizer: CLIPTokenizer,
    rows: Tensor,
    kinds: Tensor,
    names: list[str],
) -> None:
    """Learn which caption is whose: cross-entropy of the cosines over a temperature, all kinds as often.

    Args:
        image: from rows to the space of the texts.
        tower: reads captions.
        tokenizer: of the tower.
        rows: ``[S, D]``, normalised.
        kinds: ``[S]``, what each shows.
        names: of the kinds.
    """
    scale = nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.AdamW([*image.parameters(), *tower.parameters(), scale], 5e-4, weight_decay=0.05)
    share = (1 / kinds.bincount().float())[kinds]
    for _ in track(range(STEPS), "Learning captions"):
        drawn = torch.multinomial(share, min(BATCH, len(rows)))
        captions = [CAPTIONS[int(torch.randint(len(CAPTIONS), ()))].format(name) for name in names]
        texts = tower(**tokenizer(captions, padding=True, return_tensors="pt")).text_embeds
        shown = image(rows[drawn] + NOISE * torch.randn(len(drawn), rows.shape[1]))
        cosines = F.normalize(shown, dim=-1) @ F.normalize(texts, dim=-1).T
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(scale.exp() * cosines, kinds[drawn]))
        optimizer.step()


if __name__ == "__main__":
    try:
        auto_cli(render_texts)
    except WSVADError as error:
        sys.exit(f"error: {error}")
