"""What README and docs name exists: links, files, configurations, commands, options, defaults, metrics."""

import inspect
import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import get_args

import pytest
import torch
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from tests.recipes import composed
from tests.test_architecture import FLOOR
from wsvad_lightning import methods, metrics
from wsvad_lightning.checkpoint import CONFIG_KEY, VERSION_KEY
from wsvad_lightning.cli import COMMANDS, main
from wsvad_lightning.configs import config_folder
from wsvad_lightning.data.datasets.regions import BoxRegions
from wsvad_lightning.data.datasets.splits import read_split
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.sampling import Sampling
from wsvad_lightning.data.loading.transform import Crops, Normalize
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.extraction.pooling import Pooling, Tail
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.runs.arguments import ABOUT
from wsvad_lightning.runs.parsed import parser_of_fit
from wsvad_lightning.search.outcome import BEST
from wsvad_lightning.timeline import SnippetGrid

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = "|".join(path.name for path in sorted((ROOT / "wsvad_lightning").iterdir()) if path.is_dir())

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)")
REPOSITORY_PATH = re.compile(r"(?<![\w/.-])(?:\.ci|configs|docs|scripts|tests|wsvad_lightning)/[\w<>./*-]*\w")
PACKAGE_PATH = re.compile(rf"(?<![\w/.-])(?:{PACKAGES})/\w+\.py")
YAML_NAME = re.compile(r"[\w<>/.-]+\.yaml")
SETTING = re.compile(r"(?:data|trainer|model)\.\w+")
END_OF_COMMAND = ("|", ">", "2>", "&&", ";")
ELLIPSES = ("…", "...")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def fences(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in these languages; ``""`` means none."""
    return [code for language, code in FENCE.findall(page.read_text()) if language in languages]


def spans(page: Path) -> list[str]:
    """What stands in backticks within the text, each on one line."""
    return [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", page.read_text()))]


def commands_of(page: Path) -> Iterator[str]:
    """What a page shows as typed, in blocks and in its text; not what is left open by an ellipsis."""
    for code in fences(page, "", "sh", "bash", "console", "text"):
        yield from (line.strip().removeprefix("$ ") for line in code.replace("\\\n", " ").splitlines())
    yield from (span for span in spans(page) if not any(mark in span for mark in ELLIPSES))


def arguments_of(line: str) -> list[str]:
    """The arguments of a command line of ``wsvad``, up to a pipe or the like."""
    words = shlex.split(line, comments=True)
    end = min((words.index(mark) for mark in END_OF_COMMAND if mark in words), default=len(words))
    return words[words.index("wsvad") + 1 : end]


WSVAD_LINE = re.compile(r"(?:\w+=\S+ )*wsvad ")
MENTIONED = ("wsvad stages", "wsvad search", "wsvad leaderboard")  # names in the text, not whole commands
PLUGINS = (
    "my_method.",
    "linearmil",
    "colours",
    "floats",
)  # of files that pages print; test_plugin and test_plugins run them
DATA_FILE = re.compile(r"[\w/.-]+\.(h5|json)\b")  # is not read: lines that differ in it alone are one
WSVAD_LINES = sorted(
    {
        DATA_FILE.sub(r"name.\1", line): line
        for page in PAGES
        for line in commands_of(page)
        if WSVAD_LINE.match(line) and line not in MENTIONED and not any(plugin in line for plugin in PLUGINS)
    }.values()
)


@cache
def own_configs(page: Path) -> dict[str, str]:
    """The configurations that a page writes out itself: blocks whose first line is ``# name.yaml``."""
    blocks = [dedent(block) for block in fences(page, "yaml")]
    titles = [re.match(r"# (\S+\.yaml)\n", block) for block in blocks]
    return {title[1]: block for title, block in zip(titles, blocks, strict=True) if title}


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def help_of(*command: str) -> frozenset[str]:
    """The options that the help of a subcommand lists; of `fit`, for features and for pixels."""
    shown = io.StringIO()
    pixels = [["--model", name] for name in methods.PIXELS if command == ("fit",)]
    for more in ([], *pixels):
        with redirect_stdout(shown), pytest.raises(SystemExit):
            main([*command, *more, "--help"])
    return frozenset(re.findall(r"--[\w.-]+", shown.getvalue())) | {"--debug"}


def underscored(option: str) -> str:
    """Spell an option as its parameter: ``--skip-broken`` as ``--skip_broken``."""
    return "--" + option.removeprefix("--").replace("-", "_")


def options_of(args: list[str]) -> frozenset[str]:
    """The options that a subcommand takes; those of `fit` too where it is run by it."""
    handed_on = help_of("fit") if args[0] in ("bench", "search", "stages") else frozenset[str]()
    return help_of(*subcommand(args)) | handed_on


def subcommand(args: list[str]) -> tuple[str, ...]:
    """The words that name a subcommand: two where there are several of one kind."""
    return tuple(args[:2]) if " ".join(args[:2]) in COMMANDS else (args[0],)


def is_listed(option: str, options: frozenset[str]) -> bool:
    """Whether help lists an option, or what it belongs to if it is of a class, as ``--model.dropout`` is."""
    inside_class = option.startswith(("--model.", "--trainer.logger."))
    argument = option.partition(".init_args.")[0]  # of the class: the rest is of what is given for it
    return option in options or (inside_class and argument.rpartition(".")[0] in options)


# ----------------------------------------------------------------------------------- links and files


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = page.parent / name if name else page
        assert linked.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(linked), f"{target} names no heading"


@each_page
def test_named_files_exist(page: Path) -> None:
    text = page.read_text()
    for name in REPOSITORY_PATH.findall(text):
        assert any(ROOT.glob(re.sub(r"<\w+>", "*", name))), f"there is no {name}"
    for name in PACKAGE_PATH.findall(text):
        assert (ROOT / "wsvad_lightning" / name).is_file(), f"the package has no {name}"


@each_page
def test_named_configurations_exist(page: Path) -> None:
    written = {f"{command}.yaml" for command in ABOUT} | {ExperimentWriter.NAME_HPARAMS_FILE}
    written |= {*own_configs(page), BEST, "sweep.yaml"}
    for name in YAML_NAME.findall(page.read_text()):
        shipped = config_folder().glob(re.sub(r"<\w+>", "*", name.removeprefix("configs/")))
        assert Path(name).name in written or (ROOT / name).is_file() or any(shipped), f"there is no {name}"


@each_page
def test_make_targets_modules_and_extras_exist(page: Path) -> None:
    text, makefile = page.read_text(), (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in commands_of(page):
        if made := re.fullmatch(r"make (\w+)", line):
            assert re.search(rf"^{made[1]}:", makefile, re.MULTILINE), f"there is no `{line}`"
    for module in re.findall(r"python -m (wsvad_lightning[\w.]*|tests[\w.]*)", text):
        assert find_spec(module), f"there is no module {module}"
    for extras in re.findall(rf"{project['name']}\[([\w,]+)\]", text):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys()


# ------------------------------------------------------------------------------ commands and options


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the configurations that the pages write out themselves, and those of the tests."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for page in PAGES:
        for name, text in own_configs(page).items():
            (tmp_path / name).write_text(text)
    return tmp_path


@cache
def text_of(recipe: str) -> str:
    """A recipe as a run saves it."""
    text: str = parser_of_fit().dump(composed(recipe))
    return text


def leave_run(args: list[str]) -> None:
    """Make what a command reads of an earlier run or of Hugging Face: checkpoint and configuration."""
    args[:] = [word.replace("hf://", "hub/") for word in args]
    given = " ".join(args)
    of_a_method = {
        "--model.prompts": "ucf_vadclip.yaml",
        "--model.dictionary": "ucf_s3r.yaml",
        "--model.score_from": "xd_hlnet.yaml",
    }
    name = next((name for option, name in of_a_method.items() if option in given), "ucf_urdmu.yaml")
    recipe = text_of(name)
    carried = {CONFIG_KEY: recipe, VERSION_KEY: "2.6.6"}
    state = {"state_dict": {}, "optimizer_states": [], **carried}
    for option, value in pairwise(args):
        checkpoint, saved = option == "--ckpt_path", option == "--config" and Path(value).name == "fit.yaml"
        if checkpoint or saved:
            Path(value).parent.mkdir(parents=True, exist_ok=True)
        if checkpoint:
            torch.save(state, value)
        if saved:
            Path(value).write_text(recipe)


@pytest.mark.parametrize("line", WSVAD_LINES)
def test_command_parses(line: str, workplace: Path) -> None:
    """The parser of the subcommand takes the whole line, values and configurations included."""
    args = arguments_of(line)
    leave_run(args)
    try:
        hands_on = args[0] in ("bench", "search")  # what follows "--" is of `fit`
        at = len(subcommand(args)) if hands_on else len(args)
        status = main([*args[:at], "--print_config", *args[at:]])  # parses, and runs nothing
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 0
    options = {word.split("=")[0] for word in args if word.startswith("--")} - {"--help", "--"}
    unknown = {option for option in options if not is_listed(option, options_of(args))}
    assert not unknown, "an abbreviation, or not an option of this subcommand"


@each_page
def test_options_and_settings_in_the_text_exist(page: Path) -> None:
    known = frozenset().union(*(help_of(*name.split()) for name in COMMANDS)) | {"--version", "--"}
    for span in spans(page):
        if span.startswith("--") and span != "--":
            assert is_listed(re.split(r"[ =]", span)[0], known), f"there is no option {span}"
        elif span not in {*FLOOR, "--"} and (setting := SETTING.match(span)):
            assert is_listed(f"--{setting[0]}", help_of("fit")), f"there is no setting {span}"


# ------------------------------------------------------------------------------- pages of the methods

SECTIONS = ["Parameters", "Parity", "Deviations", "Recipe"]
METHODS = {name.lower(): getattr(methods, name) for name in (*methods.__all__, *methods.PIXELS)}
TABLE = r"^\| {} \|.*\n\|[ |-]+\n((?:\|.*\n)+)"
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")

each_method = pytest.mark.parametrize("name", METHODS)


def described(name: str, kind: str) -> dict[str, str]:
    """The second cell of the rows of a method's table that are of one argument or term."""
    (table,) = re.findall(
        TABLE.format(kind), (ROOT / f"docs/methods/{name}.md").read_text(), re.MULTILINE
    ) or [""]
    return dict(re.findall(r"^\| `(\w+)` \| *([^|]*?) *\|", table, re.MULTILINE))


@each_method
def test_pages_of_methods_have_the_same_sections(name: str) -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / f"docs/methods/{name}.md").read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS


@each_method
def test_arguments_of_methods_are_reported_with_their_defaults(name: str) -> None:
    kinds = [vars(kind)["__init__"] for kind in METHODS[name].__mro__ if "__init__" in vars(kind)]
    takes = {
        entry.name: entry.default
        for kind in kinds[::-1]
        for entry in inspect.signature(kind).parameters.values()
    }
    reported = described(name, "argument")
    assert reported
    for argument, default in reported.items():
        assert argument in takes
        if NUMBER.fullmatch(default):
            assert takes[argument] == pytest.approx(float(default)), argument


@each_method
def test_terms_of_methods_are_reported_with_their_weights(name: str) -> None:
    for term, weight in described(name, "term").items():
        assert term in METHODS[name].default_loss_weights
        if NUMBER.fullmatch(weight):
            assert METHODS[name].default_loss_weights[term] == pytest.approx(float(weight)), term


# -------------------------------------------------------------------------------- tables of the pages


def rows(page: str) -> dict[str, str]:
    """The first two cells of every table row of a page whose first cell is one name in backticks."""
    text = (ROOT / "docs" / page).read_text()
    found = re.findall(r"^\| `([\w-]+)` \|([^|]*)\|", text, re.MULTILINE)
    return {underscored(name) if name.startswith("--") else name: cell.strip() for name, cell in found}


def test_extraction_options_are_reported_with_their_defaults() -> None:
    reported = rows("data.md")
    parameters = inspect.signature(extract).parameters.values()
    options = {f"--{entry.name}": entry.default for entry in parameters if entry.default is not entry.empty}
    assert {name for name in reported if name.startswith("--")} == {*options, "--config"}
    for name, default in {**options, **{entry.name: entry.default for entry in fields(StreamSpec)}}.items():
        assert name in reported
        if isinstance(default, str | int):
            assert reported[name] == f"`{str(default).lower()}`", name


def test_every_setting_of_the_data_module_is_reported() -> None:
    text = (ROOT / "docs" / "data.md").read_text()
    for name in inspect.signature(WSVADDataModule).parameters.keys() - {"seed"}:
        assert f"data.{name}" in text, f"data.{name} is not explained"
    kinds = (Sampling, Crops, Normalize, Pooling, Tail)
    for choice in (choice for kind in kinds for choice in get_args(kind)):
        assert f"`{choice}`" in text, f"{choice} is not explained"


def test_metrics_are_reported_by_the_names_they_have() -> None:
    measured = metrics.FrameMetrics(SnippetGrid(1, 1), classes=["fall"])
    truth = torch.tensor([0, 1])
    measured.update("normal", torch.tensor([0.1, 0.2]), 0, 2)
    measured.update("abnormal", torch.tensor([0.3, 0.4]), 1, 2, truth, classes=["fall"])
    of_regions = metrics.RegionMetrics(SnippetGrid(1, 1))
    of_regions.update("normal", torch.zeros(2, 1, 1), BoxRegions((), 2, 1, 1))
    names = measured.compute().keys()
    page = ROOT / "docs" / "metrics.md"
    with pytest.warns(UserWarning, match="is NaN"):
        assert rows("metrics.md").keys() == {*names, *of_regions.compute()}
    for name in measured.per_class()["fall"]:
        assert f"`{name}`" in page.read_text(), name
    (example,) = fences(page, "json")
    assert json.loads(example)["metrics"].keys() == names


def test_numbers_of_the_metrics_page_are_what_the_code_gives() -> None:
    (code,) = fences(ROOT / "docs" / "metrics.md", "python")
    reported = re.findall(r"^(\w.*?)  # ([\d.]+)$", code, re.MULTILINE)
    assert len(reported) == 4
    names: dict[str, object] = {}
    exec(code, names)
    for expression, value in reported:
        assert eval(expression, names) == pytest.approx(float(value), abs=1e-12), expression


@each_page
def test_annotations_and_splits_are_readable(page: Path, tmp_path: Path) -> None:
    for code in fences(page, ""):
        if code.startswith("video,label"):
            (tmp_path / "videos.csv").write_text(code)
            assert len(read_annotations(tmp_path / "videos.csv")) == len(code.splitlines()) - 1
    for span in spans(page):
        if span.startswith('{"train"'):
            (tmp_path / "split.json").write_text(span)
            assert read_split(tmp_path / "split.json").train
