"""Against the transformers package itself, on small networks with random weights."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.pretrained import load_pretrained
from wsvad_lightning.extraction.backbones.weights import hash_file
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.streams import FrameWindow, StreamSpec

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
IMAGE: dict[str, Any] = {"image_size": 32, "patch_size": 8}
CROP: dict[str, Any] = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}


def make_clip() -> Any:
    text = SMALL | {"vocab_size": 50, "eos_token_id": 49, "bos_token_id": 48}
    config = transformers.CLIPConfig(text_config=text, vision_config=SMALL | IMAGE, projection_dim=12)
    return transformers.CLIPModel(config), transformers.CLIPImageProcessorPil(**CROP)


def make_dinov2() -> Any:
    config = transformers.Dinov2Config(**SMALL | IMAGE)
    return transformers.Dinov2Model(config), transformers.BitImageProcessorPil(**CROP)


def make_videomae(fine_tuned: bool = True) -> Any:
    settings = SMALL | IMAGE | {"num_frames": 4, "num_labels": 3, "use_mean_pooling": fine_tuned}
    settings |= {f"decoder_{name}": value for name, value in SMALL.items()}
    config = transformers.VideoMAEConfig(**settings)
    kind = "VideoClassification" if fine_tuned else "PreTraining"
    return getattr(transformers, f"VideoMAEFor{kind}")(config), transformers.VideoMAEImageProcessorPil(**CROP)


Make = Callable[[], Any]
MAKERS: dict[str, Make] = {"clip": make_clip, "dinov2": make_dinov2, "videomae": make_videomae}


def save(make: Make, folder: Path) -> Path:
    torch.manual_seed(0)
    network, processor = make()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # as made, all vectors would be nearly the same
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save(make, tmp_path_factory.mktemp(name)) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (4, 45, 70, 3), dtype=np.uint8)


def encode(spec: StreamSpec, frames: NDArray[np.uint8]) -> Tensor:
    length = len(frames)
    features = build_encoder(spec, CPU).open(SnippetRecipe(length, length))
    with torch.inference_mode():
        return torch.stack(features.add(FrameWindow(frames, opens=True)) + features.finish(length))


def pixels(folder: Path, pictures: list[NDArray[np.uint8]]) -> Tensor:
    auto: Any = transformers.AutoImageProcessor
    images: Tensor = auto.from_pretrained(folder)(pictures, return_tensors="pt")["pixel_values"]
    return images


def test_clip_gives_the_projected_image_embeddings(
    folders: dict[str, Path], frames: NDArray[np.uint8]
) -> None:
    spec = StreamSpec("clip", "clip", weights=str(folders["clip"]))
    network = transformers.CLIPModel.from_pretrained(folders["clip"])
    with torch.inference_mode():
        expected = network.get_image_features(pixels(folders["clip"], list(frames))).pooler_output
    assert expected.std() > 0.1
    torch.testing.assert_close(encode(spec, frames)[0], expected.mean(dim=0, keepdim=True))


def test_dinov2_gives_the_class_token(folders: dict[str, Path], frames: NDArray[np.uint8]) -> None:
    spec = StreamSpec("dino", "dinov2", weights=str(folders["dinov2"]))
    network = transformers.Dinov2Model.from_pretrained(folders["dinov2"])
    with torch.inference_mode():
        expected = network(pixels(folders["dinov2"], list(frames))).pooler_output
    torch.testing.assert_close(encode(spec, frames)[0], expected.mean(dim=0, keepdim=True))


def test_fine_tuned_videomae_gives_what_its_classifier_sees(
    folders: dict[str, Path], frames: NDArray[np.uint8]
) -> None:
    spec = StreamSpec("mae", "videomae", weights=str(folders["videomae"]))
    network = transformers.VideoMAEForVideoClassification.from_pretrained(folders["videomae"])
    with torch.inference_mode():
        logits = network(pixels(folders["videomae"], list(frames))).logits
        torch.testing.assert_close(network.classifier(encode(spec, frames)[0]), logits)


def test_pre_trained_videomae_gives_the_mean_of_its_tokens(tmp_path: Path, frames: NDArray[np.uint8]) -> None:
    folder = save(lambda: make_videomae(fine_tuned=False), tmp_path / "mae")
    network = transformers.VideoMAEModel.from_pretrained(folder)
    with torch.inference_mode():
        expected = network(pixels(folder, list(frames))).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(
        encode(StreamSpec("mae", "videomae", weights=str(folder)), frames)[0], expected
    )


@pytest.mark.parametrize("backbone", ["clip", "videomae"])
def test_views_are_cut_before_the_networks_own_preprocessing(
    backbone: Any, folders: dict[str, Path], frames: NDArray[np.uint8]
) -> None:
    folder = str(folders[backbone])
    both = encode(StreamSpec("both", backbone, view="1x2", weights=folder), frames)
    left = encode(StreamSpec("left", backbone, weights=folder), np.ascontiguousarray(frames[:, :, :35]))
    torch.testing.assert_close(both[:, :1], left)
    assert not torch.allclose(both[:, 1:], left)
    ten = encode(StreamSpec("ten", backbone, view="ten_crop", weights=folder), frames)
    assert ten.shape == (1, 10, left.shape[-1])


def test_the_recipe_says_what_the_vectors_depend_on(folders: dict[str, Path]) -> None:
    recipe = build_encoder(StreamSpec("clip", "clip", weights=str(folders["clip"])), CPU).recipe
    sha256 = hash_file(folders["clip"] / "model.safetensors")
    assert (recipe["sha256"], recipe["text_tower"], recipe["activation"]) == (sha256, sha256, "quick_gelu")
    assert recipe["config_sha256"] == hash_file(folders["clip"] / "config.json")
    assert recipe["preprocessing"]["crop_size"] == {"height": 32, "width": 32}
    assert recipe["preprocessing"]["resample"] == 3
    assert str(folders["clip"]) not in str(recipe)
    other = build_encoder(StreamSpec("dino", "dinov2", weights=str(folders["dinov2"])), CPU).recipe
    assert "text_tower" not in other


def test_clips_have_the_length_that_the_folder_says(folders: dict[str, Path]) -> None:
    encoder = build_encoder(StreamSpec("mae", "videomae", weights=str(folders["videomae"])), CPU)
    with pytest.raises(WSVADError, match="and videomae takes 4. Give 4"):
        encoder.open(SnippetRecipe(16, 16))


def test_loading_is_silent_and_leaves_no_trace(
    folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    before = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    load_pretrained("clip", folders["clip"], CPU)
    assert capfd.readouterr() == ("", "")
    assert (transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()) == before


def test_older_files_may_list_positions(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_bytes((folders["clip"] / name).read_bytes())
    state = transformers.CLIPModel.from_pretrained(folders["clip"]).state_dict()
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    torch.save(state, folder / "pytorch_model.bin")
    older, newer = (load_pretrained("clip", path, CPU) for path in (folder, folders["clip"]))
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(older.features(images), newer.features(images))


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def spoil(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text("{")

    return write


def add_a_key(folder: Path) -> None:
    network = transformers.Dinov2Model.from_pretrained(folder)
    network.save_pretrained(folder, state_dict=network.state_dict() | {"head.weight": torch.zeros(2)})


def lose_a_key(folder: Path) -> None:
    network = transformers.Dinov2Model.from_pretrained(folder)
    state = network.state_dict()
    del state["layernorm.bias"]
    network.save_pretrained(folder, state_dict=state)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lose("config.json"), "holds no config.json"),
        (lose("preprocessor_config.json"), "holds no preprocessor_config.json"),
        (lose("model.safetensors"), "holds no model.safetensors or pytorch_model.bin"),
        (spoil("config.json"), "cannot be read"),
        (spoil("model.safetensors"), "cannot be read"),
        (lose_a_key, "has the missing key 'layernorm.bias'"),
        (add_a_key, "has the unexpected key 'head.weight'"),
    ],
)
def test_folders_that_do_not_hold_the_network_are_reported_in_one_line(
    damage: Callable[[Path], None], problem: str, tmp_path: Path
) -> None:
    folder = save(make_dinov2, tmp_path / "dino")
    damage(folder)
    with pytest.raises(WSVADError, match=problem) as error:
        load_pretrained("dinov2", folder, CPU)
    assert str(folder) in str(error.value)


def test_a_folder_of_another_network_is_reported_in_one_line(folders: dict[str, Path]) -> None:
    with pytest.raises(WSVADError, match=r"is of a dinov2 network\. Give a folder .* of clip"):
        load_pretrained("clip", folders["dinov2"], CPU)


def test_missing_transformers_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WSVADError, match=r"wsvad-lightning\[hf\]"):
        load_pretrained("clip", tmp_path, CPU)
