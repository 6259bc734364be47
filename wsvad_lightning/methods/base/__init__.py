"""What methods are built on.

Every method that scores derives from :class:`WSVADModule`, or from the base of its family; what is trained on
pixels alone derives from :class:`TrainingModule`.
"""

from wsvad_lightning.methods.base.evaluation import Evaluation
from wsvad_lightning.methods.base.magnitude import MagnitudeMIL, MagnitudeModule, MagnitudeOutput
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.prepared import PreparedModule
from wsvad_lightning.methods.base.prompted import PromptedModule, PromptedNet
from wsvad_lightning.methods.base.staged import StagedModule, stage_of
from wsvad_lightning.methods.base.training import TrainingModule
from wsvad_lightning.methods.base.two_branch import TwoBranchModule, TwoBranchNet

__all__ = [
    "Evaluation",
    "MagnitudeMIL",
    "MagnitudeModule",
    "MagnitudeOutput",
    "PreparedModule",
    "PromptedModule",
    "PromptedNet",
    "StagedModule",
    "TrainingModule",
    "TwoBranchModule",
    "TwoBranchNet",
    "WSVADModule",
    "stage_of",
]
