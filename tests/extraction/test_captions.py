"""Texts of parts of videos become a stream that SVMAE's detector reads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.methods.towers import save_tower
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.layers import TextTower

FPS = 25.0  # of synthetic stores
LONG = "one two three " * 40  # 400 letters, each a token


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    make_store(folder / "seen.h5", train=2, test=1, dim=8, lengths=(6, 9))
    save_tower(folder / "tower", dim=8, width=6)
    return folder


def command(folder: Path, texts: str, output: str = "texts.h5") -> list[str]:
    (folder / "texts.csv").write_text(f"video,start,end,text\n{texts}")
    options = ["--store", folder / "seen.h5", "--text_tower", folder / "tower", "-o", folder / output]
    return ["data", "captions", str(folder / "texts.csv"), *map(str, options)]


def test_snippets_get_what_is_said_of_their_frames(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, tower = FeatureStore(folder / "seen.h5"), TextTower.open(folder / "tower")
    length, frame = store.provenance.snippet_length, 1 / store["train_abnormal_000"].fps
    lines = [
        f"train_abnormal_000.mp4,0,{(length + 4) * frame},a man",
        f"train_abnormal_000,{length * frame},{2 * length * frame},smoke",
        f"test_normal_000,0,{length * frame},{LONG}",
        "test_normal_000,900,901,behind",
        "elsewhere,0,1,a",
    ]
    assert main(command(folder, "\n".join(lines))) == 0
    said = " ".join(capsys.readouterr().out.split())
    for note in ("2 normal, 2 abnormal", "lacks: 1, such as ['elsewhere']", "parts: 1", "left out: 1"):
        assert note in said
    texts = FeatureStore(folder / "texts.h5")
    man, smoke = (tower.features_of(text).numpy() for text in ("a man", "smoke"))
    rows = texts.read("train_abnormal_000", "text")[:, 0]
    np.testing.assert_allclose(rows[0], man, atol=1e-6)
    np.testing.assert_allclose(rows[1], (4 * man + length * smoke) / (4 + length), atol=1e-6)
    assert not rows[2:].any()
    parts = tower.features_of_parts(LONG)
    assert [tokens for _, tokens in parts] == [75, 75, 75, 75, 75, 65]
    expected = sum(part * (tokens / 440) for part, tokens in parts)
    torch.testing.assert_close(torch.tensor(texts.read("test_normal_000", "text")[0, 0]), expected)


def test_the_detector_trains_on_texts(folder: Path) -> None:
    whole = "".join(f"{name},0,1,a man\n" for name in FeatureStore(folder / "seen.h5"))
    seen, texts, both = (str(folder / name) for name in ("seen.h5", "said.h5", "both.h5"))
    assert main(command(folder, whole, "said.h5")) == 0
    assert main(["data", "merge", seen, texts, "-o", both]) == 0
    fit = ["fit", "--config", "ucf_tevad.yaml", "--config", "with/smoke.yaml", "--data.store", both]
    small = ["--model.text_dim", "8", "--trainer.max_steps", "1", "--output", str(folder)]
    assert main([*fit, *small]) == 0
    assert (folder / "ucf_tevad/version_0/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ("test_normal_000,2,1,a", "line 2': end '1': is not after 2. Give start < end"),
        ("test_normal_000,nan,1,a", "is no time in seconds"),
        ("test_normal_000,0,1,", "line 2': text '': is empty"),
        ("elsewhere,0,1,a", "describes no video of"),
    ],
)
def test_texts_that_describe_nothing_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], texts: str, problem: str
) -> None:
    assert main(command(folder, texts, "none.h5")) == 2
    assert problem in capsys.readouterr().err
    assert not list(folder.glob("none*"))
