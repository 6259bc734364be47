"""What methods share whose classes are texts: where these come from, and what a checkpoint records of them.

Training takes the names of the classes from the store, and a text tower that reads them. A checkpoint carries
the names, the texts and their features, so that scoring takes neither; the tower is never in a checkpoint.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import ClassTexts, TextTower
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import NORMAL, FeatureRequirements


class PromptedNet(nn.Module):
    """A network with classes that are texts."""

    prompt: ClassTexts


class PromptedModule(WSVADModule):
    """Base of the methods whose classes are texts.

    Args:
        text_tower: folder of a CLIP as transformers saves it, with its tokenizer; to train, and for classes
            that the checkpoint does not know.
        prompts: text of a class, or of ``normal``; by default its name, in the case that the method's
            texts have.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    requires = FeatureRequirements(text_aligned=True, classes=True)
    net: PromptedNet

    def __init__(
        self, text_tower: str | None = None, prompts: dict[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.text_tower, self.prompts = text_tower, prompts or {}

    def text_of(self, name: str) -> str:
        """Give a class in words."""
        return self.prompts.get(name, name.lower())

    def texts_of(self, names: Sequence[str]) -> list[str]:
        """Give classes in words.

        Raises:
            WSVADError: if one has none, or two of them read the same.
        """
        texts = [self.text_of(name) for name in names]
        check_texts(dict(zip(names, texts, strict=True)))
        return texts

    def setup(self, stage: str) -> None:
        """Check as every method does; to train, read the classes of the store.

        Raises:
            WSVADError: if store, prompts and text tower do not fit together.
        """
        super().setup(stage)
        if stage == "fit":
            self.take_classes(self.store_classes)

    def take_classes(self, classes: tuple[str, ...]) -> None:
        """Take classes to train on.

        Raises:
            WSVADError: if prompts and text tower do not fit them.
        """
        self.classes = classes
        self.check_prompts((NORMAL, *classes))
        self.read(self.texts_of([NORMAL, *classes]))

    def check_prompts(self, names: Sequence[str]) -> None:
        """Make sure that prompts are of classes that there are.

        Raises:
            WSVADError: if not.
        """
        unknown = [name for name in self.prompts if name not in names]
        if unknown:
            known = ", ".join(names)
            raise WSVADError("model.prompts", ", ".join(unknown), "no such class", f"The classes are {known}")

    @property
    def store_classes(self) -> tuple[str, ...]:
        """The anomaly classes of the current store; empty without one."""
        return () if self._trainer is None else self.data.info.classes

    def read(self, texts: list[str]) -> None:
        """Encode the classes by the text tower, the normal one first.

        Raises:
            WSVADError: if the tower is missing, or it is of another CLIP.
        """
        if self.text_tower is None:
            remedy = "Give the folder of a CLIP, such as openai/clip-vit-base-patch16 saved by transformers"
            raise WSVADError(
                "model.text_tower", None, "is required to encode the names of the classes", remedy
            )
        tower = TextTower.open(self.text_tower)
        if tower.dim != self.feature_dim:
            problem = f"its features have {tower.dim} channels, those of the store {self.feature_dim}"
            remedy = "Give the text tower of the CLIP that made the store"
            raise WSVADError("model.text_tower", self.text_tower, problem, remedy)
        self.net.prompt.use(tower, texts)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the classes, and what was learnt of them."""
        super().on_save_checkpoint(checkpoint)
        prompt = self.net.prompt
        prompt.refresh()
        checkpoint["classes"] |= {"texts": list(prompt.texts), "features": prompt.features.cpu()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the classes: to train on, they are to be the store's; else ``prompts`` may change them.

        Raises:
            WSVADError: if they do not fit the store, ``prompts`` or the text tower.
        """
        super().on_load_checkpoint(checkpoint)
        known = checkpoint.get("classes", {})
        names, texts = [NORMAL, *known.get("names", ())], known.get("texts", ())
        features, shape = known.get("features"), (len(set(names)), self.feature_dim)
        if not isinstance(features, Tensor) or features.shape != shape or not 2 <= len(names) == len(texts):
            problem = "does not hold classes with the features of their texts"
            raise WSVADError("--ckpt_path", names, problem, "Give a file that `wsvad fit` wrote")
        own = dict(zip(names, texts, strict=True))
        doing = self.trainer.state.fn if self._trainer is not None else None
        if doing != "fit":
            self.adopt(own, features, () if doing == "predict" else self.store_classes)
        elif list(own.values()) != list(self.net.prompt.texts):
            now = ", ".join(self.net.prompt.texts)
            problem = f"its classes read {now}, those of the checkpoint {', '.join(own.values())}"
            remedy = "Resume with the same classes and prompts, or train again"
            raise WSVADError(*self.source_of_classes, problem, remedy)

    def adopt(self, own: dict[str, str], features: Tensor, asked: Sequence[str]) -> None:
        """Name the classes of a checkpoint, change their texts and add to them as ``prompts`` say.

        A prompt of one of its classes replaces the text. One whose text is the text or the name of such a
        class is another name for it. Any other is a new class.

        Args:
            own: texts of the checkpoint's classes by name, the normal one first.
            features: of these texts.
            asked: classes of the videos to score; none where they are not read.

        Raises:
            WSVADError: if a class of the videos is unknown, or a text is empty or given twice.
        """
        if asked:
            self.check_prompts([*own, *asked])
        called = {folded(word): name for name, text in own.items() for word in (name, text) if name != NORMAL}
        texts, renamed, new = dict(own), dict[str, str](), dict[str, str]()
        for name in dict.fromkeys([*self.prompts, *asked]):
            text = self.text_of(name)
            old = called.get(folded(text))
            if name in own:
                texts[name] = self.prompts.get(name, own[name])
            elif old is None:
                new[name] = text
            elif old in renamed or old in asked:
                raise twice(text, renamed.get(old, old), name)
            else:
                renamed[old] = name
        if unknown := [name for name in new if name not in self.prompts]:
            raise self._unknown_classes(unknown, own)
        final = {renamed.get(name, name): text for name, text in texts.items()} | new
        check_texts(final)
        self.classes = tuple(final)[1:]
        if list(map(folded, final.values())) == list(map(folded, own.values())):
            self.net.prompt.restore(list(own.values()), features)
        else:  # features follow from the learnt vectors, as soon as those are loaded
            self.read(list(final.values()))

    @property
    def source_of_classes(self) -> tuple[str, str]:
        """The argument that names the classes of the videos to score, and its value."""
        if self.data.catalogue.annotations_path is not None:
            return "data.annotations", str(self.data.catalogue.annotations_path)
        return "data.store", self.data.info.path

    def _unknown_classes(self, unknown: Sequence[str], own: Mapping[str, str]) -> WSVADError:
        videos = self.data.annotations.items()
        places = [next(video for video, known in videos if name in known.classes) for name in unknown]
        unknown_in = [f"{name} (video {place})" for name, place in zip(unknown, places, strict=True)]
        meant = [close for name in unknown for close in get_close_matches(name, own, 1)]
        problem = f"the checkpoint knows {', '.join(list(own)[1:])}, not {', '.join(unknown_in)}"
        question = f"Is {', '.join(meant)} meant? Else name" if meant else "Name"
        remedy = f"{question} each by model.prompts; one that is new is read from model.text_tower"
        return WSVADError(*self.source_of_classes, problem, remedy)


def folded(text: str) -> str:
    """Give a text as CLIP reads it, which ignores case and repeated spaces."""
    return " ".join(text.casefold().split())


def check_texts(texts: Mapping[str, str]) -> None:
    """Make sure that classes, by name, have different texts.

    Raises:
        WSVADError: if one has no text, or two have the same.
    """
    first: dict[str, str] = {}
    for name, text in texts.items():
        if not text.strip():
            raise WSVADError("model.prompts", name, "has no text", "Say in words what it is")
        if (other := first.setdefault(folded(text), name)) != name:
            raise twice(text, other, name)


def twice(text: str, first: str, second: str) -> WSVADError:
    """Give the error of a text of two classes."""
    problem = f"is the text of two classes, {first} and {second}"
    remedy = "Give one of them another prompt, or both one name in the annotations"
    return WSVADError("model.prompts", text, problem, remedy)
