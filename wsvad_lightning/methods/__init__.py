"""The published methods, one file a paper. Tests and documentation iterate ``__all__``."""

from wsvad_lightning.methods.rtfm import RTFM
from wsvad_lightning.methods.ur_dmu import URDMU

__all__ = ["RTFM", "URDMU"]
