"""Which modules of a package import which, read from their text, against a table of floors."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Floors = tuple[tuple[str, ...], ...]
FREE = {"__version__"}  # what any module may take from the package's own __init__


@dataclass(frozen=True)
class Package:
    """A package and its floors. Modules go by their dotted names without the package's own.

    Attributes:
        root: Folder of the package.
        floors: Rooms (packages, sub-packages and modules outside a package) of each floor, the ground first.
        unread: Folders of the package that hold no modules of it.
    """

    root: Path
    floors: Floors
    unread: frozenset[str] = frozenset()

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Path of every module by name; ``""`` is the package's own ``__init__``."""
        found = {}
        for path in sorted(self.root.rglob("*.py")):
            *folders, name = path.relative_to(self.root).with_suffix("").parts
            if not self.unread & {*folders}:
                found[".".join(folders if name == "__init__" else [*folders, name])] = path
        return found

    @cached_property
    def floor(self) -> dict[str, int]:
        """Floor of every room."""
        return {room: level for level, rooms in enumerate(self.floors) for room in rooms}

    def room_of(self, module: str) -> str | None:
        """The room of a module: the longest name in the table that it begins with."""
        parts = module.split(".")
        names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((name for name in names if name in self.floor), None)

    def imported(self, module: str) -> Iterator[str]:
        """Modules that a module imports or names, wherever in its text.

        Seen are imports in functions and for type checking, relative ones, attributes of the package after
        ``import package``, and strings such as ``"package.room.module:function"``. ``""`` is yielded where
        something is taken from the package's own ``__init__``.
        """
        tree = ast.parse(self.modules[module].read_text("utf-8"))
        for name in self._named(module, tree):
            if name == self.root.name:
                yield ""
            elif name.startswith(f"{self.root.name}."):
                inner = name.removeprefix(f"{self.root.name}.").split(".")
                prefixes = (".".join(inner[:end]) for end in range(len(inner), 0, -1))
                found = next((prefix for prefix in prefixes if prefix in self.modules), "")
                if found or inner[0] not in FREE:
                    yield found

    def _named(self, module: str, tree: ast.AST) -> Iterator[str]:
        """Whole dotted names of what a text imports or names."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:  # `import package` shows in the attributes that are read of it
                    if alias.name != self.root.name or alias.asname:
                        yield alias.name
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(module, node)
                yield from (base if alias.name == "*" else f"{base}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Attribute):
                yield ast.unparse(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = node.value.partition(":")[0].rstrip(".")
                yield named if "." in named else ""

    def _absolute(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        is_package = self.modules[module].name == "__init__.py"
        parts = [self.root.name, *filter(None, module.split("."))]
        above = parts[: len(parts) - node.level + is_package]
        return ".".join([*above, *filter(None, [node.module])])

    def upward(self, module: str) -> list[str]:
        """What is wrong with the imports of a module: not from a floor below nor from its own room."""
        own = self.room_of(module)
        if own is None:
            return [f"{module} is in no room of the table"]
        problems = []
        for name in dict.fromkeys(self.imported(module)):
            if not name:
                problems.append(f"{module} imports from the package itself instead of a module")
                continue
            target = self.room_of(name)
            if target is None and self.is_empty(name):
                continue
            if target is None:
                problems.append(f"{module} imports {name}, which is in no room of the table")
            elif target != own and self.floor[target] >= self.floor[own]:
                levels = f"{own} (floor {self.floor[own]}) imports {target} (floor {self.floor[target]})"
                problems.append(f"{module} imports {name}: {levels}")
        return problems

    def is_empty(self, module: str) -> bool:
        """Whether a module is the ``__init__`` of a package that holds only rooms and runs nothing."""
        path = self.modules[module]
        body = ast.parse(path.read_text("utf-8")).body
        return path.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)

    def circle(self, module: str, path: Iterable[str] = (), done: set[str] | None = None) -> list[str]:
        """A circle of imports that begins at a module, or an empty list.

        The ``__init__`` of a package imports its own modules, which may import one another and nothing of it.
        """
        way, seen = [*path, module], set() if done is None else done
        if module in way[:-1]:
            return way[way.index(module) :]
        if module in seen:
            return []
        for name in sorted({*self.imported(module)} - {"", module}):
            if not module.startswith(f"{name}.") and (found := self.circle(name, way, seen)):
                return found
        seen.add(module)
        return []
