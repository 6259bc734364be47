"""ADPLG as the golden cases see it."""

import re
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Manifest, MethodCase, computed_once
from wsvad_lightning.interop.adplg import TABLE
from wsvad_lightning.methods import ADPLG
from wsvad_lightning.methods.adplg import ADPLGNet, SnippetNet, VideoNet, VideoOutput, snippet_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import min_max
from wsvad_lightning.types import PseudoLabels, WSVADBatch

VIDEO_TERMS = ("vc", "triplet", "cos", "smooth", "sparsity")
IGNORED = 100.0  # what the reference writes where a snippet is left out


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Score the crops of a video, and train with the first batch."""
    return {"eval": evaluation_batch(inputs["eval_features"]), "train": named_batches(inputs)[0]}


def named_batches(inputs: dict[str, Tensor]) -> list[WSVADBatch]:
    """Pair the halves of every batch, in the manifest's order."""
    names = [name.removeprefix("normal_") for name in inputs if name.startswith("normal_")]
    return [named_batch(inputs, name) for name in names]


def named_batch(inputs: dict[str, Tensor], name: str) -> WSVADBatch:
    """Pair the halves of a batch, whose videos are its own."""
    batch = training_batch(inputs[f"normal_{name}"], inputs[f"abnormal_{name}"])
    return batch._replace(video_ids=[f"{name}/{video_id}" for video_id in batch.video_ids])


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    module = ADPLG(
        hidden_dim=16,
        positions=1,
        history_length=config["pl_his_num"],
        label_threshold=config["thre_pesudo_a"],
        variance_threshold=config["thre_var_a"],
        warm_up=config["warm_up_here"],
        loss_weights=dict.fromkeys((*VIDEO_TERMS, "sc"), config["loss_weights"]),
    )
    feature_dim = config["feature_size"]
    module.net = ADPLGNet(
        VideoNet(feature_dim, dropout=0.0),
        SnippetNet(
            feature_dim,
            windows=config["windows"],
            depth=config["layer_ts"],
            dropout=0.0,
            attention_dropout=0.0,
        ),
    )
    return module


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build what steps as both of the recipe's optimizers do."""
    return both_optimizers(config, module, read_rate(config["optimizer_s"]))


def both_optimizers(config: dict[str, Any], module: WSVADModule, snippet_lr: float) -> torch.optim.Optimizer:
    """Build one Adam with a group for each network."""
    assert isinstance(module, ADPLG)
    decays = [float(re.findall(r"wd (\S+?),", config[f"optimizer_{name}"])[0]) for name in "vs"]
    rates = [read_rate(config["optimizer_v"]), snippet_lr]
    networks = [module.net.video, module.net.snippet]
    groups = (
        {"params": network.parameters(), "lr": lr, "weight_decay": decay}
        for network, lr, decay in zip(networks, rates, decays, strict=True)
    )
    return torch.optim.Adam(groups, fused=True)


def read_rate(description: str) -> float:
    """Find the learning rate in a line such as ``Adam lr 1e-4 betas ...``."""
    return float(re.findall(r"lr (\S+)", description)[0])


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the snippet network computes on its first crop."""
    assert isinstance(module, ADPLG)
    net = module.net.snippet
    embedded = F.relu(net.embed(batch.features[0, :1]))
    found = {
        "scores": module.score(batch).squeeze(0).numpy(),
        "embedding_sample": embedded[0, ::4, ::16].numpy(),
    }
    for number, branch in enumerate(net.branches, start=1):
        found[f"lsa{number}_sample"] = branch(embedded)[0, :, ::16].numpy()
    return found


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give scores, attention and the fused features of a training pass."""
    assert isinstance(module, ADPLG)
    with torch.no_grad():
        out: VideoOutput = module.net.video(batch.features)
        scores = module.net.snippet(batch.features)
    return {
        "scores_v": out.scores.flatten().numpy(),
        "attention_norm": min_max(out.attention).flatten(0, 1).numpy(),
        "attention": out.attention.flatten(0, 1).numpy(),
        "cross_attention": out.cross_attention.flatten(0, 1).numpy(),
        "feats_v": torch.cat([out.normal, out.abnormal]).flatten(0, 1)[:, ::8].numpy(),
        "scores_s": rearrange(scores, "b n t -> (b n) t").numpy(),
    }


def video_total(losses: dict[str, Tensor]) -> Tensor:
    """Sum the terms of the video network."""
    return torch.stack([losses[term] for term in VIDEO_TERMS]).sum()


def extra(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the sum of the video network's terms, which the reference lists as a term."""
    return {"loss/cost_v": video_total(losses).detach().numpy()}


def after(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Split the loss after a step between the networks."""
    return {"loss_after_step_v": video_total(losses).numpy(), "loss_after_step_s": losses["sc"].numpy()}


def further(
    manifest: dict[str, Any], inputs: dict[str, Tensor], build: Callable[[], WSVADModule]
) -> dict[str, NDArray[Any]]:
    """Give what follows from a scripted history, and from training for several steps."""
    return {**label_script(inputs, build()), **several_steps(manifest, inputs, build().train())}


def label_script(inputs: dict[str, Tensor], module: WSVADModule) -> dict[str, NDArray[Any]]:
    """Visit the same bags with scripted attention, and measure scripted scores by the labels."""
    assert isinstance(module, ADPLG)
    scores = torch.sigmoid(inputs["pl_logits"]).squeeze(-1)
    visits, losses = [], []
    for curves in inputs["pl_history"]:
        labels = module.visit([str(i) for i in range(len(curves))], curves)
        visits.append(labels)
        normal = PseudoLabels(*map(torch.zeros_like, labels))
        of_batch = (torch.cat(halves) for halves in zip(normal, labels, strict=True))
        losses.append(snippet_bce(scores, PseudoLabels(*of_batch)))
    return {**recorded("static", visits), "pseudo/static_loss": torch.stack(losses).numpy()}


def recorded(prefix: str, visits: Sequence[PseudoLabels]) -> dict[str, NDArray[Any]]:
    """Write labels ``[.., T]`` of each visit as the reference does."""
    ignored = torch.stack([labels.ignored for labels in visits])
    target = torch.stack([labels.target for labels in visits]).masked_fill(ignored, IGNORED)
    return {f"pseudo/{prefix}_target": target.numpy(), f"pseudo/{prefix}_hard": ignored.float().numpy()}


def step(module: WSVADModule, batch: WSVADBatch, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Train for a step; give the losses before it."""
    losses = module.compute_losses(batch)
    optimizer.zero_grad()
    torch.autograd.backward(module.total_loss(losses))
    optimizer.step()
    return losses


def several_steps(
    manifest: Manifest, inputs: dict[str, Tensor], module: WSVADModule
) -> dict[str, NDArray[Any]]:
    """Train with the batches in turn, as long and as slowly as the manifest has it."""
    assert isinstance(module, ADPLG)
    recorded_losses = manifest["outputs"]["pseudo/run_losses"]
    (rate,) = re.findall(r"net_s at (\S+) instead", recorded_losses["meaning"])
    stepper = both_optimizers(manifest["config"], module, float(rate))
    given = named_batches(inputs)
    visits: list[PseudoLabels] = []
    losses, scores = [], []

    def visit(keys: list[str], curves: Tensor) -> PseudoLabels:
        visits.append(ADPLG.visit(module, keys, curves))
        return visits[-1]

    with patch.object(module, "visit", visit):
        for batch in islice(cycle(given), recorded_losses["shape"][0]):
            with computed_once(module, ["net.snippet.forward"]):
                found = step(module, batch, stepper)
                before_step = module.net.snippet(batch.features)  # computed for the losses
            scores.append(rearrange(before_step, "b n t -> (b n) t"))
            terms = (video_total(found), *(found[term] for term in ("sc", "triplet", "vc", "cos")))
            losses.append(torch.stack(terms).detach())
    return {
        **recorded("run", visits),
        "pseudo/run_losses": torch.stack(losses).numpy(),
        "pseudo/run_scores": torch.stack(scores).numpy(),
    }


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    passes=("net.video.forward", "net.snippet.forward"),
    batches=batches,
    extra=extra,
    after=after,
    further=further,
)
