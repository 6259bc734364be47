"""PEL4VAD: causal scores, rows and their classes, smoothing, and the file of vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.methods.towers import tiny_tower
from tests.parity.batches import training_batch
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import PEL4VAD
from wsvad_lightning.methods.pel4vad import (
    PEL4VADNet,
    PEL4VADOutput,
    encode_words,
    matching_loss,
    read_prompts,
)


def test_rows_are_foregrounds_and_the_backgrounds_of_abnormal_videos() -> None:
    out = PEL4VADOutput(torch.rand(4, 1, 6), torch.randn(4, 1, 6, 8), torch.ones(6, dtype=torch.bool))
    targets = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]])  # the last of no known class
    rows = PEL4VADNet(5, prompt_dim=8).match(out, targets, torch.randn(3, 8))
    assert rows.classes[rows.counts].tolist() == [0, 2, 0, 1, 0, 0]
    assert rows.counts.tolist() == [True, False, True, True, True, True, False, True]
    kept = rows.logits[rows.counts][:, rows.counts]
    same = (10.0 * (rows.classes[rows.counts, None] == rows.classes[rows.counts])).softmax(dim=-1)
    divergence = (same * (same.log() - kept.log_softmax(dim=-1))).sum() / 6
    torch.testing.assert_close(matching_loss(rows), divergence)


def test_padding_behind_the_longest_video_changes_no_loss() -> None:
    method = PEL4VAD(8, prompt_dim=16, dropout=0.0)
    method.use_prompts(torch.randn(2, 16))
    batch = training_batch(*torch.randn(2, 2, 3, 20, 8))
    batch = batch._replace(lengths=torch.tensor([9, 14, 3, 12]), class_targets=torch.eye(2)[[0, 0, 1, 1]])
    short, long = (
        method.compute_losses(batch._replace(features=batch.features[:, :, :length])) for length in (14, 20)
    )
    torch.testing.assert_close(short, long)


def test_the_strongest_snippets_are_the_foreground() -> None:
    scores = torch.tensor([[[0.0, 1.0, 0.0]]])
    out = PEL4VADOutput(scores, torch.eye(3)[None, None], torch.ones(3, dtype=torch.bool))
    rows = PEL4VADNet(5, prompt_dim=3).match(out, torch.tensor([[0.0, 1.0]]), torch.randn(2, 3))
    torch.testing.assert_close(rows.features, torch.tensor([[0.0, 1, 0], [0.5, 0, 0.5]]))


def test_vectors_are_read_by_the_names_of_classes(tmp_path: Path) -> None:
    path = str(tmp_path / "prompts.npy")
    np.save(path, np.arange(4)[:, None] * np.ones(2, np.float16))
    assert read_prompts(path, ["b", "c", "a"], ("a", "b"))[:, 0].tolist() == [0, 3, 1]
    assert read_prompts(path, None, ("a", "b", "c"))[:, 0].tolist() == [0, 1, 2, 3]
    with pytest.raises(WSVADError, match=r"prompt_file.*shape is \(4, 2\), its rows are normal and 2: a, b"):
        read_prompts(path, None, ("a", "b"))
    with pytest.raises(WSVADError, match="prompt_classes='b, c, d': lacks a, of which the store has videos"):
        read_prompts(path, ["b", "c", "d"], ("a", "b"))
    Path(path).write_bytes(b"no array")
    with pytest.raises(WSVADError, match="prompt_file.*cannot be read"):
        read_prompts(path, None, ("a",))


def test_words_become_vectors_by_a_text_tower(tmp_path: Path) -> None:
    tower, path = tiny_tower(16, 8), tmp_path / "words.json"
    words = {"Normal": ["calm"], "ARSON": ["arson", "fire"], "fall": ["a man"], "theft": ["steal"]}
    path.write_text(json.dumps(words))
    vectors = encode_words(tower, str(path), ("Arson", "fall"))

    def alone(text: str) -> torch.Tensor:
        tokens = torch.tensor(tower.tokenize([text]))
        with torch.no_grad():
            vector: torch.Tensor = tower.model(input_ids=tokens).text_embeds[0]
        return vector

    expected = [alone("calm"), (alone("arson") + alone("fire")) / 2, alone("a man")]
    torch.testing.assert_close(vectors, torch.stack(expected))
    with pytest.raises(WSVADError, match="prompt_words.*lacks riot, of which the store has videos"):
        encode_words(tower, str(path), ("riot",))
    path.write_text('{"normal": ["' + "a" * 100 + '"]}')
    with pytest.raises(WSVADError, match="the text tower reads 77"):
        encode_words(tower, str(path), ())
    for other in ("[]", '{"normal": []}', '{"normal": "calm"}', '{"normal": [1]}'):
        path.write_text(other)
        with pytest.raises(WSVADError, match="prompt_words.*is not an object of a list of words"):
            PEL4VAD(8, prompt_words=str(path), text_tower="clip").check_trainable()
    with pytest.raises(WSVADError, match="text_tower.*is required: a CLIP reads the words"):
        PEL4VAD(8, prompt_words=str(path)).check_trainable()
    with pytest.raises(WSVADError, match="prompt_words.*is given next to model.prompt_file"):
        PEL4VAD(8, prompt_words=str(path), prompt_file="a.npy").check_trainable()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"window": 4}, "model.window='4': must be odd"),
        ({"kernel": 0}, "model.kernel='0': must be odd"),
        ({"temperature": 0.0}, "model.temperature='0.0': must be above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        PEL4VAD(8, **settings)  # type: ignore[arg-type]
    with pytest.raises(WSVADError, match=r"its shape is \(3, 4\), model\.prompt_dim is 512"):
        PEL4VAD(8).use_prompts(torch.randn(3, 4))
    with pytest.raises(WSVADError, match="training matches videos with vectors"):
        PEL4VAD(8).check_trainable()
