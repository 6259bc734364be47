"""VideoMAE's weights, the authors' and those of the transformers package, on small networks."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.methods.test_svmaepretraining import small
from wsvad_lightning.cli import main
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop import export_official
from wsvad_lightning.interop.svmaepretraining import TABLE, read_folder
from wsvad_lightning.layers import TokenSplit
from wsvad_lightning.layers.vit import MEAN, STD
from wsvad_lightning.methods import SVMAEPretraining

NETWORK: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 8,
    "num_frames": 4,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
}


def save_network(folder: Path, *, mean_pooling: bool = False) -> Any:
    """Save a network with random weights as transformers does."""
    torch.manual_seed(0)
    config: Any = transformers.VideoMAEConfig(**NETWORK, use_mean_pooling=mean_pooling)
    network = transformers.VideoMAEForPreTraining(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)
    return network.eval()


def imported(weights: Path, output: Path) -> SVMAEPretraining:
    assert main(["import-weights", "--method", "svmaepretraining", str(weights), "-o", str(output)]) == 0
    return SVMAEPretraining.load_from_checkpoint(output).eval()


@pytest.mark.parametrize("mean_pooling", [False, True])
def test_a_folder_of_transformers_gives_equal_outputs(mean_pooling: bool, tmp_path: Path) -> None:
    theirs = save_network(tmp_path / "folder", mean_pooling=mean_pooling)
    ours = imported(tmp_path / "folder", tmp_path / "imported.ckpt")
    mask = torch.tensor([[1, 0, 0, 1, 1, 1, 0, 1], [0, 1, 1, 1, 1, 0, 1, 0]]).bool()
    places = mask.to(torch.uint8).argsort(dim=1, stable=True)
    split = TokenSplit(places[:, :3], places[:, 3:])
    clips = torch.rand(2, 3, 4, 16, 16)
    pixels = (clips.transpose(1, 2) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        expected = theirs(pixels, bool_masked_pos=mask)
        prediction = ours.net(ours.grid.cut(clips), split)
        loss = ours.reconstruction_errors(clips, split).mean()
    flat = prediction.transpose(-1, -2).flatten(2)  # theirs: pixel by pixel, and of each its colours
    torch.testing.assert_close(flat, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=1e-5)


def test_the_authors_checkpoint_of_a_training_is_read_and_comes_back(tmp_path: Path) -> None:
    source = small(size=(224, 224), frames=16, patch=16)
    state = export_official(source.net, TABLE)
    arguments = argparse.Namespace(batch_size=32, output_dir="out")
    torch.save({"model": state, "epoch": 799, "args": arguments}, tmp_path / "checkpoint.pth")
    ours = imported(tmp_path / "checkpoint.pth", tmp_path / "imported.ckpt")
    assert (ours.grid, ours.net.encoder.dim) == (source.grid, 12)
    back = export_official(ours.net, TABLE)
    assert all(torch.equal(value, state[name]) for name, value in back.items())


def test_a_training_starts_from_imported_weights(tmp_path: Path) -> None:
    save_network(tmp_path / "folder")
    ours = imported(tmp_path / "folder", tmp_path / "imported.ckpt")
    settings = {name: ours.hparams[name] for name in ("size", "frames", "patch", "depth", "heads")}
    begun = small(**settings, mask_ratio=0.5, start_from=str(tmp_path / "imported.ckpt"))
    for name, value in ours.net.state_dict().items():
        assert torch.equal(value, begun.net.state_dict()[name]), name
    assert "start_from" not in begun.hparams


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model_type": "vit"}, "model_type is 'vit', not 'videomae'"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"intermediate_size": 13}, "not 4 times as wide"),
        ({"image_size": "large"}, "not whole numbers"),
        ({"hidden_size": 24, "intermediate_size": 96}, "expects"),
        ({"num_hidden_layers": 3}, "lacks this parameter"),
    ],
)
def test_folders_of_other_networks_are_refused(
    change: dict[str, Any], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_network(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    output = tmp_path / "imported.ckpt"
    assert main(["import-weights", "--method", "svmaepretraining", str(tmp_path), "-o", str(output)]) == 2
    assert problem in capsys.readouterr().err
    assert not output.exists()


def test_missing_and_foreign_parameters_are_named(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match=r"holds no config.json"):
        read_folder(tmp_path)
    save_network(tmp_path)
    held = load_file(tmp_path / "model.safetensors")
    save_file({**held, "classifier.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WSVADError, match="classifier.weight.*no such parameter"):
        read_folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(WSVADError, match=r"model.safetensors cannot be read"):
        read_folder(tmp_path)
