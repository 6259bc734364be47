"""Parameter names of the authors' VadCLIP (nwpu-zxr/VadCLIP, ``CLIPVAD``), and of the CLIP in their files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.layers.text_tower import TextTower, Tokenize
from wsvad_lightning.methods import VadCLIP
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.two_branch import TwoBranchModule
from wsvad_lightning.types import NORMAL

METHOD = VadCLIP

CLIP = "clipmodel"

VISUAL = (  # what DSANet has, too
    ("temporal.resblocks.*.attn.in_proj_weight", "context.*.attention.project_in.weight"),
    ("temporal.resblocks.*.attn.in_proj_bias", "context.*.attention.project_in.bias"),
    ("temporal.resblocks.*.attn.out_proj", "context.*.attention.project_out"),
    ("temporal.resblocks.*.ln_1", "context.*.attention_norm"),
    ("temporal.resblocks.*.ln_2", "context.*.mlp_norm"),
    ("temporal.resblocks.*.mlp.c_fc", "context.*.mlp.0"),
    ("temporal.resblocks.*.mlp.c_proj", "context.*.mlp.3"),
    ("gc1", "mix_alike.0"),
    ("gc2", "mix_alike.1"),
    ("gc3", "mix_near.0"),
    ("gc4", "mix_near.1"),
    ("linear", "fuse"),
    ("mlp1.c_fc", "refine_text.0"),
    ("mlp1.c_proj", "refine_text.2"),
    ("mlp2.c_fc", "refine_visual.0"),
    ("mlp2.c_proj", "refine_visual.2"),
    ("classifier", "to_logit"),
    ("frame_position_embeddings.weight", "position"),
)
TABLE = KeyTable(
    (*VISUAL, ("text_prompt_embeddings.weight", "prompt.vectors")),
    dropped=("disAdj", CLIP),
)

TOWER = KeyTable(  # of the text tower in OpenAI's CLIP -> transformers
    (
        ("token_embedding", "text_model.embeddings.token_embedding"),
        ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
        ("transformer.resblocks.*.ln_1", "text_model.encoder.layers.*.layer_norm1"),
        ("transformer.resblocks.*.ln_2", "text_model.encoder.layers.*.layer_norm2"),
        ("transformer.resblocks.*.attn.out_proj", "text_model.encoder.layers.*.self_attn.out_proj"),
        ("transformer.resblocks.*.mlp.c_fc", "text_model.encoder.layers.*.mlp.fc1"),
        ("transformer.resblocks.*.mlp.c_proj", "text_model.encoder.layers.*.mlp.fc2"),
        ("ln_final", "text_model.final_layer_norm"),
        ("text_projection", "text_projection.weight"),
    ),
    dropped=("visual", "logit_scale"),
)
JOINT = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")
POSITIONS = "frame_position_embeddings.weight"
REMEDY = "Give the authors' file as it is"
HEAD_DIM = 64  # of every CLIP by OpenAI

START, END = 49406, 49407
WORDS = {  # tokens of the authors' classes
    NORMAL: (5967,),
    "abuse": (7678,),
    "arrest": (9320,),
    "arson": (29937,),
    "assault": (9679,),
    "burglary": (32573,),
    "car accident": (1615, 6608),
    "explosion": (13785,),
    "fighting": (4652,),
    "riot": (14218,),
    "roadaccidents": (4370, 22072),
    "robbery": (16393,),
    "shooting": (3992,),
    "shoplifting": (5738, 10857),
    "stealing": (14242,),
    "vandalism": (45664,),
}
UCF_CLASSES = (
    *("Abuse", "Arrest", "Arson", "Assault", "Burglary", "Explosion", "Fighting", "RoadAccidents", "Robbery"),
    *("Shooting", "Shoplifting", "Stealing", "Vandalism"),
)
XD_CLASSES = {
    "B1": "fighting",
    "B2": "shooting",
    "B4": "riot",
    "B5": "abuse",
    "B6": "car accident",
    "G": "explosion",
}


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read what ``VadCLIP`` is built with off the authors' parameters; their two models differ in depth.

    Raises:
        WSVADError: if they are of neither model.
    """
    sizes = {**visual_sizes(state), "text_dim": state["text_prompt_embeddings.weight"].shape[1]}
    of_xd = {"prompts": XD_CLASSES, "score_from": "text", "loss_weights": {"text": 1e-4}}
    return sizes if of_ucf_crime(state) else {**sizes, **of_xd}


def visual_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the sizes of the visual side off the authors' parameters.

    Raises:
        WSVADError: if they are of neither model.
    """
    length, feature_dim = state[POSITIONS].shape
    layers, window = (2, 8) if of_ucf_crime(state) else (1, 64)
    if length == 0 or length % window:
        problem = f"has {length} rows, which is not a multiple of the window, {window}"
        raise WSVADError("weights", POSITIONS, problem, REMEDY)
    return {"feature_dim": feature_dim, "length": length, "layers": layers, "window": window}


def of_ucf_crime(state: Mapping[str, Tensor]) -> bool:
    """Whether it is the model of UCF-Crime, not that of XD-Violence; they differ only in depth.

    Raises:
        WSVADError: if it is that of neither.
    """
    depth = sum(name.startswith("temporal.resblocks.") and name.endswith(".ln_1.weight") for name in state)
    if depth not in (1, 2):
        problem = f"has {depth} layers, the authors' models 2 (UCF-Crime) or 1 (XD-Violence)"
        raise WSVADError("weights", "temporal.resblocks", problem, REMEDY)
    return depth == 2


def complete(module: WSVADModule, state: Mapping[str, Tensor]) -> str:
    """Let the text tower in the authors' file read their classes: all that is kept of it.

    Returns:
        What the user should know of it.

    Raises:
        WSVADError: if the file has no such tower, or one that does not fit.
    """
    assert isinstance(module, TwoBranchModule)
    of_ucf = of_ucf_crime(state)
    module.classes = UCF_CLASSES if of_ucf else tuple(XD_CLASSES)
    texts = module.texts_of([NORMAL, *module.classes])
    tower = copied_tower(state, tokenize)
    check_sizes(tower, module)
    module.net.prompt.use(tower, texts)
    heads = tower.model.config.num_attention_heads
    return "\n".join(
        (
            f"taken for the model of {'UCF-Crime' if of_ucf else 'XD-Violence'}, by its depth",
            f"kept of {CLIP}: what its text tower reads of {', '.join(texts)}",
            f"heads of that tower: {heads}, as OpenAI's CLIP of that width",
        )
    )


def check_sizes(tower: TextTower, module: TwoBranchModule) -> None:
    """Compare the text tower with the tokens, with what is learnt of them, and with the features.

    Raises:
        WSVADError: if they do not fit.
    """
    rows, learnt = tower.model.config.vocab_size, module.net.prompt.width
    for name, fits, problem in (
        ("token_embedding.weight", rows > END, f"has {rows} rows, the tokens go up to {END}"),
        ("token_embedding.weight", tower.width == learnt, f"has width {tower.width}, the prompts {learnt}"),
        (
            "text_projection",
            tower.dim == module.feature_dim,
            f"gives {tower.dim} channels, the features have {module.feature_dim}",
        ),
    ):
        if not fits:
            raise WSVADError("weights", f"{CLIP}.{name}", problem, REMEDY)


def tokenize(texts: Sequence[str]) -> list[list[int]]:
    """Give the tokens of the authors' classes."""
    return [[START, *WORDS[text], END] for text in texts]


def copied_tower(state: Mapping[str, Tensor], tokenize: Tokenize, heads: int | None = None) -> TextTower:
    """Build the text tower of the CLIP that is copied in the authors' files.

    Args:
        state: the authors' parameters.
        tokenize: gives the tokens of texts.
        heads: of its attention; None for as many as OpenAI's have.

    Raises:
        WSVADError: if transformers is not installed, or the state holds no such tower.
    """
    try:
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection
    except ImportError:
        remedy = 'Install it: pip install "wsvad-lightning[hf]"'
        raise WSVADError("weights", CLIP, "its text tower needs transformers", remedy) from None
    copy = {name.removeprefix(f"{CLIP}."): value for name, value in state.items() if name.startswith(CLIP)}
    try:
        tensors = dict(_translated(copy))
        vocabulary, width = copy["token_embedding.weight"].shape
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=len(copy["transformer.resblocks.0.mlp.c_fc.weight"]),
            projection_dim=copy["text_projection"].shape[1],
            num_hidden_layers=sum(name.endswith("q_proj.weight") for name in tensors),
            num_attention_heads=heads or max(1, width // HEAD_DIM),
            max_position_embeddings=len(copy["positional_embedding"]),
            bos_token_id=None,  # the caller gives the end of a text
            eos_token_id=None,
        )
        model = CLIPTextModelWithProjection(config)
        model.load_state_dict(tensors)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:100]
        problem = f"is not a complete copy of CLIP's text tower ({reason})"
        raise WSVADError("weights", CLIP, problem, REMEDY) from None
    return TextTower(model, tokenize)


def _translated(copy: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Rename OpenAI's parameters; transformers has three projections for one, and transposes the last."""
    for name, value in copy.items():
        joint = JOINT.fullmatch(name)
        if joint:
            layer, kind = joint.groups()
            for projection, part in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True):
                yield f"text_model.encoder.layers.{layer}.self_attn.{projection}.{kind}", part
        elif (target := TOWER.to_ours(name)) is not None:
            yield target, value.mT if name == "text_projection" else value
