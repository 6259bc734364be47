"""Losses of class scores."""

import torch

from wsvad_lightning.losses import class_cross_entropy


def test_several_classes_share_the_weight_of_a_video() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    targets = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    log = logits.log_softmax(dim=-1)
    expected = -((log[0, 1] + log[0, 2]) / 2 + log[1, 0]) / 2
    torch.testing.assert_close(class_cross_entropy(logits, targets), expected)


def test_a_video_of_unknown_class_does_not_count() -> None:
    logits, targets = torch.randn(2, 3), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(
        class_cross_entropy(logits, targets), class_cross_entropy(logits[:1], targets[:1])
    )
    assert class_cross_entropy(logits, torch.zeros(2, 3)) == 0


def test_smoothed_targets_give_every_class_a_share() -> None:
    logits, targets = torch.randn(3, 4), torch.eye(4)[[0, 2, 2]]
    targets[2] = 0  # of unknown class
    smooth = torch.tensor([[0.925, 0.025, 0.025, 0.025], [0.025, 0.025, 0.925, 0.025]])
    expected = -(smooth * logits[:2].log_softmax(dim=-1)).sum(dim=-1).mean()
    torch.testing.assert_close(class_cross_entropy(logits, targets, smoothing=0.1), expected)
