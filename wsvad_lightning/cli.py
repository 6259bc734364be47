"""The command ``wsvad``: one line for every mistake, one typed function for every subcommand."""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, auto_cli
from lightning.fabric.utilities.exceptions import MisconfigurationException

from wsvad_lightning import methods
from wsvad_lightning.bench.command import bench
from wsvad_lightning.data.convert.command import convert
from wsvad_lightning.data.datasets.command import annotations
from wsvad_lightning.data.store.export import export
from wsvad_lightning.data.store.merge import merge
from wsvad_lightning.data.store.split import split
from wsvad_lightning.data.store.verify import info, verify
from wsvad_lightning.demo.run import tour
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.interop.command import import_weights
from wsvad_lightning.runs import run as training
from wsvad_lightning.runs.stages import run_stages
from wsvad_lightning.serving.command import PredictCLI


def demo(output: str = "runs/demo") -> None:
    """Render surveillance-like videos, extract features, train UR-DMU, test it, and show what it is worth.

    Args:
        output: folder for everything; what is there already is not made again.
    """
    tour(Path(output))


COMMANDS: dict[str, Any] = {  # a function, or several by name
    "extract": extract,
    "data": {
        "annotations": annotations,
        "convert": convert,
        "info": info,
        "verify": verify,
        "split": split,
        "merge": merge,
        "export": export,
    },
    "import-weights": import_weights,
    "stages": run_stages,
    "bench": bench,
    "demo": demo,
}

HELP = """usage: wsvad COMMAND ...   (wsvad COMMAND --help explains each)

train, test and serve weakly supervised video anomaly detectors:
  fit             train:              wsvad fit --config ucf_urdmu.yaml
  test            measure:            wsvad test --ckpt_path runs/ucf_urdmu/version_0/checkpoints/last.ckpt
  predict         score videos:       wsvad predict --ckpt_path last.ckpt --videos clip.mp4
                  or a store:         wsvad predict --ckpt_path last.ckpt --data.store mine.h5
  stages          train and test all stages of a method that has several, with the arguments of fit:
                                      wsvad stages --config sht_ssrl.yaml
  validate        measure on the held-out part of the training videos
make and check feature stores:
  extract         videos to features: wsvad extract videos/ store.h5 --annotations videos.csv
  data convert    published features: wsvad data convert UCF_Train/ -o store.h5 --annotations ucf_crime
  data annotations  official files of a benchmark to a table:
                                      wsvad data annotations UCF_Crimes/ --from ucf_crime -o ucf.csv
  data info       what a store holds
  data verify     whether it is whole, and fits annotations and splits
  data split      new parts:          wsvad data split mine.h5 -o split.json --test 0.3 --group_by '^[^_]+'
  data merge      several into one:   wsvad data merge a.h5 b.h5 -o c.h5
  data export     back to .npy files: wsvad data export mine.h5 arrays/ --layout crops
compare methods:
  bench           on every split and seed:
                                      wsvad bench --methods urdmu rtfm --store mine.h5 --splits splits.json
more:
  import-weights  the authors' weights to a checkpoint
  demo            all of it on rendered videos, in minutes
options:
  --debug         show the traceback of an error
"""

RENAMED = {"-o": "--output", "--from": "--from_"}  # `from` is no name for an argument in Python

SEVERAL = ("annotations", "merge")  # commands of `data` that take any number of files

PARSER_NOISE = (  # what the parser says around the line that matters
    "Does not validate against any",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Expected a <class 'NoneType'>",
    "Expected a path but",
)


def run(args: Sequence[str]) -> int:
    """Run one subcommand and give the exit status.

    Raises:
        WSVADError: if there is no such subcommand.
    """
    if not args or args[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return 0 if args else 2
    command, *rest = args
    if command in training.COMMANDS:
        training.run_trainer(args, PredictCLI if command == "predict" else training.WSVADCLI)
        return 0
    if command == "stages" and not {"-h", "--help"} & set(rest):
        run_stages(rest)
        return 0
    if command == "bench":
        return bench(spell_out(rest))
    if command not in COMMANDS:
        known = ", ".join([*training.COMMANDS, *COMMANDS])
        raise WSVADError("command", command, "there is no such command", f"The commands are {known}")
    resolved, _ = training.resolve_configs(rest)
    if command == "data":
        resolved = gather(resolved)
    status: int | None = auto_cli(COMMANDS[command], args=spell_out(resolved), exit_on_error=False)
    return status or 0


def spell_out(args: Sequence[str]) -> list[str]:
    """Write ``-o`` as ``--output``, ``--skip-broken`` as ``--skip_broken true``, … for the parser."""
    spelt = []
    for i, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name in RENAMED:
            name = RENAMED[name]
        elif name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        spelt.append(name + equals + value)
        if spelt[-1] == "--skip_broken" and args[i + 1 : i + 2] not in (["true"], ["false"]):
            spelt.append("true")
    return spelt


def gather(args: Sequence[str]) -> list[str]:
    """Write the files before the first option as the one list that the parser wants of some commands."""
    subcommand, *rest = args or [""]
    if subcommand not in SEVERAL:
        return list(args)
    count = next((i for i, arg in enumerate(rest) if arg.startswith("-")), len(rest))
    return [subcommand, *([json.dumps(rest[:count])] if count else []), *rest[count:]]


def explain(error: Exception, command: str) -> str:
    """Put what the parser says of a wrong argument into one line, without the types it tried in vain."""
    lines = [line.strip(" -") for line in str(error).splitlines()]
    told = " ".join(line for line in lines if line and not line.startswith(PARSER_NOISE))
    if told.startswith('Parser key "model": Expected a dot import path'):
        return f"{told}. The methods are {', '.join(methods.__all__)}"
    return f"{told.rstrip('.')}. See `wsvad {command} --help`"


def is_no_advertisement(record: logging.LogRecord) -> bool:
    """Keep Lightning's tips for its other products, and what concerns nobody, out of every run's output."""
    message = record.getMessage()
    return "Tip: For seamless" not in message and "`weights_only` was not set" not in message


def main(args: Sequence[str] | None = None) -> int:
    """Run ``wsvad``.

    Args:
        args: command line without the program's name; that of the process by default.

    Returns:
        0, or 2 after a mistake of the user, told in one line; some subcommands say more by others.
    """
    given = list(sys.argv[1:] if args is None else args)
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(is_no_advertisement)
    debug = "--debug" in given
    try:
        return run([arg for arg in given if arg != "--debug"])
    except (ArgumentError, MisconfigurationException, OSError, ValueError) as error:
        of_parser = isinstance(error, ArgumentError) or str(error).startswith(PARSER_NOISE)
        if debug or (type(error) is ValueError and not of_parser):
            raise
        told = explain(error, given[0]) if of_parser else " ".join(str(error).split())
        sys.stderr.write(f"error: {told}\n")
        return 2
