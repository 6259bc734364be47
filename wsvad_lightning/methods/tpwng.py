"""TPWNG: text prompt with normality guidance (CVPR 2024, arXiv 2404.08531).

CLIP matches snippets with texts of the classes. How an abnormal video matches its class and, with the help of
a normal video, the text of "Normal" gives labels of its snippets, on which a classifier with temporal context
trains itself.

    t_c = text tower(learnt vectors, name of class c)         [1 + C, D]; frozen but for its last projection
    Q = softmax(X_n . t_0) X_n                                normality visual prompt (NVP), [D]
    t' = ffn([t_0; Q]) + t_0                                  Normal as shown by the normal video of a pair
    S_nn = cos(X_n, t_0)      S_na = cos(X_n, t_1 .. t_C)     normal videos X_n
    S_an = cos(X_a, t')       S_aa = cos(X_a, t_class)        abnormal videos X_a
    psi = alpha m(S_aa) + (1 - alpha) (1 - m(S_an))           m: min-max over the video
    label = 1 where psi > theta, 0 elsewhere and in normal videos
    score = mean_crops(sigmoid(linear(transformer(X))))       layers of AdaptiveSpanAttention

Loss terms (names as in ``loss_weights``):
    rank_abnormal   hinge with margin 1: the highest S_aa above the highest S_na
    rank_normal     hinge with margin 1: the highest S_nn above the highest S_na
    inconsistency   |cosine| of the curves S_an and S_aa
    bce             BCE of the scores against the labels, both halves
    sparsity        mean score of abnormal videos
    smooth          squared differences of neighbouring scores, sum over an abnormal video

No code was released with the paper. Its own are all of the above but for what follows, alpha 0.2, theta 0.55
(UCF-Crime) or 0.35 (XD-Violence), the ramp of 256, eight learnt vectors and the weights of the loss. Chosen
here:

* Of several classes a snippet matches the one that it matches most; of an unknown class, the most of all.
* The second ranking has the margin of the first; S_na is the highest over all classes.
* The FFN of the NVP has one hidden layer of D channels and GELU; its softmax has no temperature.
* Two layers of 8 heads of 64 channels; sparsity and smoothness as they are above.
* The learnt vectors are shared by the classes; each crop is a row of its own with labels of its own.
* ``classify`` shares a score out among the classes by softmax(cos(x, t_c) / 0.01), as CLIP classifies.
"""

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.layers import AdaptiveSpanAttention, LearnedPrompt, PreNormLayer
from wsvad_lightning.losses import probability_bce, ranking_hinge, smoothness
from wsvad_lightning.methods.base.prompted import PromptedModule, PromptedNet
from wsvad_lightning.ops import cosine, halves, min_max
from wsvad_lightning.types import WSVADBatch

VECTORS = 8  # learnt before the name of a class
HEADS = 8
HEAD_DIM = 64
TEMPERATURE = 0.01


class Matches(NamedTuple):
    """How the crops of b normal and b abnormal videos match the texts, float32.

    Attributes:
        normal_normal: ``[b, N, T]`` S_nn.
        normal_anomaly: ``[b, N, T, C]`` S_na.
        abnormal_normal: ``[b, N, T]`` S_an.
        abnormal_own: ``[b, N, T]`` S_aa.
    """

    normal_normal: Tensor
    normal_anomaly: Tensor
    abnormal_normal: Tensor
    abnormal_own: Tensor


class TPWNGNet(PromptedNet):
    """The network; its classes are given to ``prompt``.

    Args:
        feature_dim: D, channels of the features.
        layers: of the transformer.
        ramp: snippets over which attention fades out beyond a span.
        dropout: probability inside the transformer.
        text_dim: channels of the text tower's token vectors.
    """

    prompt: LearnedPrompt

    def __init__(
        self,
        feature_dim: int = 512,
        layers: int = 2,
        ramp: int = 256,
        dropout: float = 0.1,
        text_dim: int = 512,
    ) -> None:
        super().__init__()
        self.prompt = LearnedPrompt(text_dim, VECTORS, 0, projected_dim=feature_dim)
        self.guide = nn.Sequential(
            nn.Linear(2 * feature_dim, feature_dim), nn.GELU(), nn.Linear(feature_dim, feature_dim)
        )
        self.context = nn.Sequential(
            *(
                PreNormLayer(
                    AdaptiveSpanAttention(feature_dim, HEADS, HEAD_DIM, ramp, dropout),
                    feature_dim,
                    4 * feature_dim,
                    dropout,
                )
                for _ in range(layers)
            )
        )
        self.to_logit = nn.Linear(feature_dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Score every crop by itself: ``[B, N, T, D]`` to ``[B, N, T]`` in [0, 1], float32."""
        scores: Tensor = self.to_logit(self.context(features)).squeeze(-1).float().sigmoid()
        return scores

    def match(self, features: Tensor, own: Tensor) -> Matches:
        """Compare features with the texts.

        Args:
            features: ``[B, N, T, D]``, the normal half first.
            own: ``[B/2, C]`` bool, classes of the abnormal videos; a video without any may be of each.
        """
        texts = self.prompt()
        normal, abnormal = halves(features)
        guided = self.guide_normal(texts[0], normal)
        other = own.any(dim=1, keepdim=True) & ~own
        anomalies = cosine(abnormal, texts[1:]).masked_fill(other[:, None, None], -torch.inf)
        return Matches(
            normal_normal=cosine(normal, texts[:1]).squeeze(-1),
            normal_anomaly=cosine(normal, texts[1:]),
            abnormal_normal=cosine(abnormal, guided[..., None, :]).squeeze(-1),
            abnormal_own=anomalies.amax(dim=-1),
        )

    def guide_normal(self, text: Tensor, features: Tensor) -> Tensor:
        """Add to the text of Normal ``[D]`` what each of ``[..., T, D]`` shows of it: ``[..., D]``."""
        prompt = normality_prompt(text, features).to(text)
        unguided = text.expand_as(prompt)
        guided: Tensor = self.guide(torch.cat([unguided, prompt], dim=-1)) + unguided
        return guided


def normality_prompt(text: Tensor, features: Tensor) -> Tensor:
    """Average snippets ``[..., T, D]`` by how they match a text ``[D]``: softmax(X . t) X, ``[..., D]``."""
    weights = (features.float() @ text.float()).softmax(dim=-1)
    return (weights[..., None, :] @ features.float()).squeeze(-2)


def pseudo_labels(own: Tensor, normal: Tensor, alpha: float, theta: float) -> Tensor:
    """Label the snippets of abnormal videos (PLG).

    Args:
        own: ``[..., T]`` S_aa, how they match their class.
        normal: ``[..., T]`` S_an, how they match the guided Normal.
        alpha: weight of the former, below 1.
        theta: above which a snippet is anomalous.

    Returns:
        ``[..., T]`` 0 or 1.
    """
    psi = alpha * min_max(own) + (1 - alpha) * (1 - min_max(normal))
    return (psi > theta).float()


class TPWNG(PromptedModule):
    """TPWNG as a LightningModule; recipes are in ``ucf_tpwng.yaml`` and ``xd_tpwng.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        layers: of the transformer.
        alpha: weight of the match with the class in the labels, against that with Normal.
        theta: above which a snippet is labelled anomalous.
        ramp: snippets over which attention fades out beyond a span.
        dropout: probability inside the transformer.
        text_dim: channels of its token vectors; None for as many as the features have.
        **kwargs: arguments of :class:`PromptedModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "rank_abnormal": 1.0,
        "rank_normal": 1.0,
        "inconsistency": 1.0,
        "bce": 1.0,
        "sparsity": 0.1,
        "smooth": 0.01,
    }

    net: TPWNGNet

    def __init__(
        self,
        feature_dim: int = 512,
        layers: int = 2,
        alpha: float = 0.2,
        theta: float = 0.55,
        ramp: int = 256,
        dropout: float = 0.1,
        text_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.alpha, self.theta = alpha, theta
        self.net = TPWNGNet(feature_dim, layers, ramp, dropout, text_dim or feature_dim)

    def text_of(self, name: str) -> str:
        """Give a class in words."""
        return self.prompts.get(name, name.capitalize())

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features)
        return scores.mean(dim=1)

    def classify(self, batch: WSVADBatch) -> Tensor:
        """Give probabilities ``[B, T, 1 + C]`` of normal and of the classes."""
        return self.score_and_classify(batch)[1]

    def score_and_classify(self, batch: WSVADBatch) -> tuple[Tensor, Tensor]:
        """Give scores and class probabilities; what is not normal is divided among the classes."""
        scores = self.score(batch)
        shares = (cosine(batch.features, self.net.prompt()[1:]) / TEMPERATURE).softmax(dim=-1).mean(dim=1)
        return scores, torch.cat([1 - scores[..., None], scores[..., None] * shares], dim=-1)

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        assert batch.class_targets is not None, "paired batches know the classes of their videos"
        _, own = halves(batch.class_targets[:, 1:].bool())
        matches: Matches = self.net.match(batch.features, own)
        with torch.no_grad():
            found = pseudo_labels(matches.abnormal_own, matches.abnormal_normal, self.alpha, self.theta)
        scores = self.net(batch.features)
        _, abnormal = halves(scores)
        return {
            **alignment_losses(matches),
            "bce": probability_bce(scores, torch.cat([torch.zeros_like(found), found])),
            "sparsity": abnormal.mean(),
            "smooth": smoothness(abnormal) / abnormal[..., 0].numel(),
        }


def alignment_losses(matches: Matches) -> dict[str, Tensor]:
    """Give the terms that fit the texts to the videos."""
    highest = matches.normal_anomaly.flatten(start_dim=-2)
    curves = F.cosine_similarity(matches.abnormal_normal, matches.abnormal_own, dim=-1)
    return {
        "rank_abnormal": ranking_hinge(highest, matches.abnormal_own, "matched"),
        "rank_normal": ranking_hinge(highest, matches.normal_normal, "matched"),
        "inconsistency": curves.abs().mean(),
    }
