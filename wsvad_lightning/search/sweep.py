"""The space of a search as a sweep of Weights & Biases."""

import rich
import yaml

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.runs.parsed import parse_fit
from wsvad_lightning.search.study import OBJECTIVE, Search

ONLINE = ("--config", "with/wandb.yaml", "--trainer.logger.offline", "false")  # a sweep reads what is logged


def write_sweep(search: Search, path: str) -> None:
    """Write what ``wandb sweep`` takes: the same space and objective, each run a ``wsvad fit``.

    A run trains with one seed, the first one.

    Raises:
        WSVADError: if the method is trained in stages, or the file cannot be written.
    """
    if "stage" in parse_fit(search.arguments).model.init_args:
        problem = "takes one training a run, and the method of the recipe is trained in stages"
        raise WSVADError("--sweep", path, problem, "Search without --sweep")
    held_out = ("--data.val_fraction", str(search.val_fraction), "--seed_everything", str(search.seeds[0]))
    sweep = {
        "method": "bayes",
        "metric": {"name": OBJECTIVE, "goal": "maximize"},
        "parameters": {key: setting.for_sweep() for key, setting in search.space.settings.items()},
        "command": ["wsvad", "fit", *search.arguments, *ONLINE, *held_out, "${args}"],
    }
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    rich.print(f"{path}: `wandb sweep {path}` begins it")
