"""Trained models in use: scores of stores and videos, on the command line and in Python."""
