"""MACIL-SD: sight and sound contrasted, and a twin that only sees (Yu et al., ACM MM 2022, arXiv 2207.05500).

One layer of attention lets what is seen attend to what is heard, and the other way round, with the same
weights; a snippet's logit is the sum of those of both. In training, what both streams show where scores are
high and low is contrasted. A second network that only sees learns from the labels alone, and after every
epoch the first one is moved towards it.

    v, a = linear(seen), linear(heard)                          128 channels
    L(q, x): h = q + MHA(norm(q), x, x);  L = h + mlp(norm(h))  keys and values are not normalised
    V = L(v, a),  A = L(a, v)                                   the same weights
    z = w . V + w . A + 2 b                                     logits
    the twin: V' = L'(v', v'),  z' = w' . V' + b'               weights of its own

A score is sigmoid(z), the mean over crops; each crop is a row of its own.

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    mil       BCE of p_i, the sigmoid of the mean of the k largest z, against the video label
    a2v_a2b   cross-entropy of picking, by cosine / ``temperature``, what is heard at the height of the video
              that is seen there, among what is heard at the k lowest scores of every video
    a2v_a2n   the same among what is heard at the k highest scores of the videos that are predicted normal
    v2a_a2b, v2a_a2n    the same with both streams exchanged
    single    BCE of the twin's video probability

Only videos that are predicted abnormal, p_i > 0.5, ask, whatever their label: with the mean of the rows at
their k highest scores, and k times. The terms are 0 unless there are videos of both kinds. Their weights grow
by ``growth`` in every epoch, up to those of ``loss_weights``.

After epoch e every weight of the first network that the twin also has becomes m times itself and 1 - m times
the twin's, m = 1 + (momentum - 1) (1 + cos(pi e / epochs)) / 2.

Numbers equal the authors' code, with its quirks: the streams are crossed, so that scores of sound pick rows
of V, and scores of sight rows of A; the zeros behind short videos take part in the attention, as far as the
longest video of the batch goes.

Deviations: an epoch is ``epoch_steps`` steps. Both networks have one optimizer with two learning rates, which
for Adam is the same as two optimizers. The valid snippets of a video are those that it has, where the authors
count the rows that are not all zero. Cosines are guarded against a norm of zero. What the authors' networks
hold and never use is left out (``multiheadattn``, ``feedforward``, the layer norm inside the attention).
"""

from wsvad_lightning.methods.macilsd.contrast import CONTRASTS, contrast, pick_rows
from wsvad_lightning.methods.macilsd.method import MACILSD, video_probability
from wsvad_lightning.methods.macilsd.networks import MACILSDNet, MACILSDOutput

__all__ = [
    "CONTRASTS",
    "MACILSD",
    "MACILSDNet",
    "MACILSDOutput",
    "contrast",
    "pick_rows",
    "video_probability",
]
