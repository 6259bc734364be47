"""Fixtures that several folders share."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.browser import browser, open_address  # noqa: F401  # fixtures
from tests.videos import make_video, texture  # noqa: F401  # fixtures
from wsvad_lightning.data.store.synthetic import make_store

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that runs the tests in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # the tests are many and small, and run side by side

RAM_DISK, ENOUGH = Path("/dev/shm"), 4 << 30  # whatever is written whole waits for the disk
if RAM_DISK.is_dir() and shutil.disk_usage(RAM_DISK).free > ENOUGH:
    os.environ["TMPDIR"] = tempfile.tempdir = str(RAM_DISK)  # a move from one disk to another is a copy
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests that import ONNX Runtime send nothing either
gc.disable()  # until all tests are collected, which makes much and drops little

LONG = (
    "test_golden.py",
    "test_store_crash.py",
    "test_compare.py",
    "test_run.py",
    "test_ranks.py",
    "test_real_video.py",
)


def pytest_xdist_auto_num_workers() -> int:
    """Work with one more than there are cores: tests wait for processes and pages a seventh of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests take long: one that came last would leave other cores idle."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """Collect garbage again, but more rarely, and not among what was imported: it stays to the end."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)  # with the usual ones it takes a twentieth of the tests' time
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _without_pictures() -> Iterator[None]:
    """Let ``wsvad test`` draw where a test looks at it: elsewhere a picture that fails is only a note."""
    from wsvad_lightning.runs.run import WSVADCLI  # not before the tests are collected: it takes seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WSVADCLI, "picture", False)
        yield


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store: 6 + 6 training and 3 + 3 test videos, 2 crops of 16 channels, two anomaly classes."""
    folder = tmp_path_factory.mktemp("store")
    return make_store(folder / "synthetic.h5", crops=2, classes=("fall", "fight"), seed=7)


@pytest.fixture(scope="session")
def clip_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of CLIP features, with two classes of XD-Violence."""
    folder = tmp_path_factory.mktemp("clip")
    return make_store(folder / "synthetic.h5", crops=2, classes=("B1", "G"), text_aligned=True, seed=7)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real videos and annotations, where the environment names one."""
    folder = os.environ.get("WSVAD_DATA")
    if folder is None:
        pytest.skip("WSVAD_DATA does not name a folder with data/ucsd_ped2 and data/annotations")
    return Path(folder) / "data"
