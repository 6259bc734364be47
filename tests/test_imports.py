"""What importing the package must not need."""

import builtins
import importlib
import subprocess
import sys
from typing import Any

from tests.processes import SERVER
from tests.test_architecture import MODULES, PACKAGE


def import_without_fcntl(names: list[str]) -> None:
    """Import modules of the package anew; what others have imported already is there."""
    plain, own = builtins.__import__, PACKAGE.root.name

    def without_fcntl(name: str, where: Any = None, *rest: Any, **named: Any) -> Any:
        if name == "fcntl" and where and where["__name__"].partition(".")[0] == own:
            raise ModuleNotFoundError("No module named 'fcntl'", name=name)
        return plain(name, where, *rest, **named)

    for name in [name for name in sys.modules if name.partition(".")[0] == own]:
        del sys.modules[name]
    setattr(builtins, "__import__", without_fcntl)  # noqa: B010  # whose arguments mypy would have spelt out
    for name in names:
        importlib.import_module(name)


def test_every_module_imports_where_fcntl_is_absent() -> None:
    """As on Windows. The locking library may import it; on Windows it takes another way."""
    names = [f"{PACKAGE.root.name}.{name}".rstrip(".") for name in MODULES if name != "__main__"]
    process = SERVER.Process(target=import_without_fcntl, args=(names,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_stores_and_tables_are_read_without_torch() -> None:
    modules = (
        "store",
        "store.verify",
        "store.inspect",
        "store.export",
        "datasets.command",
        "convert.command",
    )
    imports = "; ".join(f"import wsvad_lightning.data.{module}" for module in modules)
    code = f"import sys; {imports}; assert not {{'torch', 'lightning', 'portalocker'}} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
