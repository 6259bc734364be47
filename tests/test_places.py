"""Adding a method touches seven places at most: CONTRIBUTING lists them, and nothing else has to know it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsvad_lightning import methods

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "wsvad_lightning"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PLACES = re.findall(r"^\| \d\. \| `([^`]+/[^`]+)` \|", CONTRIBUTING, re.MULTILINE)
FROM_CODE = ("interop/", "parity/")  # places of methods whose authors released code
WITHOUT_CODE = {"GSMoE", "Gaussian", "TPWNG"}
SPEED = {"speed/step.py", "speed/pruning.py"}  # measure methods that they name, not all


def exists(place: str, name: str) -> bool:
    """Whether a place holds a file of a method; golden manifests and their cases have names of their own."""
    if "parity/" in place:
        cases = ROOT.glob(place.replace("<id>", "*"))
        return any(case.stem.replace("_", "").startswith(name) for case in cases)
    pattern = place.replace("<id>", name).replace("<dataset>", "*")
    folder = pattern.replace(".py", "/__init__.py")  # a method of many lines
    return any([*ROOT.glob(pattern), *ROOT.glob(folder)])


def test_there_are_seven() -> None:
    assert len(PLACES) == 7


@pytest.mark.parametrize("method", methods.__all__)
def test_a_method_is_in_every_place(method: str) -> None:
    for place in PLACES:
        if method in WITHOUT_CODE and any(part in place for part in FROM_CODE):
            continue
        assert exists(place, method.lower()), f"{method} lacks {place}"


def names_in(module: Path) -> Iterator[str]:
    """The names and whole texts in the code of a module, its comments and docstrings aside."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_nothing_else_in_the_package_names_a_method() -> None:
    known = set(methods.__all__)
    for module in PACKAGE.rglob("*.py"):
        path = module.relative_to(PACKAGE).as_posix()
        if path.startswith(("methods/", "interop/")) or path in SPEED:
            continue
        assert not known & set(names_in(module)), f"{path} names a method"
