"""What the four commands take."""

import pytest

from wsvad_lightning.runs.parsed import Unparsed

OWN = {"verbose", "return_predictions"}  # what the command does with its results


def arguments(command: str) -> dict[str, tuple[object, object, object]]:
    """Kind, type and default of each argument."""
    parser = Unparsed([command])._parser(command)
    return {
        action.dest: (type(action), getattr(action, "_typehint", action.type), action.default)
        for action in parser._actions
    }


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_a_recipe_that_predict_takes_is_taken_alike(command: str) -> None:
    """Every shipped recipe is run by ``fit`` and ``predict``, but only one a method by the others."""
    expected, found = arguments("predict"), arguments(command)
    assert {"model", "data.store", "trainer.max_steps", "seed_everything"} <= found.keys()
    differing = {name for name in {*expected, *found} if found.get(name) != expected.get(name)}
    assert differing <= OWN
