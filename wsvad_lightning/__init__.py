"""Weakly supervised video anomaly detection on PyTorch Lightning."""

__version__ = "0.1.0"
