"""A package of a method, a backbone and a layout, as the page prints it: installed and used by commands."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.videos import VideoMaker
from wsvad_lightning.bench.recipes import compose, find_methods
from wsvad_lightning.carried import read_carried
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.plugins import load_plugin, path_of, plugins

PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text("utf-8")
NAME = "wsvad_example"


def printed(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, as an installer leaves it."""
    site = tmp_path / "site"
    described = site / f"{NAME}-1.0.dist-info"
    described.mkdir(parents=True)
    (site / f"{NAME}.py").write_text(printed("python"))
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: wsvad-example\nVersion: 1.0\n")
    points = re.findall(r'^\[project\.entry-points\."(.*?)"\]\n(.*?)$', printed("toml"), re.MULTILINE)
    text = "".join(f"[{group}]\n{line.replace(chr(34), '')}\n" for group, line in points)
    (described / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    plugins.cache_clear()
    yield site
    sys.modules.pop(NAME, None)
    plugins.cache_clear()


def run(line: str) -> int:
    return main(line.split())


def test_the_printed_package_extracts_trains_tests_and_compares(
    installed: Path, tmp_path: Path, make_video: VideoMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = ["video,label,num_frames,intervals,split"]
    for number in range(6):
        make_video(f"videos/v{number}.mp4", 16)
        label = ("normal", "abnormal")[number % 2]
        part = "train" if number < 4 else "test"
        rows.append(f"v{number},{label},16,{'4-12' if number % 2 else ''},{part}")
    (tmp_path / "videos.csv").write_text("\n".join(rows))
    assert plugins("wsvad.backbones").keys() == {"colours"}
    assert NAME not in sys.modules  # nothing was named yet
    cut = ["--annotations", "videos.csv", "--snippet_length", "4"]
    assert main(["extract", "videos", "colours.h5", "--streams", "[{backbone: colours}]", *cut]) == 0
    store = FeatureStore(tmp_path / "colours.h5")
    assert store.streams["features"].dim == 6
    assert "wsvad-example 1.0" in store.provenance.preprocessing
    small = "--data.store colours.h5 --data.batch_size 2 --data.segments 4 --trainer.max_steps 2"
    assert run(f"fit --model linearmil --model.k 2 {small} --trainer.accelerator cpu") == 0
    checkpoint = "runs/wsvad/version_0/checkpoints/last.ckpt"

    sys.modules.pop(NAME)
    assert run(f"test --ckpt_path {checkpoint}") == 2
    assert (
        "carries the method 'wsvad_example.LinearMIL', which is not one of the suite's"
        in capfd.readouterr().err
    )
    by_id = "model: {class_path: linearmil, init_args: {k: 2}}"
    with pytest.raises(WSVADError, match="carries the method 'linearmil', which is not one of the suite's"):
        read_carried(by_id, checkpoint, ["urdmu"])
    assert NAME not in sys.modules  # a checkpoint imports nothing
    for trusted in ("linearmil", "wsvad_example.LinearMIL"):
        assert read_carried(by_id, checkpoint, [trusted])["model"]["class_path"] == "wsvad_example.LinearMIL"
    assert run(f"test --ckpt_path {checkpoint} --model linearmil") == 0
    assert run(f"calibrate --ckpt_path {checkpoint} --model linearmil --data.store colours.h5") == 2
    assert "holds no normal video that" in capfd.readouterr().err
    assert run(f"predict --ckpt_path {checkpoint} --model linearmil --videos videos") == 2
    assert "its backbone 'colours' is not one of the suite's" in capfd.readouterr().err

    assert run(f"test --ckpt_path {checkpoint} --model linearmill") == 2
    assert "--model='linearmill': no such class. Did you mean linearmil?" in capfd.readouterr().err
    assert run("fit --model linearmill --data.store colours.h5") == 2
    assert "Did you mean linearmil?" in capfd.readouterr().err
    assert run(f"export --ckpt_path {checkpoint} --format torch -o own") == 2
    assert "Name its class by --model" in capfd.readouterr().err
    assert run(f"export --ckpt_path {checkpoint} --format torch -o own --model linearmil") == 0
    assert run(f"calibrate --ckpt_path {checkpoint} --model linearmil --data.store colours.h5") == 2
    assert "holds no normal video" in capfd.readouterr().err  # all were trained on or are tested on
    (recipe,) = compose(find_methods(["linearmil"]), ["bench/default.yaml"], ["last"], []).values()
    assert recipe.model.class_path == "wsvad_example.LinearMIL"


def test_the_printed_layout_is_converted(
    installed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = np.arange(30, dtype="<f4").reshape(5, 6)  # a size that could be crops
    (tmp_path / "floats" / "deep").mkdir(parents=True)
    rows.tofile(tmp_path / "floats" / "a.f32")
    (rows + 1).tofile(tmp_path / "floats" / "deep" / "b.f32")
    (tmp_path / "videos.csv").write_text("video,label,num_frames\na,normal,20\nb,abnormal,20\n")
    line = "data convert floats -o floats.h5 --annotations videos.csv --snippet_length 4 --from"
    assert run(f"{line} floats") == 0
    store = FeatureStore(tmp_path / "floats.h5")
    assert store["b"].annotation.label == 1
    assert np.array_equal(store.read("b"), rows[:, np.newaxis] + 1)
    assert store.provenance.source == "published features in the layout floats, of wsvad-example 1.0"
    assert "layout floats: of wsvad-example 1.0" in capfd.readouterr().out

    assert run(f"{line} flaots") == 2
    assert "Did you mean floats?" in capfd.readouterr().err
    (tmp_path / "floats" / "a.f32").write_bytes(b"1234")
    (tmp_path / "floats.h5").unlink()
    assert run(f"{line} floats") == 2
    error = capfd.readouterr().err
    assert "a: a.f32 cannot be read (ValueError: cannot reshape array of size 1 into shape (6)" in error
    assert error.count("\n") == 1
    module = installed / f"{NAME}.py"
    module.write_text(module.read_text().replace("rglob", "rglobe"))
    sys.modules.pop(NAME)
    assert run(f"{line} floats") == 2
    assert "wsvad-example 1.0 cannot list the arrays of floats (AttributeError" in capfd.readouterr().err


def test_mistakes_are_named(
    installed: Path, make_video: VideoMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    make_video("videos/a.mp4", 8)
    assert main(["extract", "videos", "a.h5", "--streams", "[{backbone: clip, size: 40}]"]) == 2
    assert "streams.size='40': clip sees images of the size" in capfd.readouterr().err
    assert main(["extract", "videos", "a.h5", "--streams", "[{backbone: colors}]"]) == 2
    assert "streams.backbone='colors': no such backbone. Did you mean colours?" in capfd.readouterr().err
    module = installed / f"{NAME}.py"
    module.write_text(module.read_text().replace("size = 32", "sizes = 32"))
    assert main(["extract", "videos", "a.h5", "--streams", "[{backbone: colours}]"]) == 2
    error = capfd.readouterr().err
    assert "wsvad-example 1.0 cannot make it (AttributeError: 'Colours' object has no attr" in error
    sys.modules.pop(NAME)
    module.write_text("raise RuntimeError('half installed')")
    assert main(["extract", "videos", "a.h5", "--streams", "[{backbone: colours}]"]) == 2
    error = capfd.readouterr().err
    assert "wsvad_example.Colours of wsvad-example cannot be imported (RuntimeError: half installed)" in error
    assert error.count("\n") == 1
    (entry,) = plugins("wsvad.methods").values()
    assert path_of(entry) == "wsvad_example.LinearMIL"
    module.write_text(printed("python"))
    assert load_plugin(entry, "--model").__name__ == "LinearMIL"
