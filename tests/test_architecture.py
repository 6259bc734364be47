"""The house: imports go down only, siblings do not see each other, no method imports another.

``FLOORS`` names every package, sub-package and module outside a package once, the ground first. CONTRIBUTING
shows the same table.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "wsvad_lightning"
CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("ops", "timeline"),
    ("files", "types", "configs", "checkpoint"),
    ("layers", "losses"),
    ("video", "metrics"),
    ("data.datasets",),
    ("data.store",),
    ("data.convert", "data.loading"),
    ("extraction.backbones", "methods.base", "prepare"),
    ("extraction", "methods"),
    ("carried",),
    ("interop", "reporting"),
    ("runs",),
    ("bench", "demo", "serving", "speed"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
EMPTY = {"data"}  # packages that hold only rooms
METHOD_ROOMS = {"methods.base"}


def name_of(path: Path) -> str:
    """The dotted name of a module, without the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE / "_configs"
}


def room_of(module: str) -> str | None:
    """The room that a module lies in: the longest name in the table that it begins with."""
    parts = module.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if name in FLOOR), None)


def imported(module: str) -> Iterator[str]:
    """The modules of this package that a module imports, wherever in its text, relative imports included."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from _own(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([PACKAGE.name, *filter(None, above), *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            yield from _own(name if _is_module(name) else base for name in names)


def _is_module(name: str) -> bool:
    return name.removeprefix(f"{PACKAGE.name}.") in MODULES


def _own(names: Iterator[str]) -> Iterator[str]:
    for name in names:
        if name.startswith(f"{PACKAGE.name}."):
            yield name.removeprefix(f"{PACKAGE.name}.")


@pytest.mark.parametrize("module", [name for name in MODULES if name not in {"", *EMPTY}])
def test_imports_go_down(module: str) -> None:
    own = room_of(module)
    assert own is not None, f"{module} lies in no room of the table"
    for name in imported(module):
        target = room_of(name)
        if target is None:
            assert name in EMPTY, f"{module} imports {name}, which lies in no room of the table"
            continue
        down = FLOOR[target] < FLOOR[own]
        assert down or target == own, (
            f"{module} in {own} (floor {FLOOR[own]}) imports {name} in {target} (floor {FLOOR[target]})"
        )


def test_every_room_of_the_table_exists() -> None:
    for room in FLOOR:
        assert room in MODULES, f"{room} is in the table and not in the package"


def test_every_package_has_a_floor() -> None:
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py" and name}
    assert {name for name in packages if room_of(name) is None} == EMPTY


METHODS = sorted({name.split(".")[1] for name in MODULES if name.startswith("methods.")} - {"base"})


@pytest.mark.parametrize("method", METHODS)
def test_no_method_imports_another(method: str) -> None:
    prefix = f"methods.{method}"
    for module in MODULES:
        if module != prefix and not module.startswith(f"{prefix}."):
            continue
        for name in imported(module):
            if room_of(name) == "methods":
                assert name == prefix or name.startswith(f"{prefix}."), f"{module} imports {name}"


def test_modules_of_a_room_do_not_import_in_circles() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"imports in a circle: {' -> '.join([*path, module])}"
        if module in done:
            return
        for name in sorted(set(imported(module)) & MODULES.keys()):
            # A package's __init__ names its own modules; these may use one another.
            if not module.startswith(f"{name}.") and name != module:
                visit(name, (*path, module))
        done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_ground_needs_torch_and_the_standard_library_only(level: int) -> None:
    heavy = {"lightning", "h5py", "rich", "wandb", "jsonargparse", "transformers", "av"}
    for room in FLOORS[level]:
        for node in ast.walk(ast.parse(MODULES[room].read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.split(".")[0] for name in names} & heavy, room


def test_contributing_shows_the_same_floors() -> None:
    text = CONTRIBUTING.read_text("utf-8")
    expected = [
        f"| {level} | {', '.join(f'`{room}`' for room in rooms)} |" for level, rooms in enumerate(FLOORS)
    ]
    missing = [row for row in expected if row not in text]
    assert not missing, "CONTRIBUTING lacks these rows:\n" + "\n".join(missing)
