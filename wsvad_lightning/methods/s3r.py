"""S3R: self-supervised sparse representation (Wu et al., ECCV 2022).

A dictionary of what normal training videos are made of is learnt before training, see
:mod:`wsvad_lightning.prepare.s3r_dictionary`. Snippets are put together from its atoms; what is normal about
a video comes out well, what is anomalous does not. Channels in which a video and its reconstruction differ
are let through for the one and held back for the other.

    R = softmax(Q(x) K(atoms)^T) V(atoms)                     reconstruction, en-normal
    X, Y = dropout(multi-scale(x)), dropout(multi-scale(R))   temporal context, two networks
    g = sigmoid(mlp(mean_t X - mean_t Y))                     channel gate, de-normal
    X, Y = X g, Y (1 - g)
    s = mean_crops(sigmoid(mlp(X)))                           score
    m = mean_crops(sigmoid(mlp(mean_t Y)))                    score of the reconstruction, one per video
    top = the k largest of mean_crops(||X||), in training among a random part of the snippets

Loss terms (names as in ``loss_weights``):
    cls, magnitude, smooth, sparsity   as RTFM's, on s and X
    macro                              BCE of m against 0, for normal and abnormal videos alike

Numbers equal the authors' code, with its quirks: attention is not scaled by the square root of its channels,
GroupNorm in the multi-scale networks makes a score depend on the whole length of its video, and smoothness
and sparsity sum over the batch as RTFM's. Deviations: any number of snippets and channels; k is clamped to T.
Two projections that the authors' state dict holds and nothing uses are left out.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import Dropout, MultiScaleTemporal, ScoreHead, init_xavier
from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.magnitude import MagnitudeMIL, MagnitudeOutput
from wsvad_lightning.methods.base.prepared import PreparedModule
from wsvad_lightning.prepare import s3r_dictionary
from wsvad_lightning.types import FeatureRequirements, WSVADBatch

DICTIONARY = s3r_dictionary.NAME
GATE_REDUCTION = 16


@dataclass(frozen=True)
class S3ROutput(MagnitudeOutput):
    """What a pass over videos yields; the features are gated.

    Attributes:
        macro_scores: ``[B]`` in [0, 1], how anomalous the reconstruction is; the mean over crops.
    """

    macro_scores: Tensor


class DictionaryAttention(nn.Module):
    """Puts snippets together from the atoms of a dictionary: attention without scaling.

    Args:
        feature_dim: D, channels of snippets and atoms.
        attention_dim: channels in which they are compared.
    """

    def __init__(self, feature_dim: int, attention_dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(feature_dim, attention_dim)
        self.key = nn.Linear(feature_dim, attention_dim)
        self.value = nn.Linear(feature_dim, feature_dim)

    def weights(self, snippets: Tensor, atoms: Tensor) -> Tensor:
        """Compare snippets ``[..., D]`` with atoms ``[S, D]``: ``[..., S]`` float32, sums of 1."""
        similarity: Tensor = self.query(snippets) @ self.key(atoms).T
        return similarity.float().softmax(dim=-1)

    def forward(self, snippets: Tensor, atoms: Tensor) -> Tensor:
        """Reconstruct ``[..., D]``."""
        value: Tensor = self.value(atoms)

        def read(part: Tensor) -> Tensor:
            return self.weights(part, atoms).to(value.dtype) @ value

        return in_blocks(read, snippets, len(atoms) + self.query.out_features)


class S3RNet(nn.Module):
    """The network, usable without Lightning: ``S3RNet()(features).scores``, after ``use_dictionary``.

    Args:
        feature_dim: D, channels of the features.
        attention_dim: channels in which snippets are compared with atoms.
        dropout: probability after the temporal networks and in the score heads.

    Attributes:
        dictionary: ``[S, D]`` atoms; none in a new network.
    """

    dictionary: Tensor

    def __init__(self, feature_dim: int = 2048, attention_dim: int = 512, dropout: float = 0.7) -> None:
        super().__init__()
        self.reconstruct = DictionaryAttention(feature_dim, attention_dim)
        self.video_context = MultiScaleTemporal(feature_dim, norm="group")
        self.normal_context = MultiScaleTemporal(feature_dim, norm="group")
        self.dropout = Dropout(dropout)
        reduced = max(1, feature_dim // GATE_REDUCTION)
        self.to_gate = nn.Sequential(
            nn.Linear(feature_dim, reduced), nn.ReLU(), nn.Linear(reduced, feature_dim), nn.Sigmoid()
        )
        self.to_score = ScoreHead(feature_dim, dropout)
        self.to_macro_score = ScoreHead(feature_dim, dropout)
        self.register_buffer("dictionary", torch.empty(0, feature_dim), persistent=False)
        init_xavier(self)

    def use_dictionary(self, atoms: Tensor) -> None:
        """Reconstruct from these atoms from now on.

        Args:
            atoms: ``[S, D]``.

        Raises:
            WSVADError: if there are none, or of another number of channels.
        """
        feature_dim = self.dictionary.shape[1]
        if atoms.ndim != 2 or len(atoms) == 0 or atoms.shape[1] != feature_dim:
            problem = f"its shape is {tuple(atoms.shape)} where the features have {feature_dim} channels"
            remedy = f"Give atoms of the shape [S, {feature_dim}], prepared from features like these"
            raise WSVADError("dictionary", DICTIONARY, problem, remedy)
        self.dictionary = atoms.to(self.dictionary)

    def encode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Add temporal context to ``[B, N, T, D]`` features and their reconstruction; X and Y, not yet gated.

        Raises:
            WSVADError: if the dictionary is missing.
        """
        if len(self.dictionary) == 0:
            remedy = "Load a checkpoint that carries one, train, or call use_dictionary"
            raise WSVADError("dictionary", None, "is missing", remedy)
        normal = self.dropout(self.normal_context(self.reconstruct(features, self.dictionary)))
        video = self.dropout(self.video_context(features))
        return video, normal

    def gate(self, video: Tensor, normal: Tensor) -> Tensor:
        """Weigh the channels by how much X and Y differ: ``[B, N, 1, D]`` in [0, 1]."""
        gate: Tensor = self.to_gate(video.mean(dim=2, keepdim=True) - normal.mean(dim=2, keepdim=True))
        return gate

    def forward(self, features: Tensor) -> S3ROutput:
        """Score videos of any length: ``[B, N, T, D]``."""
        video, normal = self.encode(features)
        gate = self.gate(video, normal)
        macro_scores = self.to_macro_score(normal.mean(dim=2) * (1 - gate.squeeze(2))).mean(dim=1)
        video = video * gate
        return S3ROutput(video, self.to_score(video), macro_scores)


class S3R(PreparedModule, MagnitudeMIL):
    """S3R as a LightningModule; the recipe of the paper is in ``ucf_s3r.yaml``.

    The dictionary is learnt when training starts, unless it already is next to the store, and is saved in
    the checkpoint. A checkpoint without one, imported from the authors' weights, takes that of the store it
    is used with.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        attention_dim: channels in which snippets are compared with atoms.
        fraction: atoms of the dictionary for every normal training video.
        dictionary: ``.npy`` file of atoms ``[S, D]`` to take instead of learning them, such as the authors'.
        dropout: probability in the network.
        **kwargs: arguments of :class:`MagnitudeMIL`.
    """

    requires = FeatureRequirements(prepared=(DICTIONARY,))
    default_loss_weights: ClassVar[dict[str, float]] = {**MagnitudeMIL.default_loss_weights, "macro": 1.0}

    not_saved: ClassVar[tuple[str, ...]] = (*MagnitudeMIL.not_saved, "dictionary")

    net: S3RNet

    def __init__(
        self,
        feature_dim: int = 2048,
        attention_dim: int = 512,
        fraction: float = 0.5,
        dictionary: str | None = None,
        dropout: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.fraction, self.dictionary = fraction, dictionary
        self.net = S3RNet(feature_dim, attention_dim, dropout)

    def encode(self, batch: WSVADBatch) -> S3ROutput:
        """Pass a batch through the network."""
        out: S3ROutput = self.net(batch.features)
        return out

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        out = self.encode(batch)
        macro = probability_bce(out.macro_scores, 0.0)
        return {**self.magnitude_terms(out, batch.labels), "macro": macro}

    def prepare(self, data: WSVADDataModule) -> None:
        """Put the dictionary next to the store, unless it is there."""
        s3r_dictionary.prepare(data, self.fraction, self.dictionary)

    def take_prepared(self, name: str, values: Tensor) -> None:
        """Reconstruct from the dictionary that was prepared from the store."""
        self.net.use_dictionary(values)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the dictionary, so that other stores can be scored without it."""
        super().on_save_checkpoint(checkpoint)
        if len(self.net.dictionary):
            checkpoint[DICTIONARY] = self.net.dictionary.cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the dictionary over; where there is none, that of the store."""
        super().on_load_checkpoint(checkpoint)
        if DICTIONARY in checkpoint:
            self.net.use_dictionary(checkpoint[DICTIONARY])
        elif self._trainer is not None:  # not read by `load_from_checkpoint`, away from any store
            self.load_prepared()
