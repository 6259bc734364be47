"""Text towers from folders, and prompts that they read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

from tests.methods.towers import VOCABULARY, save_tower, tiny_tokenizer, tiny_tower
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import LearnedPrompt, TextTower

START, END = VOCABULARY["<|startoftext|>"], VOCABULARY["<|endoftext|>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tower(tmp_path_factory.mktemp("tower"), dim=8, width=6)


def test_a_folder_gives_tokens_vectors_and_features(folder: Path) -> None:
    tower = TextTower.open(folder)
    assert (tower.width, tower.dim, tower.context) == (6, 8, 77)
    (tokens,) = tower.tokenize(["Ab a"])
    letters = [VOCABULARY[token] for token in ("a", "b</w>", "a</w>")]
    assert tokens == [START, *letters, END]
    encoded = tower.encode(tower.embed(tokens)[None], torch.tensor([4]))
    torch.testing.assert_close(encoded, tower.model(torch.tensor([tokens])).text_embeds)


def test_a_whole_clip_serves_and_says_nothing_of_its_vision(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = CLIPTextConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=6,
        intermediate_size=6,
        num_hidden_layers=1,
        num_attention_heads=1,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
    )
    vision = {
        "hidden_size": 6,
        "intermediate_size": 6,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 32,
    }
    whole = CLIPConfig(text_config=text.to_dict(), vision_config=vision, projection_dim=8)
    CLIPModel(whole).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    capfd.readouterr()
    assert TextTower.open(tmp_path).dim == 8
    assert "vision" not in capfd.readouterr().err


def test_the_tokenizer_of_older_folders_serves(folder: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    (older / "tokenizer.json").unlink()
    (older / "vocab.json").write_text(json.dumps(VOCABULARY))
    (older / "merges.txt").write_text("#version: 0.2\n")
    assert TextTower.open(older).tokenize(["Ab a"]) == TextTower.open(folder).tokenize(["Ab a"])


def remove(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def of_another_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))


def deeper(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))


def cut(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (remove("config.json"), "holds no configuration"),
        (remove("tokenizer.json"), r"holds no tokenizer \(tokenizer.json or vocab.json and merges.txt\)"),
        (remove("model.safetensors"), "holds no weights"),
        (of_another_model, "is a model of type bert, not CLIP"),
        (deeper, "its weights lack .*layers.2"),
        (cut, "cannot be read"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(
    change: Callable[[Path], None], message: str, folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    change(broken)
    with pytest.raises(WSVADError, match=message) as caught:
        TextTower.open(broken)
    assert caught.value.argument == "model.text_tower"


# ------------------------------------------------------------------------------------ learnt prompts


def test_words_stand_among_learnt_vectors() -> None:
    tower, prompt = tiny_tower(8, width=6), LearnedPrompt(6, prefix=2, postfix=1)
    prompt.use(tower, ["a", "ab"])
    assert prompt.ends.tolist() == [2 + 2 + 1, 2 + 3 + 1]
    assert prompt.is_given[..., 0].int().tolist() == [[1, 0, 0, 1, 0, 1, 0], [1, 0, 0, 1, 1, 0, 1]]
    (tokens,) = tower.tokenize(["ab"])
    torch.testing.assert_close(prompt.given[1, [0, 3, 4, 6]], tower.embed(tokens))


def test_features_are_those_of_all_slots() -> None:
    """Nothing behind the end token is seen, so that leaving it out changes nothing."""
    tower, prompt = tiny_tower(8, width=6), LearnedPrompt(6)
    prompt.use(tower, ["a", "abc"])
    slots = prompt.vectors.expand(2, -1, -1).clone()
    seen = prompt.given.shape[1]
    slots[:, :seen] = torch.where(prompt.is_given, prompt.given, slots[:, :seen])
    torch.testing.assert_close(prompt.features, tower.encode(slots, prompt.ends))


def test_only_the_prompts_learn_and_scoring_follows_them() -> None:
    prompt = LearnedPrompt(6)
    prompt.use(tiny_tower(8, width=6), ["a", "abc"])
    before = prompt.features
    torch.autograd.backward(prompt().sum())
    assert [name for name, _ in prompt.named_parameters()] == ["vectors"]
    assert list(prompt.state_dict()) == ["vectors"]
    assert prompt.vectors.grad is not None
    assert prompt.vectors.grad.abs().sum() > 0
    assert prompt.tower is not None
    assert all(parameter.grad is None for parameter in prompt.tower.model.parameters())
    prompt.vectors.data += torch.randn_like(prompt.vectors)
    prompt.eval()
    assert not torch.allclose(prompt(), before)
    torch.testing.assert_close(prompt(), prompt.train()())


def test_known_features_need_no_tower() -> None:
    prompt = LearnedPrompt(6)
    prompt.restore(["a", "b"], torch.ones(2, 8))
    assert prompt.eval()().tolist() == torch.ones(2, 8).tolist()


def with_positions(tower: TextTower, positions: int) -> TextTower:
    """Let a tower read fewer tokens, or more."""
    embedding = tower.model.text_model.embeddings.position_embedding
    embedding.weight = nn.Parameter(F.pad(embedding.weight.data, (0, 0, 0, positions - tower.context)))
    tower.context = positions
    return tower


@pytest.mark.parametrize("positions", [24, 100])
def test_the_prompts_need_not_fill_what_the_tower_reads(positions: int) -> None:
    prompt = LearnedPrompt(6)
    prompt.use(tiny_tower(8, width=6), ["a", "ab"])
    expected = prompt.features
    prompt.use(with_positions(tiny_tower(8, width=6), positions), ["a", "ab"])
    torch.testing.assert_close(prompt.features, expected)


def test_words_of_another_width_are_refused() -> None:
    with pytest.raises(WSVADError, match="model.text_dim='5'.*have 6 channels. Set model.text_dim to 6"):
        LearnedPrompt(5).use(tiny_tower(8, width=6), ["a"])


@pytest.mark.parametrize(("positions", "longest"), [(77, 77), (100, 77), (50, 50)])
def test_what_clip_cannot_read_is_refused(positions: int, longest: int) -> None:
    tower, prompt = with_positions(tiny_tower(8, width=6), positions), LearnedPrompt(6)
    fits = "a" * (longest - 22)  # next to 20 learnt vectors, start and end
    prompt.use(tower, [fits])
    message = f"model.prompts='a+': it takes {longest + 1} tokens.*CLIP reads {longest}"
    with pytest.raises(WSVADError, match=message):
        prompt.use(tower, ["a", fits + "a"])
