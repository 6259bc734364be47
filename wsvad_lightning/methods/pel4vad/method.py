"""The training of PEL4VAD; formulas in the package's docstring."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from wsvad_lightning.data.datasets.limits import read_npy
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TextTower
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.pel4vad.networks import PEL4VADNet, PEL4VADOutput, matching_loss
from wsvad_lightning.methods.pel4vad.prompts import encode_words, read_prompts, read_words
from wsvad_lightning.ops import topk_mean_each
from wsvad_lightning.types import FeatureRequirements, WSVADBatch


class PEL4VAD(WSVADModule):
    """PEL4VAD as a LightningModule; recipes ``ucf_pel4vad.yaml``, ``xd_pel4vad.yaml``, ``sht_pel4vad.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        prompt_file: ``.npy`` file ``[1 + C, P]`` of the vectors of normal and of the classes, to train.
        prompt_classes: names of its rows but the first; None for the classes of the store, sorted.
        prompt_words: in place of ``prompt_file``: ``.json`` file of the words of normal and of each class by
            name, ``{"normal": ["normal event"], "Arson": ["arson", "burning"]}``; capitals do not matter.
        text_tower: folder of a CLIP as transformers saves it, with its tokenizer, which reads these words.
        prompt_dim: P.
        window: snippets of the local map, an odd number.
        distance: what the prior on distances starts at, w and b.
        power_norm: whether roots are taken and channels divided by their norm over time.
        kernel: snippets that a score is made of, an odd number, the last of them its own.
        temperature: of the matching with texts, at the start.
        dropout: probability.
        **kwargs: arguments of :class:`WSVADModule`.

    Raises:
        WSVADError: if an argument is out of range.
    """

    requires = FeatureRequirements(classes=True)
    default_loss_weights: ClassVar[dict[str, float]] = {"mil": 1.0, "prompt": 1.0}
    not_saved: ClassVar[tuple[str, ...]] = (
        *WSVADModule.not_saved,
        "prompt_file",
        "prompt_classes",
        "prompt_words",
        "text_tower",
    )

    net: PEL4VADNet
    prompts: Tensor

    def __init__(
        self,
        feature_dim: int = 1024,
        prompt_file: str | None = None,
        prompt_classes: list[str] | None = None,
        prompt_words: str | None = None,
        text_tower: str | None = None,
        prompt_dim: int = 512,
        window: int = 9,
        distance: tuple[float, float] = (0.6, 0.2),
        power_norm: bool = True,
        kernel: int = 9,
        temperature: float = 0.09,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        for name, value in (("window", window), ("kernel", kernel)):
            if value < 1 or value % 2 == 0:
                raise WSVADError(f"model.{name}", value, "must be odd and at least 1", "Give snippets")
        if not temperature > 0:
            raise WSVADError("model.temperature", temperature, "must be above 0", "Give one such as 0.09")
        self.prompt_file, self.prompt_classes = prompt_file, prompt_classes
        self.prompt_words, self.text_tower = prompt_words, text_tower
        self.net = PEL4VADNet(
            feature_dim,
            prompt_dim=prompt_dim,
            window=window,
            distance=distance,
            power_norm=power_norm,
            kernel=kernel,
            temperature=temperature,
            dropout=dropout,
        )
        self.register_buffer("prompts", torch.empty(0, prompt_dim), persistent=False)

    def check_trainable(self) -> None:
        """See :class:`WSVADModule`; the vectors of the classes must be there, in one of two ways."""
        if self.prompt_file is not None and self.prompt_words is not None:
            problem = "is given next to model.prompt_file"
            raise WSVADError("model.prompt_words", self.prompt_words, problem, "Give one of them")
        if self.prompt_words is not None:
            if self.text_tower is None:
                problem = "is required: a CLIP reads the words"
                raise WSVADError("model.text_tower", None, problem, "Give its folder, or model.prompt_file")
            read_words(self.prompt_words)
        elif self.prompt_file is None:
            remedy = "Give a .npy file of a vector for normal and for each class, or model.prompt_words"
            raise WSVADError("model.prompt_file", None, "training matches videos with vectors", remedy)
        else:
            read_npy("model.prompt_file", self.prompt_file)

    def setup(self, stage: str) -> None:
        """Check as every method does; make the vectors of the classes of the store.

        Raises:
            WSVADError: if a file cannot be read, or lacks a class.
        """
        super().setup(stage)
        if stage != "fit":
            return
        classes = self.data.info.classes
        if self.prompt_words is not None:
            assert self.text_tower is not None, "checked before"
            tower = TextTower.open(self.text_tower)
            self.use_prompts(encode_words(tower, self.prompt_words, classes))
        else:
            assert self.prompt_file is not None, "checked before"
            self.use_prompts(read_prompts(self.prompt_file, self.prompt_classes, classes))

    def use_prompts(self, prompts: Tensor) -> None:
        """Match with the vectors ``[1 + C, P]`` of normal and of the classes.

        Raises:
            WSVADError: if they are of another width.
        """
        if prompts.ndim != 2 or prompts.shape[1] != self.prompts.shape[1]:
            problem = f"its shape is {tuple(prompts.shape)}, model.prompt_dim is {self.prompts.shape[1]}"
            given = ("model.prompt_file", self.prompt_file)
            if self.prompt_words is not None:
                given = ("model.text_tower", self.text_tower)
            raise WSVADError(*given, problem, "Set model.prompt_dim")
        self.prompts = prompts.to(self.prompts)

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        return self.run(batch).crop_scores.mean(dim=1)

    def run(self, batch: WSVADBatch) -> PEL4VADOutput:
        """Pass a batch through the network."""
        out: PEL4VADOutput = self.net(batch.features, batch.lengths)
        return out

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        assert batch.class_targets is not None, "paired batches know the classes of their videos"
        out = self.run(batch)
        k = torch.where(batch.labels > 0, batch.lengths // 16 + 1, 1)
        scores = topk_mean_each(out.crop_scores, batch.lengths[:, None], k[:, None])
        return {
            "mil": probability_bce(scores, batch.labels[:, None]),
            "prompt": matching_loss(self.net.match(out, batch.class_targets.float(), self.prompts.float())),
        }
