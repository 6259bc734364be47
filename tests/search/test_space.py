"""Spaces: what may vary, and one line for every mistake."""

from pathlib import Path

import pytest

from tests.recipes import composed
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.search.space import Choices, Range, Space, arguments_of, read_space

RECIPE = composed("ped2_urdmu.yaml").as_dict()


def read(folder: Path, text: str) -> Space:
    (folder / "space.yaml").write_text(text)
    return read_space(str(folder / "space.yaml"), RECIPE)


def test_ranges_and_choices_are_read(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "model.optimizer.init_args.lr: {low: 1e-5, high: 1.0e-2, log: true}\n"
        "trainer.max_steps: {low: 20, high: 200}\n"
        "data.features: [motion_1x1, [motion_2x3, motion_4x6]]\n"
        "data.clip: [null, 5.0, 8]\n",
    )
    assert space.settings == {
        "model.optimizer.init_args.lr": Range(1e-5, 1e-2, log=True),
        "trainer.max_steps": Range(20, 200),
        "data.features": Choices(("motion_1x1", '["motion_2x3", "motion_4x6"]')),
        "data.clip": Choices(("null", "5.0", "8")),
    }
    first, second, third = space.examples()
    assert arguments_of(third)[2:] == [
        *("--trainer.max_steps", "20", "--data.features", "motion_1x1", "--data.clip", "8")
    ]
    assert (first["trainer.max_steps"], second["trainer.max_steps"]) == (20, 200)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model.dropuot: [0, 1]",
            "is not a setting of this recipe. Did you mean model.dropout",
        ),
        ("[" * 5000, "cannot be read"),
        ("data.store: [a.h5, b.h5]", "data.store': is set by the search, or says which videos train"),
        ("model.stage: [1, 2]", "which trains all stages"),
        ("data.gt_rule: [exact, rtfm]", "data.gt_rule': says what is measured"),
        ("trainer.val_check_interval: [1, 2]", "says when the search looks"),
        ("model.dropout: {low: 0}", "must be a range or a list of choices. Write {low: 1.0e-4, high"),
        ("model.dropout: {low: 0, high: 1, step: 2}", "must be a range or a list of choices"),
        ("model.dropout: {low: 1, high: 1}", "low 1 is not below high 1"),
        ("model.dropout: {low: 0, high: 1, log: true}", "model.dropout.low': 0 has no logarithm"),
        ("model.dropout: {low: 0, high: much}", "model.dropout.high': must be a number"),
        ("model.dropout: {low: 0, high: .inf}", "model.dropout.high': must be a number"),
        ("model.dropout: {low: 0, high: 1, log: 3}", "model.dropout.log': must be true or false"),
        ("model.dropout: [0.1]", "must have two or more different choices"),
        ("model.dropout: [0.1, 0.1, 0.2]", "must have two or more different choices"),
        ("[]", "must map settings to what they may be"),
        ("a: [", "cannot be read (while parsing"),
    ],
)
def test_a_mistake_is_a_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WSVADError, match="--space=") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sweep_has_the_same_ends(tmp_path: Path) -> None:
    space = read(
        tmp_path, "trainer.max_steps: {low: 20, high: 200, log: true}\nmodel.dropout: {low: 0.1, high: 1}"
    )
    steps, dropout = (setting.for_sweep() for setting in space.settings.values())
    assert steps == {"distribution": "q_log_uniform_values", "min": 20, "max": 200}
    assert dropout == {"distribution": "uniform", "min": 0.1, "max": 1.0}


@pytest.mark.parametrize(
    "values",
    [
        {"model.dropout": 0.2},
        {"model.dropout": 0.2, "data.crops": "max", "trainer.callbacks": "os.system"},
        {"model.dropout": 2.0, "data.crops": "max"},
        {"model.dropout": "0.2", "data.crops": "max"},
        {"model.dropout": 0.2, "data.crops": "max --trainer.callbacks"},
    ],
)
def test_values_of_a_journal_are_of_the_space(values: dict[str, object], tmp_path: Path) -> None:
    space = read(tmp_path, "model.dropout: {low: 0.1, high: 1}\ndata.crops: [max, mean]")
    space.check({"model.dropout": 0.2, "data.crops": "max"}, tmp_path)
    with pytest.raises(WSVADError, match="not as the space has it"):
        space.check(values, tmp_path)
