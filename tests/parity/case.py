"""How a method, a backbone or a metric computes the outputs that its manifest records.

The module ``tests/parity/cases/<method>.py`` names one :class:`Case` ``CASE``: a :class:`MethodCase`
for a method, which is built, trained for a step and scored the same way as every other, and a
:class:`PlainCase` for what is one function of weights and inputs.
"""

import abc
import copy
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, is_dataclass, replace
from operator import attrgetter
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import pair_by_name
from tests.parity.compare import REQUIRED, Outputs
from wsvad_lightning.interop import load_official
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch

Manifest = dict[str, Any]
Config = dict[str, Any]
Tensors = dict[str, Tensor]
Build = Callable[[], WSVADModule]


def find_case(method: str) -> "Case":
    """Import the case of a manifest's method; the stages of one method share it."""
    module = importlib.import_module(f"tests.parity.cases.{re.sub('_stage[0-9]+$', '', method)}")
    case: Case = module.CASE
    return case


@dataclass(frozen=True, kw_only=True)
class Case(abc.ABC):
    """What every case states.

    Attributes:
        required: Endings of the outputs that must be recorded and computed, else nothing is proved.
        given: Recorded outputs, by their whole keys, that are inputs of the case, such as lengths.
        elsewhere: Beginnings of outputs that are computed from a file that only the environment may name.
        follow: Makes inputs by the rules that the manifest gives for some of them, ``(rules, inputs)``.
        loose: Relative tolerances of the keys that need more than the usual one, of the configuration.
    """

    required: tuple[str, ...] = REQUIRED
    given: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    follow: Callable[[dict[str, str], Tensors], Tensors] | None = None
    loose: Callable[[Config], dict[str, float]] = lambda config: {}

    @abc.abstractmethod
    def compute(self, manifest: Manifest, weights: Tensors, inputs: Tensors) -> Outputs:
        """Compute the outputs that this project has, by the manifest's keys."""


@dataclass(frozen=True, kw_only=True)
class PlainCase(Case):
    """A backbone or a metric.

    Attributes:
        outputs: Computes all outputs, ``(manifest, weights, inputs)``.
    """

    outputs: Callable[[Manifest, Tensors, Tensors], Outputs]

    def compute(self, manifest: Manifest, weights: Tensors, inputs: Tensors) -> Outputs:
        """Compute the outputs."""
        return self.outputs(manifest, weights, inputs)


@dataclass(frozen=True, kw_only=True)
class MethodCase(Case):
    """A method: its network is loaded with the authors' weights by the key table that imports checkpoints.

    Attributes:
        table: Names of the authors' parameters and ours.
        build: Builds the method that a configuration describes, without dropout, ``(config, inputs)``.
        optimizer: Builds the recipe's optimizer, ``(config, module)``.
        evaluate: Computes the outputs of a test video, by the keys behind ``<batch>/``.
        train_outputs: Computes the outputs of a training pass, by the keys behind ``<batch>/out/``.
        batches: Makes named batches, ``(manifest, inputs)``; those with abnormal videos are trained on.
        weighted: Loss terms that the reference records with their weights.
        sizes: Reads more of the configuration off the weights.
        passes: Names of what computes both ``train_outputs`` and the losses, and what ``evaluate`` records;
            it is called once for all of them.
        frozen: Gives the names of what a training step does not change, and is called once for all steps.
        complete: Gives the loaded network what is not a parameter, ``(config, inputs, module, weights)``.
        clip: Clips the gradients before the step and computes their norm, ``(config, module)``.
        small_step: Builds an optimizer of a smaller step where the recipe's own goes far.
        extra: Computes more outputs of a training batch before its step, ``(config, module, losses)``.
        after: Computes outputs of the losses after the step, ``(config, module, losses)``.
        further: Computes outputs of several steps, of other videos or of no network, by their whole keys,
            ``(manifest, inputs, build)``.
        norm_dtype: In which the reference sums squared gradients; of millions float32 loses more than the
            tolerance.
    """

    table: KeyTable
    build: Callable[[Config, Tensors], WSVADModule]
    optimizer: Callable[[Config, WSVADModule], torch.optim.Optimizer]
    evaluate: Callable[[Any, WSVADBatch], Outputs]
    train_outputs: Callable[[Any, WSVADBatch], Outputs]
    batches: Callable[[Manifest, Tensors], dict[str, WSVADBatch]] = lambda manifest, inputs: pair_by_name(
        inputs
    )
    weighted: frozenset[str] = frozenset()
    sizes: Callable[[Tensors], Config] = lambda weights: {}
    passes: tuple[str, ...] = ()
    frozen: Callable[[Config], tuple[str, ...]] = lambda config: ()
    complete: Callable[[Config, Tensors, WSVADModule, Tensors], None] | None = None
    clip: Callable[[Config, WSVADModule], NDArray[Any]] | None = None
    small_step: Callable[[Config, WSVADModule], torch.optim.Optimizer] | None = None
    extra: Callable[[Config, Any, Tensors], Outputs] = lambda config, module, losses: {}
    after: Callable[[Config, Any, Tensors], Outputs] = lambda config, module, losses: {}
    further: Callable[[Manifest, Tensors, Build], Outputs] = lambda manifest, inputs, build: {}
    norm_dtype: torch.dtype = field(default=torch.float64)

    def compute(self, manifest: Manifest, weights: Tensors, inputs: Tensors) -> Outputs:
        """Train a step with every training batch, score every other one."""
        config = manifest["config"] | self.sizes(weights)

        with patch.multiple(Tensor, normal_=zero, uniform_=zero):  # drawing what is replaced takes seconds
            loaded = self.build(config, inputs)
        load_official(loaded.net, weights, self.table)
        if self.complete:
            self.complete(config, inputs, loaded, weights)

        def build() -> WSVADModule:
            return copy.deepcopy(loaded)

        found: Outputs = {}
        # The cases replace every random draw; dropout is switched off by `build`.
        with patch("torch.randn_like", torch.zeros_like):
            for prefix, batch in self.batches(manifest, inputs).items():
                if batch.labels.any():
                    module = build().train()
                    with computed_once(module, self.frozen(config)):
                        outputs = self.train(manifest, config, module, batch)
                else:
                    module = build().eval()
                    with torch.no_grad(), computed_once(module, self.passes):
                        outputs = self.evaluate(module, batch)
                found |= {f"{prefix}/{key}": output for key, output in outputs.items()}
            found |= self.further(manifest, inputs, build)
        return found

    def train(self, manifest: Manifest, config: Config, module: WSVADModule, batch: WSVADBatch) -> Outputs:
        """Compute losses, outputs, gradient norms, and the loss after a step of the recipe's optimizer."""
        optimizer = self.optimizer(config, module)
        copied = module if self.passes else copy.deepcopy(module)
        with computed_once(module, self.passes):
            losses = module.compute_losses(batch)
            outputs = self.train_outputs(copied, batch)
        found = {f"out/{key}": value for key, value in outputs.items()}
        for term, value in losses.items():
            weight = module.loss_weights[term] if term in self.weighted else 1.0
            found[f"loss/{term}"] = weight * value.detach().numpy()
        total = module.total_loss(losses)
        found["loss/total"] = total.detach().numpy()
        torch.autograd.backward(total)
        found["grad_norm"] = gradient_norms(manifest, self.table, module, self.norm_dtype)
        if self.clip:
            found["grad_total_norm"] = self.clip(config, module)
            found["grad_norm_clipped"] = gradient_norms(manifest, self.table, module, self.norm_dtype)
        found |= self.extra(config, module, losses)
        if self.small_step:
            with unchanged(module):
                losses = losses_after(self.small_step(config, module), module, batch)
            found["loss_after_small_step"] = module.total_loss(losses).numpy()
        losses = losses_after(optimizer, module, batch)
        found["loss_after_step"] = module.total_loss(losses).numpy()
        return found | self.after(config, module, losses)


def adam(config: Config, module: WSVADModule) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe that trains all of a network by one Adam."""
    assert config["optimizer"].split()[0] == "Adam"
    return torch.optim.Adam(
        module.parameters(),
        lr=config["lr"],
        betas=tuple(config["betas"]),
        weight_decay=config["weight_decay"],
        fused=True,
    )


@contextmanager
def computed_once(module: WSVADModule, passes: Iterable[str]) -> Iterator[None]:
    """Let methods of a module, by dotted names, give again what they gave for the same argument."""
    with ExitStack() as stack:
        for path in passes:
            owner, _, name = path.rpartition(".")
            holder = attrgetter(owner)(module) if owner else module
            stack.enter_context(patch.object(holder, name, remembering(getattr(holder, name))))
        yield


def remembering(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a function of one argument that remembers its results, and gives them again without gradients."""
    known: list[tuple[Any, Any]] = []

    def call(given: Any) -> Any:
        for before, result in known:
            if before is given or (isinstance(given, Tensor) and torch.equal(before, given)):
                return detached(result)
        known.append((given, result := function(given)))
        return result

    return call


def detached(result: Any) -> Any:
    """Take a result, a tensor or what has tensors as fields, out of the graph."""
    if is_dataclass(result) and not isinstance(result, type):
        return replace(result, **{key: detached(value) for key, value in vars(result).items()})
    if hasattr(result, "_replace"):  # a named tuple
        return result._replace(**{key: detached(value) for key, value in result._asdict().items()})
    return result.detach() if isinstance(result, Tensor) else result


def gradient_norms(
    manifest: Manifest, table: KeyTable, module: WSVADModule, dtype: torch.dtype = torch.float64
) -> NDArray[np.float64]:
    """Compute the norm of every gradient in the manifest's order, NaN where there is none."""
    parameters = dict(module.net.named_parameters())
    gradients = (parameters.get(table.to_ours(entry["name"]) or "") for entry in manifest["params"])
    norms = [np.nan if p is None or p.grad is None else p.grad.to(dtype).norm().item() for p in gradients]
    return np.array(norms)


def losses_after(optimizer: torch.optim.Optimizer, module: WSVADModule, batch: WSVADBatch) -> Tensors:
    """Compute the losses after a step along the present gradients."""
    optimizer.step()
    with torch.no_grad():
        return module.compute_losses(batch)


@contextmanager
def unchanged(module: WSVADModule) -> Iterator[None]:
    """Give what learns, and the buffers, their values back at the end."""
    learning = (parameter.data for parameter in module.parameters() if parameter.requires_grad)
    before = [(tensor, tensor.clone()) for tensor in (*learning, *module.buffers())]
    yield
    for tensor, value in before:
        tensor.copy_(value)


def zero(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    """Stand for a drawing from random numbers."""
    return tensor.zero_()
