"""The picture of a comparison: every method's figure on every split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wsvad_lightning.reporting.figures import BASELINES, INK, MODEL, new_figure, save_figure, style

Values = Mapping[tuple[str, str], Sequence[float]]  # figures of the splits by method and checkpoint
OFFSET = 0.16  # of a checkpoint's dots from the middle of their row


def comparison_figure(metrics: Mapping[str, Values], path: str | Path) -> None:
    """Draw a panel per metric with a row per method: a dot per split, and a stroke at the mean of several.

    The methods are sorted by their best mean of the first metric, the highest on top.

    Args:
        metrics: what each method and checkpoint reached on the splits, by the title of the metric.
        path: the PNG to write, whole or not at all.

    Raises:
        WSVADError: if matplotlib is not installed, or the picture cannot be written.
    """
    keys = next(iter(metrics.values()))
    means: dict[str, float] = {}
    for (method, _), figures in keys.items():
        known = np.mean(figures) if np.isfinite(figures).all() and len(figures) else -np.inf
        means[method] = max(means.get(method, -np.inf), float(known))
    methods = sorted(means, key=lambda method: -means[method])
    checkpoints = list(dict.fromkeys(checkpoint for _, checkpoint in keys))
    colors = dict(zip(checkpoints, (MODEL, *BASELINES), strict=False))  # colours to spare
    figure = new_figure(path, height=1.6 + 0.55 * len(methods))
    panels = figure.subplots(1, len(metrics), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, values) in zip(panels, metrics.items(), strict=True):
        style(axes)
        for (method, checkpoint), figures in values.items():
            place = checkpoints.index(checkpoint) - (len(checkpoints) - 1) / 2
            row, color = methods.index(method) + 2 * OFFSET * place, colors[checkpoint]
            label = checkpoint if method == methods[0] else None
            alpha = 0.55 if len(figures) > 1 else 1.0
            axes.plot(figures, [row] * len(figures), "o", color=color, alpha=alpha, markersize=6, label=label)
            if len(figures) > 1:
                axes.plot(np.mean(figures), row, "|", color=color, markersize=15, markeredgewidth=2.4)
        axes.set_title(title, color=INK, fontsize=10, loc="left")
        axes.set_xlabel("percent", color=INK)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper right", ncols=len(labels), frameon=False, labelcolor=INK
    )
    save_figure(figure, path)
