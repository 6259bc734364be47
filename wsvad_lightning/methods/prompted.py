"""What methods share whose classes are texts: where the texts come from, and what a checkpoint tells of them.

Training takes the names of the classes from the store, and a text tower that reads them. A checkpoint carries
the names, the texts and their features, so that scoring takes neither; the tower is never in a checkpoint.
"""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import LearnedPrompt, TextTower
from wsvad_lightning.methods.base import WSVADModule
from wsvad_lightning.types import FeatureRequirements

NORMAL = "normal"  # what stands beside the classes


class PromptedNet(nn.Module):
    """A network with prompts."""

    prompt: LearnedPrompt


class PromptedModule(WSVADModule):
    """Base of the methods whose classes are texts.

    Args:
        feature_dim: D, channels of the features, and of the text tower's.
        text_tower: folder of a CLIP as transformers saves it, with its tokenizer; to train, and for classes
            that the checkpoint does not know.
        prompts: text of a class, or of ``normal``; by default its name in lower case.
        loss_weights: weights that differ from ``default_loss_weights``.
        optimizer: makes the optimizer from the parameters.
        lr_scheduler: makes a scheduler from the optimizer, stepped after every batch.
    """

    requires = FeatureRequirements(text_aligned=True, classes=True)
    net: PromptedNet

    def __init__(
        self,
        feature_dim: int,
        text_tower: str | None,
        prompts: dict[str, str] | None,
        loss_weights: dict[str, float] | None,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__(feature_dim, loss_weights, optimizer, lr_scheduler)
        self.text_tower, self.prompts = text_tower, prompts or {}

    def text_of(self, name: str) -> str:
        """Give a class in words."""
        return self.prompts.get(name, name.lower())

    def texts_of(self, names: Sequence[str]) -> list[str]:
        """Give classes in words.

        Raises:
            WSVADError: if two of them read the same.
        """
        texts = [self.text_of(name) for name in names]
        twice = [text for text in texts if texts.count(text) > 1]
        if twice:
            problem = "is the text of two classes"
            raise WSVADError("model.prompts", twice[0], problem, "Give one of them another prompt")
        return texts

    def setup(self, stage: str) -> None:
        """Check as every method does; to train, read the classes of the store.

        Raises:
            WSVADError: if store, prompts and text tower do not fit together.
        """
        super().setup(stage)
        if stage != "fit":
            return
        self.classes = self.store_classes
        unknown = sorted(set(self.prompts) - {NORMAL, *self.classes})
        if unknown:
            known = ", ".join((NORMAL, *self.classes))
            raise WSVADError("model.prompts", ", ".join(unknown), "no such class", f"The classes are {known}")
        self.read(self.texts_of([NORMAL, *self.classes]))

    @property
    def store_classes(self) -> tuple[str, ...]:
        """The anomaly classes of the store at hand; none away from any."""
        if self._trainer is None:
            return ()
        names: tuple[str, ...] = self.trainer.datamodule.info.classes  # type: ignore[attr-defined]  # typed without
        return names

    def read(self, texts: list[str]) -> None:
        """Let the text tower read the classes, the normal one first.

        Raises:
            WSVADError: if there is no such tower, or it is of another CLIP.
        """
        if self.text_tower is None:
            remedy = "Give the folder of a CLIP, such as openai/clip-vit-base-patch16 saved by transformers"
            raise WSVADError("model.text_tower", None, "nothing can read the names of the classes", remedy)
        tower = TextTower.open(self.text_tower)
        if tower.dim != self.feature_dim:
            problem = f"its features have {tower.dim} channels, those of the store {self.feature_dim}"
            remedy = "Give the text tower of the CLIP that made the store"
            raise WSVADError("model.text_tower", self.text_tower, problem, remedy)
        self.net.prompt.use(tower, texts)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Tell the classes, and what was learnt of them."""
        super().on_save_checkpoint(checkpoint)
        prompt = self.net.prompt
        prompt.refresh()
        checkpoint["classes"] = {
            "names": list(self.classes),
            "texts": list(prompt.texts),
            "features": prompt.features.cpu(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the classes, and compare them with the store's, of which prediction ignores unknown ones.

        Raises:
            WSVADError: if the store has classes that neither the checkpoint knows nor ``prompts`` names.
        """
        super().on_load_checkpoint(checkpoint)
        known = checkpoint["classes"]
        texts: list[str] = known["texts"]
        doing = self.trainer.state.fn if self._trainer is not None else None
        if doing == "fit":
            if texts != list(self.net.prompt.texts):
                raise self._other_classes(self.net.prompt.texts, texts)
            return
        own = dict(zip([NORMAL, *known["names"]], texts, strict=True))
        self.prompts = own | self.prompts
        in_store = dict(zip(self.texts_of(self.store_classes), self.store_classes, strict=True))
        unnamed = [text for text, name in in_store.items() if text not in texts and name not in self.prompts]
        if unnamed and doing != "predict":
            raise self._other_classes([in_store[text] for text in unnamed], texts)
        in_store = {text: name for text, name in in_store.items() if text not in unnamed}
        new = [text for text in in_store if text not in texts]
        names = dict(zip(texts, own, strict=True)) | in_store
        self.classes = tuple(names[text] for text in [*texts[1:], *new])
        if new:  # their features follow from the learnt vectors, as soon as those are loaded
            self.read([*texts, *new])
        else:
            self.net.prompt.restore(texts, known["features"])

    def _other_classes(self, given: Any, known: list[str]) -> WSVADError:
        return WSVADError(
            "data.store",
            self.trainer.datamodule.info.path,  # type: ignore[attr-defined]  # typed without
            f"holds the classes {', '.join(given)}, the checkpoint knows {', '.join(known)}",
            "Name each by model.prompts; one that is new is read from model.text_tower",
        )
