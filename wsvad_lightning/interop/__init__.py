"""The authors' weights, imported by strict key tables."""

from wsvad_lightning.checkpoint import read_official
from wsvad_lightning.interop.weights import KeyTable, export_official, load_official

__all__ = ["KeyTable", "export_official", "load_official", "read_official"]
