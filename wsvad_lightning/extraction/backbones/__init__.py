"""Backbones: networks with released weights, and optical flow, which turn frames or clips into vectors."""
