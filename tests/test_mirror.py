"""The tests mirror the package: ``tests/<room>/test_<module>.py`` tests the module ``<room>/<module>.py``."""

from pathlib import Path

from tests.test_architecture import MODULES

TESTS = Path(__file__).parent
PARITY = "parity"  # the comparison with reference numbers is a tool of its own
EXCEPTIONS = {
    "data/datasets/test_readers.py": "every reader of official annotations, on small files of each",
    "data/loading/test_streams.py": "streams on their way through dataset, transform and batch",
    "data/store/test_store_crash.py": "writers that are killed",
    "interop/test_official.py": "every official checkpoint, from import to test",
    "methods/test_contract.py": "what holds for every method",
    "methods/test_long_videos.py": "blocks of long videos, for every method",
    "prepare/test_fit.py": "artefacts that fit prepares by itself",
    "reporting/test_events.py": "events of a run in its files",
    "serving/test_predict_videos.py": "predict on videos and folders of them",
    "test_architecture.py": "which module may import which",
    "test_coverage.py": "the page that answers the switches of other systems",
    "test_bad_input.py": "mistakes at every command",
    "test_dockerfile.py": "what the Dockerfile names",
    "test_docs.py": "what README and docs say",
    "test_docs_site.py": "the site that is built from README, docs and docstrings",
    "test_draw_docs.py": "the script that draws the pictures of the documentation",
    "test_hostile_checkpoints.py": "checkpoints made to do harm",
    "test_imports.py": "what every command imports",
    "test_load.py": "the script that puts load on wsvad",
    "test_mirror.py": "this file",
    "test_notebooks.py": "the notebooks, as scripts",
    "test_places.py": "the places that a new method touches",
    "test_plugin.py": "a method outside the package",
    "test_real_video.py": "a whole run on real video",
    "test_wheel.py": "the wheel, unpacked and used",
}


def mirrored(test: str) -> bool:
    """Whether a test file has the name of a module, or of a module and a part of it."""
    *folders, file = test.removesuffix(".py").split("/")
    words = file.removeprefix("test_").split("_")
    names = ("_".join(words[:end]) for end in range(len(words), 0, -1))
    return any(".".join([*folders, name]) in MODULES for name in names)


FILES = [
    name
    for path in sorted(TESTS.rglob("test_*.py"))
    if not (name := path.relative_to(TESTS).as_posix()).startswith(f"{PARITY}/")
]


def test_every_test_file_has_the_name_of_a_module() -> None:
    strangers = [name for name in FILES if not mirrored(name) and name not in EXCEPTIONS]
    assert strangers == [], "rename them after the module that they test, or list them as exceptions"


def test_every_exception_is_one() -> None:
    assert [name for name in EXCEPTIONS if name not in FILES or mirrored(name)] == []


def test_names_of_modules_and_of_their_parts_are_accepted() -> None:
    assert mirrored("metrics/test_frame.py")
    assert mirrored("metrics/test_frame_ties.py")
    assert mirrored("test_cli.py")
    assert not mirrored("metrics/test_frames.py")
    assert not mirrored("losses/test_frame.py")
