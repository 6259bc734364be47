"""A method outside the package, as CONTRIBUTING prints it: found in the current folder and trained."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.processes import run_command
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The printed method in the current folder, and the arguments that train it."""
    pattern = r"^ +```python\n( +# my_method.py\n.*?)^ +```"
    (code,) = re.findall(pattern, PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "my_method.py").write_text(dedent(code))
    make_store(tmp_path / "store.h5", dim=16, train=3, test=2)
    monkeypatch.chdir(tmp_path)
    data = ["--data.store", "store.h5", "--data.batch_size", "2", "--data.segments", "4"]
    return [
        "--model",
        "my_method.MyMethod",
        *data,
        "--trainer.max_steps",
        "2",
        "--trainer.accelerator",
        "cpu",
    ]


def script(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the console script, which does not look for modules in the current folder."""
    wsvad = shutil.which("wsvad", path=str(Path(sys.executable).parent))
    assert wsvad is not None
    return subprocess.run([wsvad, *args], capture_output=True, text=True, check=False)


def test_the_printed_method_trains_and_tests(plugin: list[str]) -> None:
    trained = script("fit", *plugin)
    assert trained.returncode == 0, trained.stderr
    checkpoint = "runs/wsvad/version_0/checkpoints/last.ckpt"
    (line,) = re.findall(r"^Next: wsvad (.*)$", trained.stderr, re.MULTILINE)
    assert line == f"test --ckpt_path {checkpoint} --model my_method.MyMethod"
    tested = run_command(*line.split())
    assert tested.returncode == 0, tested.stderr


def test_the_printed_recipes_of_it_are_compared(plugin: list[str]) -> None:
    """From the current folder, as `wsvad fit` finds it."""
    blocks = re.findall(r"^ +```yaml\n( +# (my_\w+\.yaml)\n.*?)^ +```", PAGE, re.DOTALL | re.MULTILINE)
    for code, name in blocks:
        Path(name).write_text(dedent(code))
    methods = [name for _, name in blocks]
    compared = run_command("bench", "--methods", *methods, "--store", "store.h5", "--print_config")
    assert compared.returncode == 0, compared.stderr
    weights = re.findall(r"^ +smooth: (\S+)", compared.stdout, re.MULTILINE)
    assert methods == ["my_method.yaml", "my_ablation.yaml"]
    assert weights == ["0.0"] * 2  # last and best-on-val; what is not given is the class's


def test_an_unannotated_optimizer_works(plugin: list[str]) -> None:
    code = Path("my_method.py").read_text()
    untyped = code.replace("hidden_dim: int = 128,", "hidden_dim: int = 128, optimizer=torch.optim.Adam,")
    untyped = untyped.replace("feature_dim=feature_dim,", "feature_dim=feature_dim, optimizer=optimizer,")
    assert untyped.count("optimizer") == 3
    Path("my_method.py").write_text(untyped.replace("from torch import", "import torch\nfrom torch import"))
    trained = run_command("fit", *plugin)
    assert trained.returncode == 0, trained.stderr


def test_a_plugin_that_is_absent_is_a_mistake(plugin: list[str]) -> None:
    Path("my_method.py").unlink()
    trained = run_command("fit", *plugin)
    assert trained.returncode == 2
    assert "--model='my_method.MyMethod': no such class" in trained.stderr.splitlines()[-1]


def test_a_module_that_fails_when_it_is_imported_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fails_at_once.py").write_text("import no_such_package_of_mine\n")
    assert main(["fit", "--model", "fails_at_once.Mine", "--data.store", "s.h5"]) == 2
    assert "cannot be imported (ModuleNotFoundError: No module named 'no_such_p" in capsys.readouterr().err
