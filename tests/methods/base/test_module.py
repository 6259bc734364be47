from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import RTFM, URDMU
from wsvad_lightning.methods.base import MagnitudeMIL, WSVADModule
from wsvad_lightning.types import FeatureRequirements, StoreInfo, StreamInfo, StreamShape


def test_weights_override_by_term() -> None:
    module = URDMU(feature_dim=4, hidden_dim=8, loss_weights={"kl": 0.5})
    assert module.loss_weights["kl"] == 0.5
    assert module.loss_weights["video_bce"] == 1.0
    losses = {term: torch.tensor(1.0) for term in module.loss_weights}
    torch.testing.assert_close(module.total_loss(losses).item(), 1.0 + 4 * 0.1 + 0.1 + 0.5 + 0.0001)


def test_unknown_term_is_named() -> None:
    with pytest.raises(WSVADError, match="'kk'.*no such loss term.*video_bce"):
        URDMU(feature_dim=4, loss_weights={"kk": 1.0})


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (
            FeatureRequirements(streams={"text": StreamShape(4)}),
            r"needs the streams \['text'\].*holds \['features'\]",
        ),
        (
            FeatureRequirements(streams={"features": StreamShape(4, num_views=6)}),
            "needs features as 6 views of 4 channels, the store holds 1 of 4",
        ),
        (FeatureRequirements(text_aligned=True), "text-aligned.*holds 4-d i3d"),
        (FeatureRequirements(classes=True), "names of the anomaly classes"),
    ],
)
def test_requirements_name_both_sides(needs: FeatureRequirements, message: str) -> None:
    info = StoreInfo("s.h5", "i3d", 4, 1, {"features": StreamInfo(4, ("full",))})
    with pytest.raises(WSVADError, match=message):
        needs.check("Method", info)


def test_the_setting_that_moves_features_away_from_texts_is_named() -> None:
    moved = StoreInfo("s.h5", "clip", 4, text_aligned=True, moved_by=("data.normalize", "zscore"))
    FeatureRequirements().check("Method", moved)
    with pytest.raises(WSVADError, match="^data.normalize='zscore': Method compares features with texts"):
        FeatureRequirements(text_aligned=True).check("Method", moved)


def test_of_two_reasons_the_features_come_first() -> None:
    info = StoreInfo("s.h5", "i3d", 4, streams={"features": StreamInfo(4, ("full",))})
    with pytest.raises(WSVADError, match="text-aligned"):
        FeatureRequirements({"text": StreamShape(4)}, text_aligned=True).check("Method", info)


def test_satisfied_requirements_pass() -> None:
    info = StoreInfo("s.h5", "clip", 4, 1, {"text": StreamInfo(4, ("full",))}, True, ("fight",))
    FeatureRequirements({"text": StreamShape(4)}, text_aligned=True, classes=True).check("Method", info)


@pytest.mark.parametrize("name", methods.__all__)
def test_arguments_reach_the_parser_with_help_and_the_checkpoint_without_the_optimizers(name: str) -> None:
    method = getattr(methods, name)
    parser = ArgumentParser()
    arguments = set(parser.add_class_arguments(method))
    assert {"feature_dim", "loss_weights", "optimizer", "lr_scheduler"} <= arguments
    assert set(method().hparams) == arguments - set(method.not_saved)
    described = {action.dest: action.help for action in parser._actions}
    assert all(described[argument] for argument in arguments)


def test_a_constructor_passes_on_what_it_does_not_name() -> None:
    module = RTFM(8, k=2, margin=5.0, exclude=0.5, loss_weights={"cls": 2.0})
    assert isinstance(module, MagnitudeMIL)
    assert (module.select.k, module.select.keep.p, module.margin) == (2, 0.5, 5.0)
    assert module.loss_weights["cls"] == 2.0
    with pytest.raises(TypeError, match="kk"):
        RTFM(8, kk=2)


class Untyped(WSVADModule):
    """Names the optimizer, and not what it is."""

    def __init__(  # type: ignore[no-untyped-def]  # what this is about
        self,
        feature_dim: int = 8,
        optimizer=torch.optim.Adam,  # noqa: ANN001
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        self.net = nn.Linear(feature_dim, 1)


def test_an_optimizer_without_a_type_is_named() -> None:
    """The parser leaves what is given for an argument without a type as it is: text."""
    Untyped()
    with pytest.raises(WSVADError, match=r"model.optimizer=.*constructor of Untyped.*\*\*kwargs"):
        Untyped(optimizer="torch.optim.Adam")


def test_a_checkpoint_makes_the_module_again(tmp_path: Path) -> None:
    module = URDMU(feature_dim=4, hidden_dim=8, normal_slots=18)
    checkpoint = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    module.on_save_checkpoint(checkpoint)
    torch.save({**checkpoint, "pytorch-lightning_version": "2.5.0"}, tmp_path / "x.ckpt")
    again = URDMU.load_from_checkpoint(tmp_path / "x.ckpt")
    assert again.hparams == module.hparams
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in module.state_dict().items())
