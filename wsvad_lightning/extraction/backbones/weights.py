"""Released weights in networks that only infer: under our names, batch normalization folded in."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError

LayerTable = Mapping[str, tuple[str, str | None]]


def hash_file(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_folded(
    network: nn.Module,
    released: Mapping[str, Tensor],
    table: LayerTable,
    epsilon: float,
    source: str | Path,
    remedy: str,
) -> None:
    """Load a released network into ours; every released tensor must have its place and ours be filled.

    A normalization that follows a layer is folded into it: the gain ``weight / sqrt(variance + epsilon)``
    scales the layer's weights, and what it subtracts and adds becomes the layer's bias.

    Args:
        network: ours, in which a layer has a weight and a bias; it is made ready to infer.
        released: names and tensors. Counts of batches are of no use and may be there or not.
        table: our layer to the released (layer, normalization that follows it).
        epsilon: of the normalizations.
        source: where the tensors come from, for messages.
        remedy: what the user can do about other weights.

    Raises:
        WSVADError: with the first tensor that is missing, unknown or of another shape.
    """
    unused = {key: value for key, value in released.items() if not key.endswith("num_batches_tracked")}
    state: dict[str, Tensor] = {}
    try:
        for ours, (layer, norm) in table.items():
            weight, bias = _take_layer(unused, layer, norm, epsilon)
            state |= {f"{ours}.weight": weight, f"{ours}.bias": bias}
    except KeyError as error:
        raise WSVADError("weights", source, f"the file lacks the key {error}", remedy) from None
    if unused:
        raise WSVADError("weights", source, f"the file holds the unknown key {min(unused)!r}", remedy)
    for name, value in network.state_dict().items():
        if state[name].shape != value.shape:
            problem = f"{name} has the shape {tuple(state[name].shape)} and not {tuple(value.shape)}"
            raise WSVADError("weights", source, problem, remedy)
    network.load_state_dict(state)
    network.eval().requires_grad_(False)


def _take_layer(
    unused: dict[str, Tensor], layer: str, norm: str | None, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer with its normalization, taken out of what is unused."""
    weight = unused.pop(f"{layer}.weight")
    if norm is None:
        return weight, unused.pop(f"{layer}.bias")
    gain, shift, mean, variance = (
        unused.pop(f"{norm}.{key}").double() for key in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / (variance + epsilon).sqrt()
    bias = unused.pop(f"{layer}.bias", torch.zeros(len(weight)))
    folded = weight.double() * gain.view(-1, *(1,) * (weight.ndim - 1))
    return folded.float(), ((bias - mean) * gain + shift).float()
