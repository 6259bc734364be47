"""DSANet as the golden cases see it."""

import re
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.parity.case import Build, Config, Manifest, MethodCase
from tests.parity.cases.vadclip import (
    batches,
    classes_of,
    evaluate,
    follow,
    read_classes,
    scores_of,
    tokens_of,
)
from wsvad_lightning.interop.dsanet import TABLE
from wsvad_lightning.methods import DSANet
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.two_branch import TEMPERATURE
from wsvad_lightning.optimizers import StableAdamW, WarmUpCosine
from wsvad_lightning.types import WSVADBatch

SCHEDULE = re.compile(r"per step: linear from 0 in (\d+) steps, then cosine to ([\d.]+) lr")


def build(config: Config, inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, with the recipe's optimizers and schedules."""
    assert config["temperature"] == TEMPERATURE
    assert config["optimizer"].startswith("AdamW for all but the refiner, StableAdamW for")
    return DSANet(
        feature_dim=config["visual_width"],
        length=config["visual_length"],
        layers=config["visual_layers"],
        window=config["attention_window"],
        heads=config["visual_heads"],
        text_dim=config["text_encoder_of_this_case"]["width"],
        adapted_blocks=config["text_adapt_until"],
        adapter_share=config["text_mix"],
        score_temperature=config["score_temperature"],
        pooling_scale=config["pooling_scale"],
        label_smoothing=config["label_smoothing"],
        num_prototypes=config["num_prototypes"],
        normal_part=config["normal_selection_ratio"],
        decoder_depth=config["decoder_depth_of_this_case"],
        refiner_heads=config["refiner_heads"],
        loss_weights={"align": config["align_weight"]},
        optimizer=partial(torch.optim.AdamW, lr=config["lr"], weight_decay=config["weight_decay"]),
        refiner_optimizer=partial(
            StableAdamW,
            lr=config["lr"],
            betas=tuple(config["betas"]),
            eps=config["eps_refiner"],
            weight_decay=config["weight_decay_refiner"],
            amsgrad=config["amsgrad_refiner"],
            clip_threshold=config["clip_threshold_refiner"],
        ),
        refiner_lr_scheduler=partial(schedule, config),
    )


def schedule(config: Config, optimizer: torch.optim.Optimizer) -> WarmUpCosine:
    """Build the refiner's schedule."""
    described = SCHEDULE.fullmatch(config["scheduler"]["refiner"])
    assert described is not None, "its schedule is the known one"
    total = config["scheduler"]["refiner_total_iterations"]
    return WarmUpCosine(optimizer, total, warm_up=int(described[1]), lowest=float(described[2]))


def complete(
    config: Config, inputs: dict[str, Tensor], module: WSVADModule, state: dict[str, Tensor]
) -> None:
    """Let the text tower of the case read its classes."""
    assert isinstance(module, DSANet)
    read_classes(config, inputs["eval/tokens"], module, state)


def optimizer(config: Config, module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizers; a step of the first is followed by one of the refiner's."""
    made: Any = module.configure_optimizers()
    main, refiner = made[0]
    main.register_step_post_hook(lambda *_: refiner.step())
    stepper: torch.optim.Optimizer = main
    return stepper


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give what a training pass computes."""
    assert isinstance(module, DSANet)
    with torch.no_grad():
        out = module.study(batch)
    assert out.refined is not None
    return {
        "text_features": out.branches.texts[:, ::4].numpy(),
        "logits1": out.branches.logits[:, 0].numpy(),
        "logits2": out.branches.class_logits[:, 0, ::8].numpy(),
        "logits3": out.event_logits[:, 0].numpy(),
        "logits4": out.background_logits[:, 0].numpy(),
        "num_selected": out.refined.selected.sum(dim=-1)[0, 0].numpy(),
        "prototypes": out.refined.prototypes[:, 0, :, ::16].numpy(),
        "reconstruction_error": out.refined.errors[:, 0].numpy(),
    }


def further(manifest: Manifest, inputs: dict[str, Tensor], build: Build) -> dict[str, NDArray[Any]]:
    """Give scores of the test videos, classes of the others, tokens, totals of steps, and a schedule."""
    config, module = manifest["config"], build()
    assert isinstance(module, DSANet)
    return {
        **scores_of(manifest, inputs, module.eval()),
        **classes_of(config["label_keys"], inputs),
        "eval/tokens": tokens_of(config["dataset_variant"], inputs["eval/tokens"].shape[1]),
        "steps/total": totals(config, module.train(), batches(manifest, inputs)["train"]),
        "schedule/refiner_lr": np.array(rates(config)),
    }


def totals(config: Config, module: DSANet, batch: WSVADBatch) -> NDArray[Any]:
    """Take three steps at the base rate: the losses before each, and after the last."""
    module.refiner_lr_scheduler = None
    stepper, found = optimizer(config, module), []
    for _ in range(3):
        module.zero_grad()
        total = module.total_loss(module.compute_losses(batch))
        torch.autograd.backward(total)
        stepper.step()
        found.append(total.item())
    with torch.no_grad():
        return np.array([*found, module.total_loss(module.compute_losses(batch)).item()])


def rates(config: Config) -> list[float]:
    """Give the refiner's learning rate in the steps that are recorded."""
    steps = config["schedule_steps"]
    stepper = StableAdamW([nn.Parameter(torch.zeros(1))], lr=config["lr"])
    scheduler, found = schedule(config, stepper), []
    for _ in range(1 + max(steps)):
        found += scheduler.get_last_lr()
        stepper.step()
        scheduler.step()
    return [float(found[step]) for step in steps]


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    given=("train/lengths", "train/labels", "eval/tokens"),
    follow=follow,
    complete=complete,
    batches=batches,
    passes=("study",),
    further=further,
)
