"""Imports go down only, siblings do not see each other, no method imports another.

``FLOORS`` names every package, sub-package and module outside a package once, the ground first. CONTRIBUTING
shows the same table. How imports are read is in :mod:`tests.imports`, which is tested below on packages with
one mistake each.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.imports import Floors, Package

ROOT = Path(__file__).parents[1]
FLOORS: Floors = (
    ("errors",),
    ("alarms", "ops", "shared", "timeline"),
    ("files", "folders", "types", "plugins", "checkpoint", "startup", "quiet", "signals"),
    ("calibration", "configs", "layers", "losses", "optimizers", "ranks", "slurm", "start"),
    ("video", "metrics", "parsing"),
    ("data.datasets",),
    ("data.store",),
    ("data.convert", "data.loading"),
    ("extraction.backbones", "methods.base", "prepare"),
    ("extraction", "methods"),
    ("carried",),
    ("interop", "reporting"),
    ("runs",),
    ("bench", "demo", "serving", "speed"),
    ("search",),
    ("cli",),
    ("__main__",),
)
PACKAGE = Package(ROOT / "wsvad_lightning", FLOORS, unread=frozenset({"_configs"}))
FLOOR = PACKAGE.floor
MODULES = PACKAGE.modules
METHODS = sorted({name.split(".")[1] for name in MODULES if name.startswith("methods.")} - {"base"})


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name and not (PACKAGE.is_empty(name) and name not in FLOOR)]
)
def test_imports_go_down(module: str) -> None:
    assert PACKAGE.upward(module) == []


def test_every_room_of_the_table_exists_once() -> None:
    rooms = [room for level in FLOORS for room in level]
    assert sorted({*rooms}) == sorted(rooms)
    assert [room for room in rooms if room not in MODULES] == []


def test_every_package_has_a_floor_of_its_own() -> None:
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py" and name}
    inside = {name for name in packages if name.startswith("methods.") and name.split(".")[1] in METHODS}
    without = {name for name in packages - inside if name not in FLOOR}
    assert {name for name in without if not PACKAGE.is_empty(name)} == set()


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in MODULES.values()}
    assert {folder for folder in folders if not (folder / "__init__.py").is_file()} == set()


def test_the_package_itself_imports_nothing_at_once() -> None:
    body = ast.parse(MODULES[""].read_text("utf-8")).body  # what is in functions is imported on use
    names = [node.module for node in body if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    assert {(name or "").split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("method", METHODS)
def test_no_method_imports_another(method: str) -> None:
    prefix = f"methods.{method}"
    for module in MODULES:
        if module == prefix or module.startswith(f"{prefix}."):
            others = {name for name in PACKAGE.imported(module) if PACKAGE.room_of(name) == "methods"}
            assert {name for name in others if f"{name}.".startswith(f"{prefix}.")} == others, module


def test_modules_do_not_import_in_circles() -> None:
    done: set[str] = set()
    assert [circle for module in MODULES if (circle := PACKAGE.circle(module, done=done))] == []


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_ground_needs_torch_and_the_standard_library_only(level: int) -> None:
    heavy = {"lightning", "h5py", "rich", "wandb", "jsonargparse", "transformers", "av"}
    for room in FLOORS[level]:
        for node in ast.walk(ast.parse(MODULES[room].read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.split(".")[0] for name in names} & heavy, room


def test_contributing_shows_the_same_floors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    expected = [
        f"| {level} | {', '.join(f'`{room}`' for room in rooms)} |" for level, rooms in enumerate(FLOORS)
    ]
    assert re.findall(r"^\| \d+ \| `\w.*\|$", text, re.MULTILINE) == expected


# ------------------------------------------------------------------- packages with one mistake each

EXAMPLE: Floors = (("ground",), ("data.low",), ("data.high", "other"), ("top",))


def example(folder: Path, module: str, text: str) -> Package:
    """A package of four floors, in which one module holds a text."""
    package = Package(folder / "house", EXAMPLE)
    for name in ("", "data", "data/low", "data/high", "data/high/deep", "other"):
        (package.root / name).mkdir(parents=True, exist_ok=True)
        (package.root / name / "__init__.py").write_text('"""Doc."""\n')
    for name in ("ground", "top", "data/low/reader", "data/high/loader", "data/high/deep/end", "other/one"):
        (package.root / f"{name}.py").write_text("")
    (package.root / f"{module}.py").write_text(text)
    return package


@pytest.mark.parametrize(
    ("module", "text", "target"),
    [
        ("ground", "import house.top", "top"),
        ("ground", "import house.data.low.reader as r", "data.low.reader"),
        ("ground", "import house\nhouse.top.run()", "top"),
        ("ground", "from house import top", "top"),
        ("ground", "from house import top as t", "top"),
        ("ground", "from . import top", "top"),
        ("ground", "from .data.low import reader", "data.low.reader"),
        ("ground", "from .data.low.reader import Reader", "data.low.reader"),
        ("ground", "from house.other import *", "other"),
        ("ground", "def late():\n    from house.top import run", "top"),
        ("ground", "if TYPE_CHECKING:\n    from house.top import Run", "top"),
        ("ground", "import_module('house.top')", "top"),
        ("ground", "import_module(f'house.other.{name}')", "other"),
        ("ground", "TABLE = {'run': 'house.top:run'}", "top"),
        ("data/low/reader", "from house.data.high.loader import Loader", "data.high.loader"),
        ("data/low/reader", "from ..high.loader import Loader", "data.high.loader"),
        ("data/low/reader", "from ..high import loader", "data.high.loader"),
        ("data/low/__init__", "from ..high import deep", "data.high.deep"),
        ("data/high/deep/end", "from house.other import one", "other.one"),
        ("data/high/deep/end", "from ....top import run", "top"),
        ("data/high/deep/end", "from .... import other", "other"),
    ],
)
def test_an_import_upwards_or_sideways_is_found(tmp_path: Path, module: str, text: str, target: str) -> None:
    package = example(tmp_path, module, text)
    name = module.replace("/", ".").removesuffix(".__init__")
    (problem,) = package.upward(name)
    assert problem.startswith(f"{name} imports {target}: ")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("top", "from house.data.high.deep import end\nfrom .other import one\nimport house.ground"),
        ("data/high/loader", "from .deep import end\nfrom ..low import reader\nfrom house import data"),
        ("other/one", "import house\nprint(house.__version__)\nfrom house import __version__"),
        ("ground", "import elsewhere.top\nfrom houses.top import run\nNAME = 'see house.top for more'"),
    ],
)
def test_imports_downwards_and_within_a_room_are_fine(tmp_path: Path, module: str, text: str) -> None:
    assert example(tmp_path, module, text).upward(module.replace("/", ".")) == []


@pytest.mark.parametrize(
    ("module", "text", "problem"),
    [
        ("ground", "from house import Detector", "ground imports from the package itself"),
        ("ground", "import house\nhouse.Detector()", "ground imports from the package itself"),
        ("ground", "import house as h", "ground imports from the package itself"),
        ("shed", "", "shed is in no room"),
        ("data/shed", "", "data.shed is in no room"),
    ],
)
def test_what_has_no_place_is_named(tmp_path: Path, module: str, text: str, problem: str) -> None:
    (found,) = example(tmp_path, module, text).upward(module.replace("/", "."))
    assert found.startswith(problem)


def test_a_package_that_runs_something_needs_a_room(tmp_path: Path) -> None:
    package = example(tmp_path, "ground", "from .data import low")
    assert package.is_empty("data")
    package = example(tmp_path, "data/__init__", "from .low import reader")
    assert not package.is_empty("data")


def test_a_circle_of_imports_is_found(tmp_path: Path) -> None:
    package = example(tmp_path, "data/high/deep/end", "from ..loader import load")
    assert package.circle("data.high.loader") == []
    (package.root / "data/high/loader.py").write_text("def late():\n    from .deep.end import End")
    assert package.circle("data.high.loader") == [
        "data.high.loader",
        "data.high.deep.end",
        "data.high.loader",
    ]
    (package.root / "data/high/deep/__init__.py").write_text("from .end import End")
    (package.root / "data/high/loader.py").write_text("")
    (package.root / "data/high/deep/end.py").write_text("from house.data.high import deep")
    assert package.circle("data.high.deep") == []
