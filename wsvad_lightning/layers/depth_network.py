"""Monocular depth by a frozen network of the transformers package, from a local folder."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers.vit import TubeGrid
from wsvad_lightning.ops import min_max

# Whether the network gives larger values to what is nearer, by the type of its configuration.
NEARER_IS_LARGER = {"depth_anything": True, "dpt": True, "glpn": False, "zoedepth": False}
SIDE = 32  # of whose multiples images are, where the folder states no size
REMEDY = f"Give a folder that transformers saved of one of: {', '.join(NEARER_IS_LARGER)}"


class DepthNetwork:
    """Depth of every token of a clip.

    Deliberately no module: neither its parameters nor its weights are in the checkpoint of whoever uses it.
    It follows the clips to any device.

    Args:
        model: gives ``predicted_depth`` of images; it is frozen.
        size: height and width of the images that it sees; None for the nearest multiples of 32.
        mean: of each colour.
        std: of each colour.
        nearer_is_larger: whether it gives the inverse of depth.
    """

    def __init__(
        self,
        model: Any,
        size: tuple[int, int] | None,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        nearer_is_larger: bool,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.size, self.mean, self.std = size, mean, std
        self.nearer_is_larger = nearer_is_larger

    @classmethod
    def open(cls, folder: str | Path, argument: str) -> "DepthNetwork":
        """Open a folder with ``config.json``, ``preprocessor_config.json`` and weights as safetensors.

        Args:
            folder: as transformers' ``save_pretrained`` makes it.
            argument: that names it, for messages.

        Raises:
            WSVADError: if transformers is not installed, or the folder lacks a part or is of another network.
        """
        for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
            if not (Path(folder) / name).is_file():
                raise WSVADError(argument, folder, f"holds no {name}", REMEDY)
        try:
            import transformers
        except ImportError:
            remedy = 'Install it: pip install "wsvad-lightning[hf]"'
            raise WSVADError(argument, folder, "reading it needs transformers", remedy) from None
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            if config.model_type not in NEARER_IS_LARGER:
                raise ValueError(f"is of a {config.model_type} network")
            loaded: Any = transformers.AutoModelForDepthEstimation.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            processor: Any = transformers.AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, backend="pil"
            )
        except Exception as error:  # readers of several formats, each with errors of its own
            reason = " ".join(str(error).split())[:100]
            raise WSVADError(argument, folder, f"cannot be used ({reason})", REMEDY) from None
        model, report = loaded
        if report["missing_keys"]:
            raise WSVADError(argument, folder, f"its weights lack {min(report['missing_keys'])}", REMEDY)
        size = getattr(processor, "size", None) or {}
        sides = (size["height"], size["width"]) if {"height", "width"} <= {*size} else None
        metric = getattr(config, "depth_estimation_type", "relative") == "metric"
        return cls(
            model,
            sides,
            tuple(getattr(processor, "image_mean", None) or (0.0,) * 3),
            tuple(getattr(processor, "image_std", None) or (1.0,) * 3),
            nearer_is_larger=NEARER_IS_LARGER[config.model_type] and not metric,
        )

    @torch.no_grad()
    def __call__(self, clips: Tensor, grid: TubeGrid) -> Tensor:
        """Estimate the depth of every token from the first frame of its tube.

        Args:
            clips: ``[B, 3, T, H, W]`` in [0, 1].
            grid: how they are cut.

        Returns:
            ``[B, N]`` in [0, 1] in each clip, larger is farther.
        """
        frames = rearrange(clips[:, :, :: grid.tube], "b c t h w -> (b t) c h w")
        sides = self.size or tuple(max(SIDE, round(side / SIDE) * SIDE) for side in grid.size)
        images = F.interpolate(frames, sides, mode="bilinear", antialias=True)
        mean, std = (
            torch.tensor(value, device=clips.device)[:, None, None] for value in (self.mean, self.std)
        )
        depth = self.model.to(clips.device)((images - mean) / std).predicted_depth.float()
        pooled = F.adaptive_avg_pool2d(depth.reshape(len(frames), 1, *depth.shape[-2:]), grid.shape[1:])
        tokens = min_max(pooled.reshape(len(clips), -1))
        return 1 - tokens if self.nearer_is_larger else tokens
