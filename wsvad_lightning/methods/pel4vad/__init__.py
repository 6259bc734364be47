"""PEL4VAD: texts of knowledge teach what is scored (Pu et al., IEEE TIP 2024, arXiv 2306.14451).

Snippets gain context by one attention with a global and a local map; scores are causal. In training, what a
video shows where its scores are high, and where they are low, is matched with vectors of the classes: the
mean of CLIP's texts of words that a knowledge base relates to each. Scoring needs no texts.

    S_ij = q_i . k_j / sqrt(128) + exp(-|w (i - j)^2 - b|)                     w, b learnt
    u = m softmax(S) v + (1 - m) softmax(S within the window) v,  m = sigmoid(alpha)
    u <- sign(u) sqrt|u|, each channel divided by its norm over time           ``power_norm``
    V = gelu(linear(norm(x + linear(u))))                                      visual features, 512 channels
    s = sigmoid(causal convolution over ``kernel`` snippets (gelu(linear(V))))

Each crop is a row of its own; a score is the mean over crops.

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    mil      BCE of the largest valid score of a normal video, of the mean of the k largest of an abnormal one
    prompt   mean KL divergence of softmax_r'(exp(scale) cos(z_r, p_r')) from softmax_r'(10 [c_r = c_r'])

The rows r of ``prompt`` are the foreground of every video, z = sum_t f_t V_t with f ~ exp(10 s) - 1, with the
vector p of its class c, and the background of abnormal ones, f ~ exp(10 (1 - s)) - 1, with that of normal.

The published figures are of smoothed scores, see :mod:`wsvad_lightning.methods.base.smoothing`.

Numbers equal the authors' code, with its quirks: the norm runs over time, so that a snippet counts less in a
long video; the zeros behind short videos are seen, as far as the longest video of the batch goes.

Deviations: cosines are guarded against a norm of zero. A video of several classes has the mean of their
vectors, as on ShanghaiTech, and counts as its first; on XD-Violence the authors take the first class in the
file name alone. The foreground of an abnormal video of unknown class is left out. A term that is not a number
stays one, where the authors count 0.
"""

from wsvad_lightning.methods.pel4vad.method import PEL4VAD
from wsvad_lightning.methods.pel4vad.networks import (
    SHARPNESS,
    ContextAttention,
    MatchedRows,
    PEL4VADNet,
    PEL4VADOutput,
    matching_loss,
)
from wsvad_lightning.methods.pel4vad.prompts import encode_words, read_prompts, read_words

__all__ = [
    "PEL4VAD",
    "SHARPNESS",
    "ContextAttention",
    "MatchedRows",
    "PEL4VADNet",
    "PEL4VADOutput",
    "encode_words",
    "matching_loss",
    "read_prompts",
    "read_words",
]
