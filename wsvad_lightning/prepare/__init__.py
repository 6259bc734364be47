"""Artefacts that methods need computed from the features of the training videos, one file each."""
