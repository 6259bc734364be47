"""The picture of the trials."""

from pathlib import Path

import optuna
import pytest
from matplotlib.image import imread

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.figures import MODEL
from wsvad_lightning.search.picture import draw_importance


def study_of(trials: int) -> optuna.Study:
    """A study in which the rate alone matters."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(trials):
        trial = study.ask()
        rate = trial.suggest_float("model.optimizer.lr", 1e-4, 1e-1, log=True)
        trial.suggest_categorical("data.crops", ["max", "mean"])
        study.tell(trial, 1 / (1 + 100 * rate))
    return study


def test_a_setting_that_matters_has_the_longer_bar(tmp_path: Path) -> None:
    draw_importance(study_of(40), tmp_path / "a.png")
    image = imread(tmp_path / "a.png")
    color = [int(MODEL[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    inked = (abs(image[..., :3] - color).max(axis=-1) < 0.02).sum(axis=1)
    middle = len(inked) // 2
    assert (inked[:middle] > 300).sum() > 50  # of the bar: dots are narrower
    assert (inked[middle:] > 300).sum() == 0


def test_a_few_trials_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="3 trials that ended are too few. Run 4 or more"):
        draw_importance(study_of(3), tmp_path / "a.png")
    assert [*tmp_path.iterdir()] == []
