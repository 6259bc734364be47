"""How well a detector does on frames, videos, events and regions, and frame scores from snippet scores."""

from wsvad_lightning.metrics.curves import (
    Curve,
    EqualErrorRate,
    average_precision,
    equal_error_rate,
    false_alarm_rate,
    pr_auc,
    precision_recall_curve,
    reasons,
    roc_auc,
    roc_curve,
)
from wsvad_lightning.metrics.event import EventMetrics, expand_classes, find_events
from wsvad_lightning.metrics.expand import expand_maps, expand_scores
from wsvad_lightning.metrics.frame import FrameMetrics
from wsvad_lightning.metrics.region import RegionMetrics

__all__ = [
    "Curve",
    "EqualErrorRate",
    "EventMetrics",
    "FrameMetrics",
    "RegionMetrics",
    "average_precision",
    "equal_error_rate",
    "expand_classes",
    "expand_maps",
    "expand_scores",
    "false_alarm_rate",
    "find_events",
    "pr_auc",
    "precision_recall_curve",
    "reasons",
    "roc_auc",
    "roc_curve",
]
