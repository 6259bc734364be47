"""Names what happens in a video by its nearest neighbour (Sultani, Chen and Shah, CVPR 2018).

Their experiments on recognising activities describe a video by the mean of its snippets' features, scaled to
length 1. It takes the class of the nearest training video, so only classes of whole videos are needed. One
deviation: snippets are weighted by their scores, as most of a clip is normal; the authors weight all alike.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.metrics.curves import ALARM
from wsvad_lightning.reporting.figures import VideoCurve
from wsvad_lightning.timeline import Event, runs


def name_videos(net: nn.Module, data: WSVADDataModule) -> dict[str, str]:
    """Give the class of the nearest abnormal training video, for each test video.

    Args:
        net: scores features ``[B, N, T, D]``.
        data: set up to test.
    """
    known = [name for name in data.parts["train"] if data.annotations[name].label == 1]
    described = describe_videos(net, data, known)
    tested = data.parts["test"]
    nearest = (describe_videos(net, data, tested) @ described.T).argmax(dim=1)
    classes = [data.annotations[name].classes[0] for name in known]
    return {name: classes[place] for name, place in zip(tested, nearest.tolist(), strict=True)}


@torch.inference_mode()
def describe_videos(net: nn.Module, data: WSVADDataModule, names: Iterable[str]) -> Tensor:
    """Describe videos by ``[V, D]`` of length 1: means of their features, weighted by their scores."""
    means = []
    for name in names:
        views = torch.tensor(data.read(name), dtype=torch.float32).transpose(0, 1)  # [N, T, D]
        means.append(net(views[None])[0] @ views.mean(dim=0))
    return F.normalize(torch.stack(means), dim=1)


def find_alarms(curve: VideoCurve, name: str) -> tuple[Event, ...]:
    """Find the runs of frames that score above 0.5: events of a class, scored by their mean."""
    return tuple(
        Event(start, end, name, float(curve.scores[start:end].mean()))
        for start, end in runs(curve.scores > ALARM)
    )
