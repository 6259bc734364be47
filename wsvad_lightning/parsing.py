"""Parsers of the commands: recipes found by name, and one line for every mistake."""

import argparse
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args, get_origin, get_type_hints

import docstring_parser
import yaml
from jsonargparse import (  # type: ignore[attr-defined]  # ActionConfigFile is public without saying so
    ActionConfigFile,
    ArgumentError,
    ArgumentParser,
    set_loader,
    set_parsing_settings,
)

from wsvad_lightning.configs import find_config, included_by, load_yaml, read_config
from wsvad_lightning.errors import WSVADError, did_you_mean

# A configuration names classes: none is made where the parameter takes any value, and none is imported that
# jsonargparse's own list denies (an empty list adds nothing to it, and makes it hold).
set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])
set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))

Parser = argparse.ArgumentParser | ArgumentParser

SHORT = {"output": ("-o",)}

KINDS = {  # in words
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list",
    "dict": "a mapping",
}
NOISE = (  # lines that only name the types that were tried in vain
    "Does not validate against any",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Expected a <class 'NoneType'>",
    "Expected a path but",
    "Parser key",
    "Problem with given class_path",
)
LOOP = "Config file loop detected"


class ConfigFile(ActionConfigFile):
    """``--config``: a file, or a shipped recipe by its name; also the file of a method alone."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        """Add what the file holds to the arguments, after what it includes.

        jsonargparse reads what it includes as well, but drops all of a section of which the file has a part.
        """
        path = find_config(values)
        method = parser._option_string_actions.get("--model")
        if method is not None and "class_path" in read_config(path):  # the file of a method, as `model: FILE`
            method(parser, cfg, str(path), "--model")
            return
        for one in (*included_by(path), path):
            super().__call__(parser, cfg, str(one), option_string)  # type: ignore[no-untyped-call]


def parse_function(command: str, function: Callable[..., Any], args: Sequence[str]) -> dict[str, Any]:
    """Parse the arguments of a command whose function has typed parameters.

    Raises:
        WSVADError: if they do not parse.
    """
    parser = function_parser(command, function)
    with explained(parser):
        values = parser.instantiate(parser.parse_args(list(args)))
    return {name: values[name] for name in inspect.signature(function).parameters}


def function_parser(command: str, function: Callable[..., Any]) -> ArgumentParser:
    """Make the parser of a command from its function's signature and docstring.

    Parameters without a default are required: by position, or as ``--name`` where they are keyword-only.
    Lists take one or more values, ``bool`` is switched on by its name, and ``_`` may be written ``-``.
    """
    doc, hints = docstring_parser.parse(inspect.getdoc(function) or ""), get_type_hints(function)
    described = {entry.arg_name: entry.description for entry in doc.params}
    parser = ArgumentParser(prog=f"wsvad {command}", description=doc.short_description, exit_on_error=False)
    parser.add_argument("--config", action=ConfigFile, help="file of arguments, or the name of a shipped one")
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        settings: dict[str, Any] = {"type": kind, "help": described.get(name)}
        if get_origin(kind) is list and get_args(kind)[0] in (str, int):
            settings |= {"type": get_args(kind)[0], "nargs": "+"}
        if kind is bool:
            settings |= {"nargs": "?", "const": True}
        required = parameter.default is parameter.empty
        if required and parameter.kind is not parameter.KEYWORD_ONLY:
            parser.add_argument(name, **settings)
            continue
        settings |= {"required": True} if required else {"default": parameter.default}
        typed = name.removesuffix("_")
        spellings = dict.fromkeys((f"--{typed}", f"--{typed.replace('_', '-')}"))
        if name.endswith("_"):  # a word that Python reserves
            settings["dest"] = name
        parser.add_argument(*SHORT.get(name, ()), *spellings, **settings)
    return parser


@contextmanager
def explained(parser: Parser, classes: Mapping[str, Mapping[str, str]] | None = None) -> Iterator[None]:
    """Put what a parser says of a wrong argument into one line.

    Args:
        parser: whose errors they are.
        classes: of the arguments that take a class by an id of ours, the classes by id.

    Raises:
        WSVADError: in place of the parser's error; what a class of ours says of its values stays as it is.
    """
    try:
        yield
    except ArgumentError as error:
        raise explain(message_of(error), parser, classes or {}) from error
    except ValueError as error:  # of a value that is made, where several types may fit
        first: BaseException | None = error
        while first is not None and not isinstance(first, WSVADError):
            first = first.__cause__
        raise first or error from None


def message_of(error: BaseException) -> str:
    """Give what a parser says of a wrong argument.

    jsonargparse reads the file of an argument once more when its content is refused, and then reports only
    that the file includes itself.
    """
    before, loop, _ = str(error).partition(LOOP)
    first: BaseException | None = error
    while loop and first is not None and LOOP in str(first):
        first = first.__cause__ or first.__context__
    return str(error) if first is None else f"{before}{first if loop else ''}"


def explain(message: str, parser: Parser, classes: Mapping[str, Mapping[str, str]]) -> WSVADError:
    """Name the argument, its value and the remedy, without the types that were tried in vain."""
    about = parser.format_help()
    see, options = f"See `{parser.prog} --help`", re.findall(r"--[\w.-]+", about)

    def spell(key: str) -> str:
        """Write the key of an argument as it is typed."""
        key = key.removeprefix(f"{parser.prog.split()[-1]}.").removesuffix("_")
        typed = (f"--{key}", f"--{key.replace('_', '-')}")
        return next((option for option in typed if option in options), f"--{key}" if "." in key else key)

    if found := re.search(r"arguments are required: (.*)", message):
        missing = [spell(key) for key in found[1].split(", ")]
        return WSVADError(
            " and ".join(missing), None, "is required" if len(missing) == 1 else "are required", see
        )
    if found := re.search(r"unrecognized arguments: ([^\s=]+)|does not accept option '([^']+)'", message):
        unknown = found[1] or f"--{found[2]}"
        if unknown in options and re.search(r"\s--\s", about):  # named as an example of what follows --
            return WSVADError(unknown, None, "is an option of `wsvad fit`", f"Give it after --. {see}")
        return WSVADError(unknown, None, "is not an option", did_you_mean(unknown, options) + see)
    if found := re.search(r"argument (?:-\w/)?([^:/\s]+)[^:]*: expected .*argument", message):
        return WSVADError(found[1], None, "needs a value", see)
    keys = dict.fromkeys(
        part for key in re.findall(r'Parser key "([^"]+)"', message) for part in key.split(".")
    )
    argument = spell(".".join(keys))
    found = re.search(r"(?:Given value|Got value): (.*)", message)
    value = found[1] if found and not found[1].startswith("NestedArg") else None
    if "Not a valid subclass of" in message or "has no attribute 'keys'" in message:
        problem = "must name a class that fits, and its init_args must be a mapping"
        return WSVADError(argument, value, problem, "Write {class_path: NAME, init_args: {SETTING: VALUE}}")
    if found := re.search(
        r"Option '([^']+)' is not accepted(?:\. Got value: Namespace\(class_path='([^']+)')?", message
    ):
        paths = [*re.findall(r"class_path '([^']+)'", message), *filter(None, [found[2]])]
        if not paths:
            return WSVADError(found[1], None, "is not a setting", see)
        kind = paths[-1].rpartition(".")[2]
        bases = [getattr(action, "_typehint", None) for action in parser._actions]
        if kind in [getattr(base, "__name__", None) for base in bases]:  # taken where no class is named
            problem = f"must name a class: {found[1]} is a setting of one"
            return WSVADError(argument, None, problem, see)
        remedy = f"See `{parser.prog} {argument}.help {kind}`"
        return WSVADError(f"{argument}.{found[1]}", None, f"is not an option of {kind}", remedy)
    if found := re.search(
        r"dot import path string: (\S+)|import path format: (.+?)\.?$|Importing '(\S+)' is not allowed|"
        r"No module named '(\S+)'|has no attribute '(\S+)'",
        message,
    ):
        unknown, known = next(filter(None, found.groups())), classes.get(argument, {})
        remedy = (
            f"{did_you_mean(unknown, known)}Known are {', '.join(known)}" if known else "Give its import path"
        )
        paths = re.findall(r"class_path '([^']+)'", message) if found[4] or found[5] else []
        given, problem = paths[-1] if paths else unknown, "not allowed here" if found[3] else "no such class"
        return WSVADError(argument, given, problem, remedy)
    if sets := re.findall(r"Literal\[(.*?)\]", message):
        choices = list(dict.fromkeys(one.strip(" '") for each in sets for one in each.split(",")))
        return WSVADError(
            argument, value, f"must be one of {', '.join(choices)}", did_you_mean(value or "", choices) + see
        )
    kinds = dict.fromkeys(
        KINDS[name] for name in re.findall(r"Expected a <class '(\w+)'>", message) if name in KINDS
    )
    if KINDS["dict"] in kinds and (parts := re.fullmatch(r"Namespace\((.*)\)", value or "")):
        whole = f"{{{parts[1].replace('=', ': ')}}}"  # a recipe named its entries by dotted names
        remedy = f"Write {argument.rpartition('.')[2]}: {whole}"
        return WSVADError(argument, whole, "is a mapping, which a recipe gives as a whole", remedy)
    if kinds:
        return WSVADError(argument, value, f"must be {' or '.join(kinds)}", see)
    lines = [line for line in (line.strip(" -") for line in message.splitlines()) if line]
    said = " ".join(line for line in lines if not line.startswith(NOISE)).rstrip(".")
    return WSVADError(argument or "--config", value, said, see)
