"""A trained model as one module without a store or a trainer: stored streams in, scores out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wsvad_lightning.data.loading.transform import FeatureTransform
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.serving.preparation import Preparation
from wsvad_lightning.types import StreamShape, WSVADBatch


class TransformModule(nn.Module):
    """What :class:`FeatureTransform` computes, on tensors.

    Args:
        transform: with its statistics.
    """

    center: Tensor
    axes: Tensor

    def __init__(self, transform: FeatureTransform) -> None:
        super().__init__()
        self.names = list(transform.streams)
        self.normalize, self.clip, self.crops = transform.normalize, transform.clip, transform.crops
        self.projects = transform.pca_dim is not None
        state = transform.state_dict()
        for place, name in enumerate(self.names):
            for part in ("mean", "deviation"):
                self.register_buffer(f"{part}_{place}", state.get(f"{name}/{part}"))
        for part in ("center", "axes"):
            self.register_buffer(part, state.get(part))

    def forward(self, *streams: Tensor) -> Tensor:
        """Transform the streams of a video, ``[T, N, D]`` each, to ``[T, N', D']``."""
        merged = [self._merge(self._scale(place, stream)) for place, stream in enumerate(streams)]
        joined = merged[0]
        if len(merged) > 1:
            count = max(part.shape[1] for part in merged)  # one view is joined to each of several
            joined = torch.cat([part.expand(-1, count, -1) for part in merged], dim=-1)
        return (joined - self.center) @ self.axes if self.projects else joined

    def _scale(self, place: int, features: Tensor) -> Tensor:
        if self.normalize == "l2":
            norms = features.norm(dim=-1, keepdim=True)
            features = features / norms.where(norms > 0, torch.ones_like(norms))
        elif self.normalize != "none":
            mean, deviation = self.get_buffer(f"mean_{place}"), self.get_buffer(f"deviation_{place}")
            features = (features - mean) / deviation
        return features if self.clip is None else features.clamp(-self.clip, self.clip)

    def _merge(self, features: Tensor) -> Tensor:
        if self.crops == "mean":
            return features.mean(dim=1, keepdim=True)
        if self.crops == "max":
            return features.amax(dim=1, keepdim=True)
        return features.flatten(1)[:, None] if self.crops == "concat" else features


class ScoringModule(nn.Module):
    """A method with the transform of its features: the stored streams of one video to its scores.

    Args:
        model: the method, with its weights.
        preparation: of its features, whose shapes are known.

    Attributes:
        inputs: shapes of the streams by name, in order; views are None where any number will do.
        outputs: names of what comes out.
    """

    def __init__(self, model: WSVADModule, preparation: Preparation) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.preparation = preparation
        self.features = TransformModule(preparation.transform)
        self.further = nn.ModuleList(TransformModule(one) for one in preparation.further.values())
        self.inputs = {name: self._input(name) for name in preparation.streams}
        self.outputs = ["scores", "classes"] if model.classes else ["scores"]

    def _input(self, name: str) -> StreamShape:
        """Give the shape of a stream: statistics of each view fix how many there are, and so does joining."""
        transform = self.preparation.further.get(name, self.preparation.transform)
        info, required = transform.streams[name], self.model.requires.streams.get(name)
        if transform.normalize == "zscore" or transform.crops == "concat" or len(transform.streams) > 1:
            return StreamShape(info.dim, len(info.views))
        return required or StreamShape(info.dim)

    def forward(self, *streams: Tensor) -> tuple[Tensor, ...]:
        """Score a video.

        Args:
            streams: ``[T, N, D]`` each, as stores hold them, in the order of ``inputs``.

        Returns:
            Scores ``[T]`` and, where the method knows classes, their probabilities ``[T, 1 + C]``.
        """
        given = dict(zip(self.inputs, streams, strict=True))
        features = self.features(*(given[name] for name in self.features.names))
        pairs = zip(self.preparation.further, self.further, strict=True)
        return self.score(features, {name: change(given[name]) for name, change in pairs})

    def reference(self, *streams: Tensor) -> tuple[Tensor, ...]:
        """Score a video as the suite does, its features transformed by what the training used."""
        given = {name: stream.numpy() for name, stream in zip(self.inputs, streams, strict=True)}
        of_features = self.preparation.transform
        features = torch.tensor(of_features({name: given[name] for name in of_features.streams}))
        pairs = self.preparation.further.items()
        further = {name: torch.tensor(change({name: given[name]})) for name, change in pairs}
        with torch.no_grad():
            return self.score(features, further)

    def score(self, features: Tensor, further: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Score a video whose features ``[T, N, D]`` and further streams are transformed."""
        length = torch.full((1,), features.shape[0])
        streams = {name: stream[None] for name, stream in further.items()}
        batch = WSVADBatch(features.transpose(0, 1)[None], length, torch.zeros(1), ["video"], streams)
        scores, classes = self.model.reported(batch)
        return (scores[0].float(),) if classes is None else (scores[0].float(), classes[0].float())


def scoring_module(model: WSVADModule, preparation: Preparation, path: str) -> ScoringModule:
    """Make the module of a checkpoint.

    Args:
        model: with the weights of the checkpoint.
        preparation: of its features.
        path: of the checkpoint, for messages.

    Raises:
        WSVADError: if the checkpoint does not imply the shapes of the streams.
    """
    shapes = preparation.recorded_shapes()
    if shapes is None:
        problem = "joins several streams or views, and does not record how many channels each of them has"
        raise WSVADError("--ckpt_path", path, problem, "Train with data.normalize=zscore")
    preparation.build(shapes)
    return ScoringModule(model, preparation)
