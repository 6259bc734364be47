"""Metrics as tables on the terminal: the names that people read, and what a test shows when it ends."""

import math
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

SHOWN = {"auc": "AUC", "auc_abnormal": "AUC inside abnormal", "ap": "AP"}  # by the metric's name
OF_CLASSES = {"mAP": "event mAP"}  # shown where a method reports it
LEFT_OUT = ("AP@0.2", "AP@0.4")  # not shown for each class, to keep the table narrow
PROTOCOLS = {"": "repaired", "vadclip_": "vadclip", "vadclip_ucf_": "vadclip_ucf"}  # prefixes of mAP

Values = Mapping[str, float]


def tables_of(metrics: Values, per_class: Mapping[str, Values]) -> list[Table]:
    """Lay out what a test measured; no table is empty.

    Args:
        metrics: by the names of :mod:`wsvad_lightning.metrics`, in [0, 1]; NaN where undefined.
        per_class: the same of each class.
    """
    plain = {name: {"": value} for name, value in metrics.items() if "mAP" not in name}
    events = {
        title: {name.removeprefix(prefix): metrics[name] for name in metrics if _is_of(name, prefix)}
        for prefix, title in PROTOCOLS.items()
    }
    classes = {
        name: {column: value for column, value in values.items() if column not in LEFT_OUT}
        for name, values in per_class.items()
    }
    laid_out = (("metric", plain), ("events", events), ("class", classes))
    return [_lay_out(kind, rows) for kind, rows in laid_out if any(rows.values())]


def _is_of(name: str, prefix: str) -> bool:
    """Whether a metric is an mAP of a protocol."""
    return name.startswith(f"{prefix}mAP")


def _lay_out(kind: str, rows: Mapping[str, Values]) -> Table:
    """Make a table with a row each, in percent, of all columns that any row has."""
    columns = dict.fromkeys(name for values in rows.values() for name in values)
    table = Table(kind, *(column.replace("_", " ") or "test videos, percent" for column in columns))
    for name, values in rows.items():
        table.add_row(escape(name), *(_percent(values.get(column, math.nan)) for column in columns))
    return table


def _percent(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{100 * value:.1f}"
