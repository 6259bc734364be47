"""Trained models at work: videos in, scores, curves and scored videos out."""
