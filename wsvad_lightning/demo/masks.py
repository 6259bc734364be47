"""What masks of a pre-training show, and what is learned by them, where objects are known by the pixel."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

import h5py
import numpy as np
import rich
import torch
from einops import reduce
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from wsvad_lightning.demo.drawing import draw_scene, moving_pixels
from wsvad_lightning.demo.render import DemoSpec, list_clips
from wsvad_lightning.layers import TokenSplit, TubeGrid
from wsvad_lightning.layers.scene_maps import cube_difference, perspective_prior, scene_weights
from wsvad_lightning.layers.token_masks import random_split, tube_split, weighted_split
from wsvad_lightning.methods.svmaepretraining import SVMAEPretraining
from wsvad_lightning.runs.run import run_trainer
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.views import resize

GRID = TubeGrid(frames=16, size=(96, 144), tube=2, patch=16)  # as `demo_svmae.yaml` trains
STRIDE = 2  # frames
RATIO = 0.9
ON_OBJECT = 0.1  # part of a tube's pixels that belong to an object
DRAWS = 20  # masks of a clip
SPEC = DemoSpec(train_normal=6, train_abnormal=18, test_normal=0, test_abnormal=0)
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)  # of depth in the weights
TUBE = 1  # row of the tube masks, to which the others are compared
SHOWN = "visible tokens on moving objects"
RECIPE = "demo_svmae.yaml"
TRAINED = {  # by name, settings of the trainings that are compared
    "tube": ("--model.mask", "tube"),
    "random": ("--model.mask", "random"),
    "scene": ("--model.mask", "scene"),
    "scene, plain loss": ("--model.mask", "scene", "--model.levels", "[1.0]"),
}
SEEN_BY = ("tube", "random", "scene, a = 0.2")  # masks by which all of them reconstruct
REGIONS = ("moving", "far", "all")
FAR = 0.75  # depth of the tubes that weigh most in the loss

Draw = Callable[[Tensor], TokenSplit]


class KnownClip(NamedTuple):
    """A clip whose objects are known.

    Attributes:
        pixels: ``[3, T, H, W]`` in [0, 1].
        on_object: ``[N]`` bool, tokens that show an object.
    """

    pixels: Tensor
    on_object: Tensor


def compare_masks(
    ped2: str | None = None,
    seeds: int = 5,
    videos: str | None = None,
    steps: int = 100,
    output: str = "runs/masks",
) -> None:
    """Print the share of visible tokens that show moving objects, and what is reconstructed after training.

    Args:
        ped2: folder of UCSD Ped2 with ``videos/*.mp4`` and ``masks.h5``, whose anomalous objects are the
            truth there; None for the rendered clips alone.
        seeds: of rendered clips, masks and trainings.
        videos: folder to pre-train on by each kind of mask, as ``demo_svmae.yaml`` does; None for none.
        steps: of each training.
        output: folder for their runs.
    """
    real = list(ped2_clips(Path(ped2))) if ped2 else []
    shares: dict[str, list[list[float]]] = {}
    errors: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        known = {"rendered": list(rendered_clips(seed)), "UCSD Ped2": real}
        for data, clips in known.items():
            torch.manual_seed(seed)
            if clips:
                shares.setdefault(data, []).append(shares_of(clips))
        for name in TRAINED if videos else ():
            model = train(name, seed, str(videos), steps, output)
            found = [error for clips in known.values() if clips for error in errors_of(model, clips).values()]
            errors.setdefault(name, []).append(found)
    rich.print(table_of_shares(shares, f"{SHOWN}, {seeds} seeds"))
    if videos:
        title = f"squared error of masked tokens after {steps} steps, {seeds} seeds"
        rich.print(table_of_errors(errors, list(shares), title))


# --------------------------------------------------------------------------------------------- what is seen


def masks() -> dict[str, Draw]:
    """The kinds of masks by name; each draws those of clips with the motion ``[B, N]``."""
    kinds: dict[str, Draw] = {
        "tube": lambda motion: tube_split(len(motion), GRID, RATIO, motion.device),
        "random": lambda motion: random_split(len(motion), GRID, RATIO, motion.device),
    }
    return kinds | {f"scene, a = {share}": scene_mask(share) for share in SHARES}


def scene_mask(share: float) -> Draw:
    """Draw by motion and depth.

    Args:
        share: of depth.
    """

    def draw(motion: Tensor) -> TokenSplit:
        return weighted_split(scene_weights(motion, perspective_prior(GRID), share), RATIO)

    return draw


def shares_of(clips: list[KnownClip]) -> list[float]:
    """Give the share of tokens on objects: of all, and of the visible ones by kind of mask."""
    found = []
    for clip in clips:
        motion = cube_difference(clip.pixels[None], GRID).expand(DRAWS, -1)
        seen = [clip.on_object[draw(motion).visible].float().mean().item() for draw in masks().values()]
        found.append([clip.on_object.float().mean().item(), *seen])
    return [float(share) for share in np.mean(found, axis=0)]


def table_of_shares(found: dict[str, list[list[float]]], title: str) -> Table:
    """Tabulate what :func:`shares_of` gives, for each data set and seed."""
    table = Table("mask", *(name for data in found for name in (data, "times")), title=title)
    for row, mask in enumerate(["none", *masks()]):
        cells = []
        for shares in found.values():
            of_seeds = 100 * np.array(shares)
            cells.append(f"{of_seeds[:, row].mean():.1f} ± {of_seeds[:, row].std():.1f} %")
            cells.append(f"{of_seeds[:, row].mean() / of_seeds[:, TUBE].mean():.2f}")
        table.add_row(mask, *cells)
    return table


# ------------------------------------------------------------------------------------------ what is learned


def train(name: str, seed: int, videos: str, steps: int, output: str) -> SVMAEPretraining:
    """Pre-train by the recipe of the demo.

    Args:
        name: of the training, in ``TRAINED``.
        seed: of weights, clips and masks.
        videos: folder of videos.
        steps: of the training.
        output: folder for its run.

    Returns:
        The trained method.
    """
    length = ("--trainer.max_steps", str(steps), "--model.lr_scheduler.init_args.total_steps", str(steps))
    place = ("--data.videos", videos, "--output", output, "--name", name.replace(", ", "_").replace(" ", "_"))
    run = run_trainer(
        ["fit", "--config", RECIPE, *TRAINED[name], "--seed_everything", str(seed), *length, *place]
    )
    return cast(SVMAEPretraining, run.model).eval()


@torch.inference_mode()
def errors_of(model: SVMAEPretraining, clips: list[KnownClip]) -> dict[str, float]:
    """Give the mean squared error of masked tokens by region: those on objects, the far ones, and all.

    Every model sees the same masks, as many of each kind in ``SEEN_BY``.

    Args:
        model: trained on clips of ``GRID``.
        clips: to reconstruct.
    """
    kinds, far = masks(), perspective_prior(GRID)[0] >= FAR
    found: dict[str, list[Tensor]] = {region: [] for region in REGIONS}
    torch.manual_seed(0)
    for clip in clips:
        motion = cube_difference(clip.pixels[None], GRID)
        for kind in SEEN_BY:
            split = kinds[kind](motion)
            errors = model.reconstruction_errors(clip.pixels[None], split)[0]
            masked = split.masked[0]
            parts = errors[clip.on_object[masked]], errors[far[masked]], errors
            for region, part in zip(REGIONS, parts, strict=True):
                found[region].append(part)
    return {region: torch.cat(errors).mean().item() for region, errors in found.items()}


def table_of_errors(found: dict[str, list[list[float]]], data: list[str], title: str) -> Table:
    """Tabulate the errors of each training and seed: regions of each data set."""
    table = Table("trained by", *(f"{name}, {region}" for name in data for region in REGIONS), title=title)
    for name, errors in found.items():
        of_seeds = np.array(errors)
        cells = zip(of_seeds.mean(axis=0), of_seeds.std(axis=0), strict=True)
        table.add_row(name, *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in cells))
    return table


# ----------------------------------------------------------------------------------------- clips with truth


def rendered_clips(seed: int) -> Iterator[KnownClip]:
    """The middle of rendered clips, drawn and not encoded, with all actors that move.

    Args:
        seed: of the scenes.
    """
    for clip in list_clips(SPEC, seed):
        scene, rng = clip.scene()
        size = clip.spec.width, clip.spec.height
        begin = (len(scene.gain) - GRID.frames * STRIDE) // 2
        frames = begin, begin + GRID.frames * STRIDE, STRIDE
        pictures = list(islice(draw_scene(scene, clip.camera, size, rng), *frames))
        truth = list(islice(moving_pixels(scene, clip.camera, size), *frames))
        yield known_clip(np.stack(pictures), np.stack(truth))


def ped2_clips(folder: Path) -> Iterator[KnownClip]:
    """The clips of the test videos that show an anomalous object throughout, one after the other.

    Args:
        folder: with ``videos/*.mp4`` and ``masks.h5``.
    """
    span = GRID.frames * STRIDE
    with h5py.File(folder / "masks.h5") as held:
        for name, truth in held.items():
            frames = np.stack(list(VideoReader(str(folder / "videos" / f"{name}.mp4"))))
            for begin in range(0, len(frames) - span + 1, span):
                objects = truth[begin : begin + span : STRIDE]
                if objects.any(axis=(1, 2)).all():
                    yield known_clip(frames[begin : begin + span : STRIDE], objects)


def known_clip(pictures: NDArray[np.uint8], objects: NDArray[np.bool_]) -> KnownClip:
    """Bring frames ``[T, h, w, 3]`` and objects ``[T, h, w]`` to the size of the grid."""
    frames = resize(torch.from_numpy(pictures).permute(0, 3, 1, 2), *GRID.size)
    covered = resize(255 * torch.from_numpy(objects)[:, None].to(torch.uint8), *GRID.size).float() / 255
    pattern = "(t l) 1 (h p) (w q) -> (t h w)"
    shares = reduce(covered, pattern, "mean", l=GRID.tube, p=GRID.patch, q=GRID.patch)
    return KnownClip(frames.transpose(0, 1).float() / 255, shares >= ON_OBJECT)
