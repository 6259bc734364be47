"""The published methods, one file a paper. Tests and documentation iterate ``__all__``."""

from wsvad_lightning.methods.adplg import ADPLG
from wsvad_lightning.methods.bn_wvad import BNWVAD
from wsvad_lightning.methods.c2fpl import C2FPL
from wsvad_lightning.methods.clip_tsa import CLIPTSA
from wsvad_lightning.methods.frd_uvad import FRDUVAD
from wsvad_lightning.methods.gs_moe import GSMoE
from wsvad_lightning.methods.mgfn import MGFN
from wsvad_lightning.methods.rtfm import RTFM
from wsvad_lightning.methods.s3r import S3R
from wsvad_lightning.methods.ssrl import SSRL
from wsvad_lightning.methods.sultani_mil import Sultani
from wsvad_lightning.methods.svmae import SVMAE
from wsvad_lightning.methods.tpwng import TPWNG
from wsvad_lightning.methods.ur_dmu import URDMU
from wsvad_lightning.methods.vadclip import VadCLIP

__all__ = [
    "ADPLG",
    "BNWVAD",
    "C2FPL",
    "CLIPTSA",
    "FRDUVAD",
    "MGFN",
    "RTFM",
    "S3R",
    "SSRL",
    "SVMAE",
    "TPWNG",
    "URDMU",
    "GSMoE",
    "Sultani",
    "VadCLIP",
]
