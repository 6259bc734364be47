"""VideoMAE's pre-training and fine-tuning networks as the golden cases see them."""

import re
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.parity.case import Manifest, PlainCase
from tests.parity.compare import Outputs
from wsvad_lightning.interop import load_official
from wsvad_lightning.interop.svmaepretraining import TABLE, layer_names
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.layers import (
    MaskedAutoencoder,
    TokenSplit,
    TubeGrid,
    VideoViT,
    normalise_tubes,
    take_tokens,
)
from wsvad_lightning.layers.vit import NORM_EPS, sine_cosine_table

PRE_TRAINING, FINE_TUNING = "pretrain.", "finetune."
FINE_TUNED = KeyTable(
    (
        ("patch_embed.proj", "encoder.embedding"),
        *layer_names("blocks", "encoder.stack.layers"),
        ("fc_norm", "norm"),
        ("head", "head"),
    )
)


class VideoClassifier(nn.Module):
    """VideoMAE's fine-tuning network, which shows that the encoder sees all tokens as the authors' does."""

    def __init__(self, encoder: VideoViT, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.norm = nn.LayerNorm(encoder.dim, NORM_EPS)
        self.head = nn.Linear(encoder.dim, num_classes)

    def features(self, tubes: Tensor) -> Tensor:
        """Give the vectors ``[B, D]`` that are classified of clips, cut into tubes ``[B, N, 3, P]``."""
        out: Tensor = self.norm(self.encoder(tubes).mean(dim=1))
        return out

    def forward(self, tubes: Tensor) -> Tensor:
        """Give the logits ``[B, C]``."""
        out: Tensor = self.head(self.features(tubes))
        return out


def encoder(config: dict[str, Any], grid: TubeGrid, *, norm: bool) -> VideoViT:
    """Build the encoder that the configuration describes."""
    sizes = config["encoder"]
    return VideoViT(grid, sizes["embed"], sizes["depth"], sizes["heads"], norm=norm)


def grid_of(config: dict[str, Any]) -> TubeGrid:
    """Read how clips are cut."""
    return TubeGrid(config["frames"], (config["image"], config["image"]), config["tubelet"], config["patch"])


def named(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Give the weights of one of the networks by the names that its file has."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def read_mask(config: dict[str, Any], grid: TubeGrid, order: Tensor) -> Tensor:
    """Mask ``[B, N]`` the places of the smallest values: those of the frame, in every tubelet, or all."""
    count = int(config["mask_ratio"] * order.shape[1])
    mask = torch.zeros(order.shape, dtype=torch.bool).scatter(1, order.argsort(dim=1)[:, :count], value=True)
    return mask.repeat(1, grid.tokens // order.shape[1])


def split_by(mask: Tensor) -> TokenSplit:
    """Turn a mask into places."""
    places = mask.to(torch.uint8).argsort(dim=1, stable=True)
    visible = int((~mask[0]).sum())
    return TokenSplit(places[:, :visible], places[:, visible:])


def pixel_by_pixel(tubes: Tensor) -> Tensor:
    """Order tubes ``[B, M, 3, P]`` as the authors do: ``[B, M, P 3]``."""
    return tubes.transpose(-1, -2).flatten(2)


def stride(manifest: Manifest, key: str, of: str) -> int:
    """Read how many of an output are recorded: ``every 8th token``; a target has the prediction's strides."""
    meaning = manifest["outputs"][key]["meaning"]
    if "same stride" in meaning:
        meaning = manifest["outputs"]["eval/prediction"]["meaning"]
    found = re.search(rf"every (\d+)(?:st|nd|rd|th) {of}", meaning)
    return int(found[1]) if found else 1


def optimizer(config: dict[str, Any], network: nn.Module) -> torch.optim.Optimizer:
    """Build AdamW, without decay of vectors and of the mask token."""
    parameters = dict(network.named_parameters())
    kept = [value for name, value in parameters.items() if value.ndim == 1 or name == "mask_token"]
    decayed = [value for name, value in parameters.items() if value.ndim > 1 and name != "mask_token"]
    groups = [
        {"params": decayed, "weight_decay": config["weight_decay"]},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config["lr"], betas=tuple(config["betas"]), eps=config["eps"], fused=True
    )


def compute(manifest: Manifest, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> Outputs:
    """Compute what is recorded of both networks, and train the first one for a step."""
    config = manifest["config"]
    grid = grid_of(config)
    tubes = grid.cut(inputs["video"])
    mask = read_mask(config, grid, inputs["mask_order"])
    decoder = config["decoder"]
    network = MaskedAutoencoder(
        encoder(config, grid, norm=True), decoder["embed"], decoder["depth"], decoder["heads"]
    )
    load_official(network, named(weights, PRE_TRAINING), TABLE)
    classifier = VideoClassifier(encoder(config, grid, norm=False), len(weights[f"{FINE_TUNING}head.bias"]))
    load_official(classifier, named(weights, FINE_TUNING), FINE_TUNED)
    with torch.no_grad():
        found = {
            "eval/features": classifier.features(tubes),
            "eval/logits": classifier(tubes),
            **encoded(manifest, network, tubes, split_by(mask)),
        }
    found |= {"train/mask": mask.to(torch.int64), **trained(manifest, network, tubes, split_by(mask))}
    return {key: value.detach().numpy() for key, value in found.items()}


def encoded(
    manifest: Manifest, network: MaskedAutoencoder, tubes: Tensor, split: TokenSplit
) -> dict[str, Tensor]:
    """Give tokens, prediction, target and positions, as sparsely as they are recorded."""
    target = normalise_tubes(take_tokens(tubes, split.masked))
    places = sine_cosine_table(network.encoder.grid.tokens, network.encoder.dim)
    of_tokens = {
        "eval/encoder_visible_tokens": network.encoder(tubes, split.visible),
        "eval/encoder_all_tokens": network.encoder(tubes),
        "eval/prediction": pixel_by_pixel(network(tubes, split)),
        "eval/target_normalised": pixel_by_pixel(target),
    }
    found = {
        key: value[:, :: stride(manifest, key, "token"), :: stride(manifest, key, "pixel value")]
        for key, value in of_tokens.items()
    }
    key = "eval/pos_embed"
    return found | {key: places[:: stride(manifest, key, "position"), :: stride(manifest, key, "channel")]}


def trained(
    manifest: Manifest, network: MaskedAutoencoder, tubes: Tensor, split: TokenSplit
) -> dict[str, Tensor]:
    """Give losses, gradient norms, and the loss after a step."""
    config, raw = manifest["config"], take_tokens(tubes, split.masked)
    target = normalise_tubes(raw)
    prediction = network(tubes, split)
    loss = F.mse_loss(prediction, target)
    torch.autograd.backward(loss)
    parameters = dict(network.named_parameters())
    norms = [
        parameters[str(TABLE.to_ours(entry["name"].removeprefix(PRE_TRAINING)))].grad
        if entry["name"].startswith(PRE_TRAINING)
        else None
        for entry in manifest["params"]
    ]
    optimizer(config, network).step()
    with torch.no_grad():
        after = F.mse_loss(network(tubes, split), target)
    return {
        "train/loss/total": loss,
        "train/loss/unnormalised": F.mse_loss(prediction, raw),
        "train/grad_norm": torch.tensor([np.nan if g is None else g.double().norm().item() for g in norms]),
        "train/loss_after_step": after,
    }


CASE = PlainCase(outputs=compute, required=("/features", "/logits", "/grad_norm", "/loss_after_step"))
