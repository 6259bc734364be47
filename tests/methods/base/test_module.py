import pytest
import torch

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import URDMU
from wsvad_lightning.types import FeatureRequirements, StoreInfo, StreamForm, StreamInfo


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
            FeatureRequirements(streams={"text": StreamForm(4)}),
            r"needs the streams \['text'\].*holds \['features'\]",
        ),
        (
            FeatureRequirements(streams={"features": StreamForm(4, num_views=6)}),
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
        FeatureRequirements({"text": StreamForm(4)}, text_aligned=True).check("Method", info)


def test_satisfied_requirements_pass() -> None:
    info = StoreInfo("s.h5", "clip", 4, 1, {"text": StreamInfo(4, ("full",))}, True, ("fight",))
    FeatureRequirements({"text": StreamForm(4)}, text_aligned=True, classes=True).check("Method", info)
