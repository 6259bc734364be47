"""SST: a sparse spatio-temporal baseline for weakly supervised video anomaly detection (SST-WSVADL).

Three networks are trained together. A temporal network, that of UR-DMU, scores snippets. The frames of the
snippet of each video that it ranks first go through a transformer with token pruning (DTFE). A spatial
network, again that of UR-DMU, scores the tokens that come out; before, they attend to snippets (PSA). Only
the temporal network is used for detection; the spatial one says where.

    u = [x; z]                                   what the temporal network describes snippets by, see UR-DMU
    s* = argmax a_M(x)                           M the memory of the video's class, normal or abnormal
    p, keep = DTFE(clip of s*)                   tokens of tubelets, and which are kept
    v = [y; w] of p                              by the network of UR-DMU, on tokens
    v' = v + attend(norm(v), u of chosen snippets);  v'' = v' + mlp(norm(v'))              PSA
    score of a patch = sigmoid(mlp(v''))

Loss terms (names as in ``loss_weights``):
    temporal_*, spatial_*    the terms of UR-DMU, of snippets and of patches; k is T // 16 + 1, of T tokens
    motion                   minus the motion of the tokens that are kept, summed over stages and tokens; 0
                             unless ``motion`` is set

Numbers equal the authors' code. Of its bugs, those that change numbers are the default, and ``repaired``
names the ones to repair:

    frames    the frames of a segment of 16-frame snippets are shifted and scaled; repaired, they lie around
              the middle of its snippets
    keys      patches of a video attend to its snippets at the places chosen in all videos of the batch;
              repaired, to the video's own chosen snippet
    motion    the motion of normal videos is overwritten by that of abnormal ones; repaired, both count
    order     tokens leave in the order of their score at test, and as they lie in training; repaired, always
              as they lie

Deviations, none of which changes a number that the authors' code gives: it stops at several snippets a video,
at PSA in a test, at a tubelet without a token that is kept, at the motion by difference of other than two
tubelets, and at clips past the end of a video, which are moved to end with it. Motion without pruning is
refused. Its random sampling of XD-Violence, which stops as well, is left out. ``subtract_mean`` is of this
project, and off by default.

The authors' code, as compared, tests the temporal network alone. Here the patches of a test snippet attend to
that snippet, and the map is the highest score over the tubelets, times the score of the snippet.
"""

from wsvad_lightning.methods.sst.method import SST
from wsvad_lightning.methods.sst.networks import SSTNet
from wsvad_lightning.methods.sst.patches import KeptTokens, MaskedTokens, PatchTransformer

__all__ = ["SST", "KeptTokens", "MaskedTokens", "PatchTransformer", "SSTNet"]
