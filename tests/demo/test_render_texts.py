"""The script that renders videos which texts describe."""

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from wsvad_lightning.cli import main
from wsvad_lightning.configs import find_config
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.demo.render import DemoSpec
from wsvad_lightning.demo.script import ANOMALIES

ROOT = Path(__file__).parents[2]
VIDEOS = DemoSpec(2, 5, 1, 5, min_frames=60, max_frames=64, width=96, height=64)
LESSONS = replace(VIDEOS, train_normal=1, test_normal=0, test_abnormal=0)


def test_its_texts_and_features_train_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location("render_texts", ROOT / "scripts" / "render_texts.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, value in {"VIDEOS": VIDEOS, "LESSONS": LESSONS, "STEPS": 5}.items():
        monkeypatch.setattr(script, name, value)
    script.render_texts(tmp_path)
    store = FeatureStore(tmp_path / "aligned.h5")
    assert store.provenance.text_aligned
    assert (len(store), store.classes) == (13, tuple(sorted(ANOMALIES)))
    recipe = ["--model", str(find_config("model/tpwng.yaml")), "--config", "bench/tpwng.yaml"]
    data = ["--data.store", str(tmp_path / "aligned.h5"), "--data.batch_size", "2"]
    run = [
        "--model.text_tower",
        str(tmp_path / "tower"),
        "--output",
        str(tmp_path),
        "--trainer.max_steps",
        "1",
    ]
    assert main(["fit", *recipe, *data, *run]) == 0
    checkpoint = tmp_path / "tpwng" / "version_0" / "checkpoints" / "last.ckpt"
    assert (
        main(["predict", "--ckpt_path", str(checkpoint), "--output", str(tmp_path), "--name", "reported"])
        == 0
    )
    header = (tmp_path / "reported" / "version_0" / "scores.csv").read_text().splitlines()[0]
    assert header.split(",")[6:] == ["normal", *sorted(ANOMALIES)]
