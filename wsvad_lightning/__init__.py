"""Weakly supervised video anomaly detection on PyTorch Lightning.

``Detector`` scores features by a trained model; it is imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsvad_lightning.serving.detector import Detector

__all__ = ["Detector"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Detector":
        from wsvad_lightning.serving.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
