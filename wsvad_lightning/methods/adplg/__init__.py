"""ADPLG: attention pseudo-labels and self-training (Attention-Driven Pseudo-Label Self-Training for WSVAD).

A video network, trained with video labels, attends to the snippets of a bag. Its attention over several
visits gives the labels that a snippet network is trained with. Only the snippet network is used for
detection.

    a(Q, K) = softmax_t(<Q_t, K_t> / sqrt(H))                                 attention; Q, K, V linear in x
    alpha = a(Q, K),  alpha' = a(Q of a normal bag, K)                        over an abnormal bag
    F_a = sum_t alpha_t V_t,  F_an = sum_t alpha'_t V_t,  F_n likewise from a normal bag alone
    v = sigmoid(mlp([F_n; F_a]))                                              video network
    A = minmax(alpha)                                                         attention curve
    y = [minmax(mean_H A) >= label_threshold]                                 pseudo-label, from H visits
        left out where minmax(var_H A) > variance_threshold                   (unbiased variance)
    e = relu(conv(x))
    s = sigmoid(mlp(transformer([local_2(e); local_4(e); local_6(e); local_8(e)])))      snippet network

The first H visits to a bag only fill its history, and A itself is the label. The bags of a step are labelled
before the video network learns from them.

Loss terms (names as in ``loss_weights``):
    vc         BCE of v against the video label
    triplet    margin 1: F_n close to F_an, far from F_a
    cos        cosine similarity of alpha and alpha'
    smooth     sum of squared differences of alpha, between consecutive bags of the batch (authors) or in time
    sparsity   norm of alpha over the bags of the batch (authors) or over time, mean over the other
    sc         BCE of s against y, and against 0 in normal bags; the snippet network's only term

Numbers equal the authors' code, with its quirks: pairs are the i-th normal and the i-th abnormal bag of a
batch, snippets whose BCE is exactly 0 leave the mean of ``sc``, and local attention has its library's quirks.
Deviations, none of which changes them: any number of channels; several crops in a bag, each a row of both
networks, whose attention is averaged where the history is the video's; videos longer than the table of
positions are scored in pieces; one backward pass for both networks, so that ``sc`` is computed, without
effect, during the warm-up; unused parts of the authors' local transformers are left out.
"""

from wsvad_lightning.methods.adplg.labels import AttentionHistory, label_snippets, snippet_bce
from wsvad_lightning.methods.adplg.method import ADPLG
from wsvad_lightning.methods.adplg.networks import ADPLGNet, SnippetNet, VideoNet, VideoOutput

__all__ = [
    "ADPLG",
    "ADPLGNet",
    "AttentionHistory",
    "SnippetNet",
    "VideoNet",
    "VideoOutput",
    "label_snippets",
    "snippet_bce",
]
