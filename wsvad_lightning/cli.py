"""The command ``wsvad``: a table of commands, each imported when it is used."""

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Literal

from wsvad_lightning import __version__
from wsvad_lightning.errors import WSVADError, did_you_mean
from wsvad_lightning.signals import Stopped, StopSignals, until_reader_leaves

PACKAGE = "wsvad_lightning"

COMMANDS: dict[str, tuple[str, str]] = {  # name: where its function is, what it does
    "fit": ("runs.command:fit", "train a method: wsvad fit --config ucf_urdmu.yaml"),
    "test": ("runs.command:test", "measure a checkpoint: wsvad test --ckpt_path last.ckpt"),
    "validate": ("runs.command:validate", "measure a checkpoint on the held-out part of the training videos"),
    "predict": ("serving.command:predict", "score videos: wsvad predict --ckpt_path a.ckpt --videos a.mp4"),
    "watch": ("serving.watch:watch", "score cameras while they run: wsvad watch rtsp://… --ckpt_path a.ckpt"),
    "serve": (
        "serving.service.command:serve",
        "score over HTTP, with a page: wsvad serve --ckpt_path a.ckpt",
    ),
    "stages": ("runs.stages:run_stages", "train and test all stages of a method that is trained in stages"),
    "bench": ("bench.command:bench", "compare methods: wsvad bench --methods urdmu rtfm --store mine.h5"),
    "search": (
        "search.command:search",
        "settings by held-out training videos: wsvad search --config ped2_urdmu.yaml --space a.yaml",
    ),
    "calibrate": (
        "serving.calibrate:calibrate",
        "the alarm threshold of a promised rate: wsvad calibrate --ckpt_path a.ckpt",
    ),
    "normal": (
        "serving.normal:normal",
        "normal videos alone to a calibrated model: wsvad normal videos/",
    ),
    "report": ("reporting.html.command:report", "a page to read: wsvad report runs/mine/version_1"),
    "leaderboard": (
        "reporting.html.leaderboard:leaderboard",
        "results next to published figures: wsvad leaderboard runs/*/results.json -o a.html",
    ),
    "extract": ("extraction.command:extract", "videos to features: wsvad extract videos/ store.h5"),
    "data convert": (
        "data.convert.command:convert",
        "features of others to a store: wsvad data convert UCF/ -o a.h5",
    ),
    "data annotations": ("data.datasets.command:annotations", "official annotations to a table"),
    "data captions": (
        "extraction.captions:captions",
        "texts of events to a stream: wsvad data captions texts.csv --store a.h5",
    ),
    "data info": ("data.store.verify:info", "show what a store holds"),
    "data inspect": ("data.store.inspect:inspect", "whose features a store holds, and what contradicts it"),
    "data verify": ("data.store.verify:verify", "check a store, annotations and splits"),
    "data split": ("data.store.split:split", "new training and test parts: wsvad data split a.h5 -o b.json"),
    "data remove": ("data.store.remove:remove", "take videos out of a store: wsvad data remove a.h5 gate_01"),
    "data merge": ("data.store.merge:merge", "several stores into one: wsvad data merge a.h5 b.h5 -o c.h5"),
    "data export": ("data.store.export:export", "a store to .npy files"),
    "data share": (
        "serving.share_store:share_store",
        "a store as a folder with a card: wsvad data share a.h5 -o a",
    ),
    "export": (
        "serving.export:export",
        "a model as a file of its own: wsvad export --ckpt_path a.ckpt -o a",
    ),
    "share": ("serving.share:share", "a model as a folder with a card: wsvad share --ckpt_path a.ckpt -o a"),
    "label": ("serving.labelling.command:label", "label videos on a page: wsvad label videos/ -o videos.csv"),
    "import-weights": ("interop.command:import_weights", "the authors' weights to a checkpoint"),
    "demo": ("demo.run:demo", "render videos, extract, train and test, in minutes"),
    "schema": ("runs.command:schema", "write the JSON schema of recipes, for editors"),
    "completion": ("cli:completion", "write completions for a shell: wsvad completion bash"),
}
FOOT = (
    "wsvad COMMAND --help explains a command. --debug shows the traceback of an error, --version the version."
)


def main(args: Sequence[str] | None = None) -> int:
    """Run ``wsvad``.

    Args:
        args: command line without the program's name; that of the process by default.

    Returns:
        0, or 2 after a user's mistake, which is explained in one line; some commands return others.

    Raises:
        Stopped: with the status of the signal, if one ended the command.
        SystemExit: with the status of SIGPIPE, if the reader of standard output closed it.
    """
    given = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in given
    try:
        with StopSignals(), until_reader_leaves():
            return run([arg for arg in given if arg != "--debug"])
    except Stopped as stopped:
        sys.stderr.write(f"{stopped.said}\n")
        raise
    except Exception as error:
        if debug or not is_mistake(error):
            raise
        sys.stderr.write(f"error: {as_typed(error, given)}\n")
        return 2


def as_typed(error: Exception, args: Sequence[str]) -> str:
    """Say a mistake in one line; a parameter that was typed as an option is named so."""
    said, argument = " ".join(str(error).split()), getattr(error, "argument", "")
    options = [arg.partition("=")[0] for arg in args if arg.startswith("--")]
    typed = {option[2:].replace("-", "_").replace(".init_args", ""): option for option in options}
    option = typed.get(argument.removeprefix("--").replace("-", "_"))
    return said if option is None else f"{option}{said.removeprefix(argument)}"


def is_mistake(error: Exception) -> bool:
    """Whether an exception is for the user to fix, not the programmer's."""
    if isinstance(error, OSError) or type(error).__name__ == "MisconfigurationException":  # of Lightning
        return True
    return isinstance(error, ValueError) and type(error) is not ValueError


def run(args: Sequence[str]) -> int:
    """Run one command, and give its exit status.

    Raises:
        WSVADError: if the command does not exist, or its arguments do not work.
    """
    if not args or args[0] in ("-h", "--help"):
        sys.stdout.write(help_of(COMMANDS))
        return 0 if args else 2
    if args[0] == "--version":
        sys.stdout.write(f"wsvad {__version__}\n")
        return 0
    name = next((name for name in (" ".join(args[:2]), args[0]) if name in COMMANDS), None)
    if name is not None:
        return run_command(name, args[len(name.split()) :])
    group = [name for name in COMMANDS if name.startswith(f"{args[0]} ")]
    if group and args[1:2] in ([], ["-h"], ["--help"]):
        sys.stdout.write(help_of(group))
        return 0 if args[1:] else 2
    wanted, known = (
        (args[1], [name.split()[1] for name in group]) if group else (args[0], [*COMMANDS, "data"])
    )
    raise WSVADError("command", wanted, "unknown command", did_you_mean(wanted, known) + "See `wsvad --help`")


def run_command(name: str, args: Sequence[str]) -> int:
    """Run a function with what its parser makes of the arguments, or one that parses them itself."""
    function = load(name)
    if parses_itself(function):
        status = function(args)
    else:
        from wsvad_lightning.parsing import parse_function

        status = function(**parse_function(name, function, args))
    return status if isinstance(status, int) else 0


def parses_itself(function: Callable[..., Any]) -> bool:
    """Whether a function takes the arguments as they were typed."""
    return function.__code__.co_varnames[:1] == ("args",)


def load(name: str) -> Callable[..., Any]:
    """Import the function of a command."""
    if not name.startswith("data "):  # these need no PyTorch
        from wsvad_lightning.startup import import_torchmetrics

        import_torchmetrics()
    module, _, function = COMMANDS[name][0].partition(":")
    found: Callable[..., Any] = getattr(import_module(f"{PACKAGE}.{module}"), function)
    return found


def help_of(names: Iterable[str]) -> str:
    """List commands."""
    rows = [f"  {name:<16}  {COMMANDS[name][1]}" for name in names]
    return "\n".join(["usage: wsvad COMMAND ...", "", *rows, "", FOOT, ""])


def completion(shell: Literal["bash", "zsh", "fish", "tcsh"]) -> None:
    """Write what completes commands and options in a shell.

    Args:
        shell: which one; ``wsvad completion bash > ~/.wsvad`` makes a file to source in ``~/.bashrc``.
    """
    from jsonargparse import ArgumentParser

    top = ArgumentParser(prog="wsvad")
    commands = top.add_subcommands(required=False)
    data = ArgumentParser(description="make and check feature stores")
    commands.add_subcommand("data", data, help=data.description)
    data_commands = data.add_subcommands(required=False)
    for name in COMMANDS:
        group = data_commands if name.startswith("data ") else commands
        group.add_subcommand(name.split()[-1], parser_of(name), help=COMMANDS[name][1])
    sys.stdout.write(top.get_completion_script(f"shtab-{shell}"))


def parser_of(name: str) -> Any:
    """Make the parser of a command; a function that parses its arguments itself has one next to it."""
    from wsvad_lightning.parsing import function_parser

    function = load(name)
    if not parses_itself(function):
        return function_parser(name, function)
    return sys.modules[function.__module__].parser_of(name)
