"""The wheel: all files of the package and the shipped configurations are in it, and found from there."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    inside = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = [path for path in (ROOT / "wsvad_lightning").rglob("*") if "__pycache__" not in path.parts]
    configs = ROOT / "configs"
    expected = {path.relative_to(ROOT).as_posix() for path in package if path.is_file()}
    assert {Path(name).suffix for name in expected} >= {".j2", ".css", ".js", ".csv", ".py"}
    shipped = {path.relative_to(configs).as_posix() for path in configs.rglob("*") if path.is_file()}
    assert inside == expected | {f"wsvad_lightning/_configs/{name}" for name in shipped}


def test_an_unpacked_wheel_finds_its_configurations(wheel: Path, tmp_path: Path) -> None:
    ZipFile(wheel).extractall(tmp_path / "site")
    code = "from wsvad_lightning.configs import find_config; print(find_config('ucf_urdmu.yaml'))"
    path = {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, text=True, check=True)
    assert Path(ran.stdout.strip()) == tmp_path / "site" / "wsvad_lightning" / "_configs" / "ucf_urdmu.yaml"
