"""The house: imports go down only, siblings do not see each other, no method imports another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "wsvad_lightning"
FLOORS = (
    {"types", "errors", "ops", "files", "checkpoint", "configs", "official", "snippets"},
    {"data", "layers", "losses", "metrics"},
    {"methods", "prepare", "backbones"},
    {"carried"},
    {"interop", "reporting"},
    {"training"},
    {"benchmark", "demo", "serving"},
    {"cli"},
    {"__main__"},
)
BASES = {"base", "magnitude", "prompted"}  # what methods are built on, no methods themselves
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package != ROOT.name or not rest:
            continue
        target = rest.split(".")[0]
        allowed = target == own or FLOOR[target] < FLOOR[own] or FLOOR[own] in (0, len(FLOORS) - 1)
        assert allowed, f"{path.name} on floor {FLOOR[own]} imports {name} on floor {FLOOR[target]}"


@pytest.mark.parametrize("path", sorted((ROOT / "methods").glob("*.py")), ids=lambda path: path.stem)
def test_no_method_imports_another(path: Path) -> None:
    if path.stem in ("__init__", *BASES):
        return
    prefix = "wsvad_lightning.methods."
    others = {name.removeprefix(prefix) for name in imported(path) if name.startswith(prefix)}
    assert others <= BASES


def test_floor_zero_needs_torch_and_the_standard_library_only() -> None:
    for name in FLOORS[0]:
        for module in imported(ROOT / f"{name}.py"):
            assert module.split(".")[0] not in {"lightning", "h5py", "numpy", "rich", "wandb"}
