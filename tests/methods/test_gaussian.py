"""The Gaussian of normal motion."""

import pytest
import torch
import yaml

from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.configs import find_config
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.flow import STATISTICS
from wsvad_lightning.methods import Gaussian


def test_the_patch_that_deviates_most_scores() -> None:
    method = Gaussian(3, channel=1)
    features = torch.zeros(2, 2, 3)  # crops, snippets, channels
    features[0, 0, 1], features[1, 0, 1], features[:, 1, 1] = 1.0, 5.0, -2.0
    features[..., 2] = 99.0  # another channel
    torch.testing.assert_close(method.score(evaluation_batch(features)), torch.tensor([[0.5, 0.0]]))


def test_likelihood_is_highest_at_the_moments_of_normal_videos() -> None:
    torch.manual_seed(0)
    normal, abnormal = 2 + 3 * torch.randn(2, 1, 200, 4), torch.full((2, 1, 200, 4), 50.0)
    batch = training_batch(normal, abnormal)
    method = Gaussian(4)
    with torch.no_grad():
        method.net.mean.copy_(normal.mean(dim=(0, 1, 2)))
        method.net.log_deviation.copy_(normal.std(dim=(0, 1, 2), correction=0).log())
    method.compute_losses(batch)["likelihood"].backward()  # type: ignore[no-untyped-call]  # of PyTorch
    for parameter in method.parameters():
        torch.testing.assert_close(parameter.grad, torch.zeros(4), atol=1e-6, rtol=0)


def test_the_recipe_takes_the_statistic_that_it_names() -> None:
    recipe = yaml.safe_load(find_config("ped2_gaussian.yaml").read_text())
    assert STATISTICS[recipe["model"]["init_args"]["channel"]] == "q95"
    with pytest.raises(WSVADError, match="features have 4 channels"):
        Gaussian(4, channel=4)
