"""How well a detector does: frame-level and video-level metrics, and frame scores from snippet scores."""

from wsvad_lightning.metrics.expand import expand_scores
from wsvad_lightning.metrics.frame import (
    Curve,
    EqualErrorRate,
    FrameMetrics,
    average_precision,
    equal_error_rate,
    false_alarm_rate,
    pr_auc,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)

__all__ = [
    "Curve",
    "EqualErrorRate",
    "FrameMetrics",
    "average_precision",
    "equal_error_rate",
    "expand_scores",
    "false_alarm_rate",
    "pr_auc",
    "precision_recall_curve",
    "roc_auc",
    "roc_curve",
]
