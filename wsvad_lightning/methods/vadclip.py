"""VadCLIP: CLIP's two towers adapted to weak labels (Wu et al., AAAI 2024, arXiv 2308.11681).

Snippets gain context, first among neighbours and then by two graphs; one branch scores them, the other
compares them with texts of the classes: prompts learnt around their names, which take the video in as well.

    t_c = text tower(learnt vectors, name of class c)  [1 + C, D]
    l, m = binary logits and class logits              see wsvad_lightning.methods.base.two_branch

A score is sigmoid(l) or 1 - softmax(m)[normal] (``score_from``); longer videos are cut into chunks.

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    binary   BCE of the mean of the k largest sigmoid(l) against the video label
    align    cross-entropy of the mean of the k largest m of each class against the classes of the video
    text     mean |cos(t_normal, t_c)| over the anomaly classes

Numbers equal the authors' code, with its quirk: a video shorter than a chunk is filled up with zeros, which
windows, the graph of distances and the texts see like snippets. ``padding: masked`` hides them.

Deviations: each crop is a row of its own, as the authors' files are; a score is their mean, where the authors
score one crop. Unit vectors are guarded against a norm of zero. Behind a video whose length is a multiple of
the chunk the authors score one more chunk, of zeros, which changes nothing; it is left out.
"""

from typing import Any, ClassVar

from torch import Tensor

from wsvad_lightning.layers import LearnedPrompt
from wsvad_lightning.methods.base.two_branch import (
    TwoBranchModule,
    TwoBranchNet,
    TwoBranchOutput,
    branch_losses,
)
from wsvad_lightning.types import WSVADBatch


class VadCLIPNet(TwoBranchNet):
    """The network; its classes are given to ``prompt``.

    Args:
        feature_dim: D, channels of the features.
        text_dim: channels of the text tower's token vectors.
        **sizes: see :class:`TwoBranchNet`.
    """

    def __init__(self, feature_dim: int = 512, text_dim: int = 512, **sizes: Any) -> None:
        super().__init__(LearnedPrompt(text_dim), feature_dim, **sizes)


class VadCLIP(TwoBranchModule):
    """VadCLIP as a LightningModule; the paper's recipes are ``ucf_vadclip.yaml`` and ``xd_vadclip.yaml``.

    Args:
        **kwargs: arguments of :class:`TwoBranchModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"binary": 1.0, "align": 1.0, "text": 0.1}

    net: VadCLIPNet

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.net = VadCLIPNet(text_dim=self.text_dim, **self.sizes)

    def probabilities(self, out: TwoBranchOutput) -> Tensor:
        """See :class:`TwoBranchModule`."""
        return out.class_logits.softmax(dim=-1)

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        return branch_losses(self.run(batch), batch)
