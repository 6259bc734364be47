"""The published methods and a baseline, a file or folder each. Tests and documentation iterate ``__all__``.

``PIXELS`` lists what is trained on clips of pixels and scores no features.
"""

from wsvad_lightning.methods.adplg import ADPLG
from wsvad_lightning.methods.bnwvad import BNWVAD
from wsvad_lightning.methods.c2fpl import C2FPL
from wsvad_lightning.methods.cliptsa import CLIPTSA
from wsvad_lightning.methods.dsanet import DSANet
from wsvad_lightning.methods.frduvad import FRDUVAD
from wsvad_lightning.methods.gaussian import Gaussian
from wsvad_lightning.methods.glancevad import GlanceVAD
from wsvad_lightning.methods.gsmoe import GSMoE
from wsvad_lightning.methods.hlnet import HLNet
from wsvad_lightning.methods.macilsd import MACILSD
from wsvad_lightning.methods.mgfn import MGFN
from wsvad_lightning.methods.pel4vad import PEL4VAD
from wsvad_lightning.methods.rtfm import RTFM
from wsvad_lightning.methods.s3r import S3R
from wsvad_lightning.methods.ssrl import SSRL
from wsvad_lightning.methods.sst import SST
from wsvad_lightning.methods.sultani import Sultani
from wsvad_lightning.methods.svmae import SVMAE
from wsvad_lightning.methods.svmaepretraining import SVMAEPretraining as SVMAEPretraining
from wsvad_lightning.methods.tpwng import TPWNG
from wsvad_lightning.methods.urdmu import URDMU
from wsvad_lightning.methods.vadclip import VadCLIP

__all__ = [
    "ADPLG",
    "BNWVAD",
    "C2FPL",
    "CLIPTSA",
    "FRDUVAD",
    "MACILSD",
    "MGFN",
    "PEL4VAD",
    "RTFM",
    "S3R",
    "SSRL",
    "SST",
    "SVMAE",
    "TPWNG",
    "URDMU",
    "DSANet",
    "GSMoE",
    "Gaussian",
    "GlanceVAD",
    "HLNet",
    "Sultani",
    "VadCLIP",
]

PIXELS = ("SVMAEPretraining",)
