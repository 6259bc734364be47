"""The picture of a search: which settings mattered, and where in their ranges the good trials lie."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.figures import CHANCE, INK, MODEL, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna import Study
    from optuna.trial import FrozenTrial

FEWEST = 4  # trials to compare
PANELS = 4  # settings that are shown, the most important ones


def draw_importance(study: "Study", path: Path) -> None:
    """Draw the importance of every setting by PED-ANOVA, and the trials over the most important ones.

    Source: Watanabe, Bansal and Hutter, IJCAI 2023: how much the best trials of all differ from the others
    in a setting alone.

    Args:
        study: with trials that ended.
        path: the PNG to write, whole or not at all.

    Raises:
        WSVADError: if there are too few trials, matplotlib is missing, or it cannot be written.
    """
    from optuna.importance import get_param_importances

    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(ended) < FEWEST:
        problem = f"{len(ended)} trials that ended are too few"
        raise WSVADError("search", path, problem, f"Run {FEWEST} or more")
    with warnings.catch_warnings(record=True) as said:  # where the best trials are all trials
        warnings.simplefilter("always")
        shares = get_param_importances(study)
    shown = list(shares)[:PANELS]
    figure = new_figure(path, height=4.4)
    figure.suptitle(f"{len(ended)} trials, video AUC of held-out training videos", color=INK, fontsize=13)
    bars, *panels = figure.subplots(1, 1 + len(shown), width_ratios=[1.4, *[1] * len(shown)])
    style(bars)
    bars.barh(list(shares), list(shares.values()), color=MODEL, height=0.55)
    bars.set(xlim=(0, 1))
    bars.set_title("importance: no difference" if said else "importance", color=INK, fontsize=10)
    bars.invert_yaxis()
    for axes, key in zip(panels, shown, strict=True):
        draw_trials(axes, key, ended)
    panels[0].set_ylabel("percent", color=INK)
    save_figure(figure, path)


def draw_trials(axes: "Axes", key: str, ended: "list[FrozenTrial]") -> None:
    """Draw what the trials reached over a setting; the best one is filled."""
    style(axes)
    values = [trial.params[key] for trial in ended]
    reached = [100 * (trial.value or 0) for trial in ended]
    best = reached.index(max(reached))
    axes.scatter(values, reached, s=34, facecolor="none", edgecolor=MODEL)
    axes.scatter(values[best], reached[best], s=40, color=MODEL, zorder=3)
    axes.axhline(50, color=CHANCE, linewidth=1, linestyle="--")
    if getattr(ended[0].distributions[key], "log", False):
        axes.set_xscale("log")
    axes.set_title(key.rpartition(".")[2], color=INK, fontsize=10)
