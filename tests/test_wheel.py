"""The wheel, built from the source distribution: all files of the package are in it, and found there."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
CODE = """
import sys
from pathlib import Path
import wsvad_lightning
from wsvad_lightning.configs import find_config
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.demo.render import DemoSpec, list_clips, render_clip
from wsvad_lightning.reporting.html.page import HERE
from wsvad_lightning.data.datasets.reading import SHIPPED

(clip,) = list_clips(DemoSpec(1, 0, 0, 0, min_frames=60, max_frames=60, width=64, height=48), seed=0)
render_clip(clip, Path.cwd())
table = SHIPPED / "ucf_crime.csv"
for found in (wsvad_lightning.__file__, find_config("ucf_urdmu.yaml"), HERE / "report.css", table):
    assert Path(found).is_file()
    print(found)
print(len(read_annotations(table)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``python -m build`` makes it: first the source distribution, and the wheel from that alone."""
    folder = tmp_path_factory.mktemp("wheel")
    (source,) = SdistBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    unpacked = Path(source.removesuffix(".tar.gz"))
    (built,) = WheelBuilder(str(unpacked)).build(directory=str(folder), versions=["standard"])
    return Path(built)


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    inside = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = [path for path in (ROOT / "wsvad_lightning").rglob("*") if "__pycache__" not in path.parts]
    configs = ROOT / "configs"
    expected = {path.relative_to(ROOT).as_posix() for path in package if path.is_file()}
    assert {Path(name).suffix for name in expected} >= {".j2", ".css", ".js", ".csv", ".py"}
    shipped = {path.relative_to(configs).as_posix() for path in configs.rglob("*") if path.is_file()}
    assert inside == expected | {f"wsvad_lightning/_configs/{name}" for name in shipped}


def test_an_unpacked_wheel_finds_its_files_and_renders_a_clip(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    ZipFile(wheel).extractall(site)
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", CODE]
    ran = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    *found, videos = ran.stdout.splitlines()
    assert len(found) == 4
    assert all(Path(path).is_relative_to(site / "wsvad_lightning") for path in found)
    assert int(videos) == 1900
    assert [path.suffix for path in work.iterdir()] == [".mp4"]
