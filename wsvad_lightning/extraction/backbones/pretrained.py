"""CLIP, DINOv2 and VideoMAE through the transformers package, from a local folder, never from the internet.

What the networks see is what the folder's own image processor makes of a view: its resize, crop and
normalization, with Pillow. The vector of

* ``clip`` is the projected image embedding, not normalised, in the space of the text tower (A. Radford et
  al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021);
* ``dinov2`` is the class token after the last normalization (M. Oquab et al., "DINOv2: Learning Robust
  Visual Features without Supervision", TMLR 2024);
* ``videomae`` is the mean over all tokens (Z. Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient
  Learners for Self-Supervised Video Pre-Training", NeurIPS 2022): a fine-tuned network normalizes the mean,
  which is what its classifier sees; one that was only pre-trained normalizes the tokens before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.weights import hash_file
from wsvad_lightning.video.views import View

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
IGNORED = "position_ids"  # numbers from 0 on, which older files list among the weights
SEEN = ("crop_size", "image_mean", "image_std", "resample", "rescale_factor", "size")  # and do_...


class Pretrained(NamedTuple):
    """A network ready to infer.

    Attributes:
        processor: of images.
        features: ``[B, 3, S, S]``, or clips ``[B, T, 3, S, S]``, to ``[B, D]``.
        clip_length: T; None for a network of single images.
        recipe: what its vectors depend on.
    """

    processor: Any
    features: Callable[[Tensor], Tensor]
    clip_length: int | None
    recipe: dict[str, Any]


def load_pretrained(backbone: str, folder: str | Path, device: torch.device) -> Pretrained:
    """Load a network from a folder as transformers' ``save_pretrained`` makes it.

    Args:
        backbone: ``clip``, ``dinov2`` or ``videomae``.
        folder: with ``config.json``, ``preprocessor_config.json`` and the weights.
        device: where it runs.

    Raises:
        WSVADError: if transformers is not installed, a file is missing, or the folder is of another network.
    """
    folder = Path(folder)
    transformers = _import_transformers(backbone)
    weights = _find_weights(folder, backbone)
    with _quiet(transformers), _readable(folder, backbone):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != backbone:
            raise _unusable(folder, f"is of a {config.model_type} network", backbone)
        model, report = getattr(transformers, _architecture(config)).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=weights.suffix == ".safetensors",
            dtype=torch.float32,
            output_loading_info=True,
        )
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, backend="pil"
        )
    for kind in ("missing", "unexpected"):
        if keys := [key for key in report[f"{kind}_keys"] if not key.endswith(IGNORED)]:
            raise _unusable(folder, f"{weights.name} has the {kind} key {min(keys)!r}", backbone)
    model.eval().requires_grad_(False).to(device)
    recipe = {
        "sha256": hash_file(weights),
        "config_sha256": hash_file(folder / CONFIG),
        "preprocessing": _describe(processor),
    }
    if backbone == "clip":
        recipe |= {"activation": config.vision_config.hidden_act, "text_tower": recipe["sha256"]}
    clip_length = config.num_frames if backbone == "videomae" else None
    return Pretrained(processor, FEATURES[backbone](model), clip_length, recipe)


def process_views(processor: Any, frames: Tensor, *, views: tuple[View, ...]) -> Tensor:
    """Images ``[K, N, 3, S, S]`` float32 that the processor makes of the views of ``[K, 3, H, W]`` uint8."""
    cuts = [list(view.cut(frames).numpy()) for view in views]
    made = [processor(cut, return_tensors="pt", input_data_format="channels_first") for cut in cuts]
    return torch.stack([images["pixel_values"].flatten(0, -4) for images in made], dim=1)


def _clip_features(model: Any) -> Callable[[Tensor], Tensor]:
    vision, project = model.vision_model, model.visual_projection
    return lambda images: project(vision(pixel_values=images).pooler_output)


def _dinov2_features(model: Any) -> Callable[[Tensor], Tensor]:
    return lambda images: model(pixel_values=images).last_hidden_state[:, 0]


def _videomae_features(model: Any) -> Callable[[Tensor], Tensor]:
    encoder, normalize = model.videomae, getattr(model, "fc_norm", torch.nn.Identity())
    return lambda clips: normalize(encoder(pixel_values=clips).last_hidden_state.mean(dim=1))


FEATURES = {"clip": _clip_features, "dinov2": _dinov2_features, "videomae": _videomae_features}


def _architecture(config: Any) -> str:
    """The class whose parameters are exactly those of the released files."""
    if config.model_type == "videomae":
        return "VideoMAEForVideoClassification" if config.use_mean_pooling else "VideoMAEForPreTraining"
    return {"clip": "CLIPModel", "dinov2": "Dinov2Model"}[config.model_type]


def _describe(processor: Any) -> dict[str, Any]:
    settings = processor.to_dict().items()
    return {name: value for name, value in settings if name in SEEN or name.startswith("do_")}


def _import_transformers(backbone: str) -> ModuleType:
    try:
        return import_module("transformers")
    except ImportError as error:
        raise WSVADError(
            "backbone",
            backbone,
            "the package transformers is not installed",
            'Install it with: pip install "wsvad-lightning[hf]"',
        ) from error


def _find_weights(folder: Path, backbone: str) -> Path:
    """Refuse what transformers would take for a name on the internet, or fill with random numbers."""
    if not folder.is_dir():
        raise _unusable(folder, "no such folder", backbone)
    for name in (CONFIG, PROCESSOR):
        if not (folder / name).is_file():
            raise _unusable(folder, f"holds no {name}", backbone)
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise _unusable(folder, f"holds no {' or '.join(WEIGHTS)}", backbone)


@contextmanager
def _readable(folder: Path, backbone: str) -> Iterator[None]:
    try:
        yield
    except WSVADError:
        raise
    except Exception as error:  # readers of several formats, each with errors of its own
        reason = " ".join(str(error).split())[:100]
        raise _unusable(folder, f"cannot be read ({reason})", backbone) from error


@contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Without transformers' progress bars and its list of keys; wrong keys are reported here."""
    logging = transformers.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _unusable(folder: Path, problem: str, backbone: str) -> WSVADError:
    return WSVADError("weights", folder, problem, f"Give a folder that transformers saved of {backbone}")
