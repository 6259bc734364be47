"""What importing the package must not need."""

import subprocess
import sys

from tests.test_architecture import MODULES, PACKAGE

IMPORT_WITHOUT_FCNTL = """
import builtins, importlib, sys

plain = builtins.__import__

def without_fcntl(name, globals=None, *rest, **named):
    if name == "fcntl" and globals and globals["__name__"].partition(".")[0] == "wsvad_lightning":
        raise ModuleNotFoundError("No module named 'fcntl'", name=name)
    return plain(name, globals, *rest, **named)

builtins.__import__ = without_fcntl
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def run(code: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_module_imports_where_fcntl_is_absent() -> None:
    """As on Windows. The locking library may import it; on Windows it takes another way."""
    names = [f"{PACKAGE.root.name}.{name}".rstrip(".") for name in MODULES if name != "__main__"]
    run(IMPORT_WITHOUT_FCNTL, *names)


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
    run(f"import sys; {imports}; assert not {{'torch', 'lightning', 'portalocker'}} & sys.modules.keys()")
