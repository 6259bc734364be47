"""RTFM: what its parity cases do not show."""

import torch

from tests.parity.batches import training_batch
from wsvad_lightning.methods import RTFM


def make_batch(videos: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    normal, abnormal = torch.randn(2, videos, 2, 6, 8, generator=generator)
    return normal, abnormal


def test_smoothing_each_video_for_itself_drops_the_border() -> None:
    batch = training_batch(*make_batch())
    terms = []
    for across in (True, False):
        torch.manual_seed(0)
        method = RTFM(feature_dim=8, dropout=0.0, exclude=0.0, smooth_across_videos=across)
        terms.append(method.compute_losses(batch))
    scores = method.net(batch.features).scores
    border = (scores[3, 0] - scores[2, -1]).square()
    torch.testing.assert_close(terms[0]["smooth"] - terms[1]["smooth"], border)


def test_excluded_snippets_do_not_stand_for_their_video() -> None:
    method = RTFM(feature_dim=8, k=1, exclude=1.0)
    index = method.select(torch.rand(4, 2, 6, 8))
    assert (index == index[0]).all()  # every magnitude is zero
