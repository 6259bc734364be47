"""What goes wrong at a user's hands: one line that says what, and nothing half-written."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter
from wsvad_lightning.data.store.synthetic import make_store


@dataclass
class Desk:
    """What a case works with: a store, a checkpoint trained on it, and a folder of its own."""

    folder: Path
    store: Path
    checkpoint: Path
    written: list[Path] = field(default_factory=list)

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def fit(self, *more: str, store: Path | str | None = None) -> list[str]:
        where = ["--data.store", str(store or self.store), "--output", str(self.folder / "runs")]
        return ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", *where, *more]

    def test(self, *more: str, checkpoint: Path | str | None = None) -> list[str]:
        where = ["--output", str(self.folder / "runs")]
        return ["test", "--ckpt_path", str(checkpoint or self.checkpoint), *where, *more]

    def annotate(self, *rows: str) -> str:
        return self.file("videos.csv", "\n".join(["video,label,num_frames,intervals", *rows]) + "\n")

    def split(self, **parts: list[str]) -> str:
        return self.file("split.json", json.dumps(parts))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("trained")
    store = make_store(folder / "store.h5", dim=16, train=3, test=2)
    run = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    assert main([*run, "--model.hidden_dim", "8", "--output", str(folder), "--trainer.max_steps", "1"]) == 0
    return store, folder / "ucf_urdmu" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture
def desk(trained: tuple[Path, Path], tmp_path: Path) -> Desk:
    store, checkpoint = trained
    return Desk(tmp_path, store, checkpoint)


# ------------------------------------------------------------------------------------- damaged inputs


def truncated(desk: Desk) -> Path:
    path = desk.folder / "cut.h5"
    path.write_bytes(desk.store.read_bytes()[:3000])
    return path


def foreign(desk: Desk) -> Path:
    path = desk.folder / "foreign.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    return path


def nan_features(desk: Desk) -> Path:
    path = desk.folder / "nan.h5"
    path.write_bytes(desk.store.read_bytes())
    with h5py.File(path, "r+") as file:
        file["videos/train_normal_000/features"][0, 0, 0] = np.nan
    return path


def only_normal(desk: Desk) -> Path:
    path = desk.folder / "normal.h5"
    with StoreWriter(path, Provenance("synthetic", "test", 16, 16)) as writer:
        for i in range(4):
            annotation = VideoAnnotation(f"v{i}", 0, intervals=(), split="train" if i < 2 else "test")
            writer.add(annotation, {"features": np.ones((3, 1, 16), np.float32)}, num_frames=48, fps=25.0)
    return path


def of_another_method(desk: Desk) -> Path:
    path = desk.folder / "other.ckpt"
    checkpoint = torch.load(desk.checkpoint, weights_only=True)
    torch.save({**checkpoint, "method": "RTFM"}, path)
    return path


def weights_only(desk: Desk) -> Path:
    path = desk.folder / "imported.ckpt"
    checkpoint = torch.load(desk.checkpoint, weights_only=True)
    del checkpoint["optimizer_states"]
    torch.save(checkpoint, path)
    return path


def bare_weights(desk: Desk) -> Path:
    path = desk.folder / "bare.pkl"
    torch.save({"encoder_mu.0.bias": torch.zeros(512)}, path)
    return path


def wide(desk: Desk) -> Path:
    return make_store(desk.folder / "wide.h5", dim=24, train=3, test=2)


def longer(desk: Desk) -> Path:
    return make_store(desk.folder / "longer.h5", dim=16, train=3, test=2, snippet_length=32)


def on_a_file(desk: Desk) -> str:
    return str(Path(desk.file("occupied", "not a folder")) / "runs")


Case = tuple[str, Callable[[Desk], list[str]], tuple[str, ...]]
PARTS = {"train": ["train_normal_000", "train_abnormal_000"], "test": ["test_normal_000"]}

CASES: list[Case] = [
    # the command line
    ("no such command", lambda d: ["tets"], ("'tets'", "Did you mean test", "wsvad --help")),
    ("no such data command", lambda d: ["data", "inof"], ("'inof'", "Did you mean info")),
    ("unknown option", lambda d: d.fit("--data.batchsize", "3"), ("data.batchsize", "--help")),
    ("unknown trainer option", lambda d: d.fit("--trainer.steps", "3"), ("trainer.steps", "--help")),
    (
        "unknown method option",
        lambda d: d.fit("--model.dim", "3"),
        ("--model.dim is not an option of URDMU", "help URDMU"),
    ),
    ("typo in the method", lambda d: d.fit("--model", "URDUM"), ("URDUM", "Did you mean urdmu? Known are")),
    (
        "word for a number",
        lambda d: d.fit("--trainer.max_steps", "many"),
        ("max_steps", "many", "a whole number"),
    ),
    ("sampling misspelt", lambda d: d.fit("--data.sampling", "bins"), ("data.sampling", "bins", "mean_bins")),
    ("crops misspelt", lambda d: d.fit("--data.crops", "al"), ("data.crops", "al", "random")),
    ("no store given", lambda d: ["fit", "--model", "URDMU"], ("data.store", "--help")),
    # configurations
    (
        "no such configuration",
        lambda d: ["fit", "--config", "ucf_urdm.yaml"],
        ("'ucf_urdm.yaml'", "Did you mean ucf_urdmu.yaml"),
    ),
    (
        "configuration that is not YAML",
        lambda d: ["fit", "--config", d.file("bad.yaml", "model: [1")],
        ("--config", "bad.yaml", "not YAML", "line 1, column 10"),
    ),
    (
        "unknown key in a configuration",
        lambda d: d.fit("--config", d.file("more.yaml", "data: {segment: 3}")),
        ("segment", "--help"),
    ),
    ("unknown loss term", lambda d: d.fit("--model.loss_weights", "{klx: 1}"), ("'klx'", "video_bce")),
    # numbers out of range
    ("no bags", lambda d: d.fit("--data.batch_size", "0"), ("data.batch_size", "'0'", "at least 1")),
    ("no segments", lambda d: d.fit("--data.segments", "0"), ("data.segments", "'0'", "at least 1")),
    ("negative seed", lambda d: d.fit("--seed_everything", "-4"), ("seed", "'-4': must be 0 to 4294967295")),
    (
        "all held out",
        lambda d: d.fit("--data.val_fraction", "1.0"),
        ("data.val_fraction", "'1.0'", "[0, 1)"),
    ),
    ("too many axes", lambda d: d.fit("--data.pca_dim", "17"), ("data.pca_dim", "'17'", "16")),
    (
        "cache of chance",
        lambda d: d.fit("--data.cache_dir", "c", "--data.sampling", "window"),
        ("window", "cache"),
    ),
    # stores
    ("no store", lambda d: d.fit(store="absent.h5"), ("absent.h5", "no such store")),
    ("truncated store", lambda d: d.fit(store=truncated(d)), ("cut.h5", "cannot be read", "verify")),
    ("not a store", lambda d: d.fit(store=foreign(d)), ("foreign.h5", "not a feature store", "extract")),
    ("text as a store", lambda d: d.fit(store=d.file("a.h5", "hello")), ("a.h5", "not an HDF5 file")),
    ("NaN features", lambda d: d.fit(store=nan_features(d)), ("train_normal_000", "NaN")),
    ("absent stream", lambda d: d.fit("--data.features", "flow"), ("data.features", "'flow'", "features")),
    ("no abnormal video", lambda d: d.fit(store=only_normal(d)), ("abnormal",)),
    ("info of nothing", lambda d: ["data", "info", "absent.h5"], ("absent.h5", "no such store")),
    ("verify of nothing", lambda d: ["data", "verify", "absent.h5"], ("absent.h5", "no such store")),
    # splits and annotations
    ("no split file", lambda d: d.fit("--data.split", "absent.json"), ("absent.json", "cannot be read")),
    ("split without JSON", lambda d: d.fit("--data.split", d.file("s.json", "{")), ("s.json", "not JSON")),
    (
        "a NUL character in a recipe",
        lambda d: d.fit("--config", d.file("nul.yaml", 'name: "a\\0b"\n')),
        ("nul.yaml", "holds a NUL character"),
    ),
    (
        "a NUL character in place of a section",
        lambda d: d.fit("--config", d.file("nul.yaml", 'data: "a\\0b"\n')),
        ("nul.yaml", "holds a NUL character"),
    ),
    (
        "an output that is no text",
        lambda d: ["fit", "--config", d.file("five.yaml", "{output: 5, model: urdmu, data: {store: a.h5}}")],
        ("--output", "'5'", "must be text"),
    ),
    (
        "no seed",
        lambda d: d.fit("--config", d.file("seed.yaml", "seed_everything: null\n")),
        ("--seed_everything", "whole number"),
    ),
    (
        "a class that is denied",
        lambda d: d.fit("--config", d.file("denied.yaml", "model: os.system\n")),
        ("--model='os.system'", "not allowed"),
    ),
    ("a path for a class", lambda d: d.fit("--model", "../x"), ("--model='../x'", "no such class")),
    ("no optimizer", lambda d: d.fit("--model.optimizer", "null"), ("model.optimizer", "is none")),
    (
        "a method that is a list",
        lambda d: d.fit("--config", d.file("list.yaml", "model: [a, b]\n")),
        ("model",),
    ),
    ("mistyped accelerator", lambda d: d.fit("--trainer.accelerator", "gpuu"), ("--trainer", "gpuu")),
    ("empty split", lambda d: d.fit("--data.split", d.split(train=[], test=[])), ("train", "no video")),
    (
        "nothing to train with",
        lambda d: d.fit("--data.split", d.split(test=["test_normal_000"])),
        ("split.json", "the part 'train' is empty"),
    ),
    (
        "split of absent videos",
        lambda d: d.fit("--data.split", d.split(train=["nobody"], test=["test_normal_000"])),
        ("data.split", "nobody", "store"),
    ),
    (
        "video in train and test",
        lambda d: d.fit("--data.split", d.split(train=["a", "b"], test=["b"])),
        ("'b'", "train", "test"),
    ),
    (
        "no such split in the file",
        lambda d: d.fit("--data.split", d.split(**PARTS), "--data.split_index", "3"),
        ("split_index", "'3'"),
    ),
    ("no annotations", lambda d: d.fit("--data.annotations", "absent.csv"), ("absent.csv", "cannot be read")),
    (
        "annotations without labels",
        lambda d: d.fit("--data.annotations", d.file("v.csv", "video\na\n")),
        ("v.csv", "'label'"),
    ),
    (
        "video listed twice",
        lambda d: d.fit("--data.annotations", d.annotate("a,normal,,", "a.mp4,abnormal,,")),
        ("line 3", "'a'", "twice"),
    ),
    (
        "annotated video that the store lacks",
        lambda d: d.fit("--data.annotations", d.annotate("nobody,normal,,")),
        ("data.annotations", "nobody", "store"),
    ),
    (
        "interval beyond the end",
        lambda d: d.fit("--data.annotations", d.annotate("train_abnormal_000,abnormal,,10-99999")),
        ("train_abnormal_000", "10-99999", "end"),
    ),
    (
        "reversed interval",
        lambda d: d.fit("--data.annotations", d.annotate("train_abnormal_000,abnormal,,90-10")),
        ("line 2", "90-10", "start < end"),
    ),
    (
        "wrong number of frames",
        lambda d: d.fit("--data.annotations", d.annotate("train_normal_000,normal,3,")),
        ("train_normal_000", "3 frames"),
    ),
    # checkpoints
    (
        "no checkpoint",
        lambda d: d.test(checkpoint="absent.ckpt"),
        ("--ckpt_path", "absent.ckpt", "no such file"),
    ),
    ("text as a checkpoint", lambda d: d.test(checkpoint=d.file("x.ckpt", "hi")), ("x.ckpt", "wsvad fit")),
    ("weights as a checkpoint", lambda d: d.test(checkpoint=bare_weights(d)), ("bare.pkl", "import-weights")),
    ("checkpoint of another method", lambda d: d.test(checkpoint=of_another_method(d)), ("RTFM", "URDMU")),
    ("other features", lambda d: d.test("--data.store", str(wide(d))), ("wide.h5", "24 channels", "16")),
    (
        "other snippets",
        lambda d: d.test("--data.store", str(longer(d))),
        ("longer.h5", "snippet length 32", "16"),
    ),
    (
        "weights of an unknown method",
        lambda d: [
            "import-weights",
            str(bare_weights(d)),
            "-o",
            str(d.folder / "o.ckpt"),
            "--method",
            "rtfmm",
        ],
        ("--method", "'rtfmm'", "urdmu"),
    ),
    (
        "weights that do not fit",
        lambda d: [
            "import-weights",
            str(bare_weights(d)),
            "-o",
            str(d.folder / "o.ckpt"),
            "--method",
            "urdmu",
        ],
        ("bare.pkl", "lacks the parameter", "urdmu"),
    ),
    ("nothing trained", lambda d: ["test"], ("--ckpt_path", "Give a checkpoint")),
    (
        "untrained recipe",
        lambda d: ["predict", "--config", "ucf_urdmu.yaml", "--data.store", str(d.store)],
        ("--ckpt_path", "Give a checkpoint"),
    ),
    (
        "an alarm that is not a number",
        lambda d: ["predict", "--ckpt_path", str(d.checkpoint), "--alarm", ".nan"],
        ("--alarm", "is not a score", "finite"),
    ),
    (
        "going on from weights",
        lambda d: d.fit("--ckpt_path", str(weights_only(d))),
        ("imported.ckpt", "weights only"),
    ),
    # output
    (
        "output on a file",
        lambda d: d.fit("--output", on_a_file(d)),
        ("--output", "occupied", "another folder"),
    ),
]


@pytest.mark.parametrize(
    ("arguments", "reported"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_mistake_is_reported_in_one_line(
    arguments: Callable[[Desk], list[str]],
    reported: tuple[str, ...],
    desk: Desk,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(desk.folder)
    args = arguments(desk)
    before = {path for path in desk.folder.rglob("*") if path.is_file()}
    assert main(args) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    for words in reported:
        assert words in lines[0], lines[0]
    left = {path for path in desk.folder.rglob("*") if path.is_file()} - before
    assert {path.suffix for path in left} <= {".yaml", ".csv"}, left  # the record of a run that failed
    assert not [path for path in left if path.name in ("last.ckpt", "scores.csv", "metrics.json")]


def test_there_are_at_least_forty() -> None:
    assert len({name for name, *_ in CASES}) == len(CASES) >= 40


def test_a_short_video_is_no_mistake(desk: Desk) -> None:
    """One snippet, or fewer snippets than segments, trains and scores."""
    store = make_store(desk.folder / "short.h5", dim=16, train=3, test=2, lengths=(1, 2))
    assert main(desk.fit("--model.hidden_dim", "8", store=store)) == 0
    assert {FeatureStore(store)[video].num_snippets for video in FeatureStore(store)} == {1, 2}


def test_too_few_segments_for_k_are_noted(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    fit = ["fit", "--config", "ucf_rtfm.yaml", "--config", "with/smoke.yaml", "--data.segments", "2"]
    where = ["--data.store", str(desk.store), "--output", str(desk.folder)]
    assert main([*fit, *where, "--trainer.max_steps", "1"]) == 0
    assert "note: model.k=3" in caplog.text
    caplog.clear()
    assert main([*fit, *where, "--trainer.max_steps", "1", "--model.k", "2"]) == 0
    assert "note:" not in caplog.text


def test_other_crops_than_trained_with_are_noted(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(desk.folder / "ten.h5", dim=16, train=3, test=2, crops=10)
    assert main(desk.test("--data.store", str(store))) == 0
    assert "note: crops of a video: 1 in training, 10 as data.store delivers them" in caplog.text


def test_the_traceback_is_there_when_asked_for(desk: Desk) -> None:
    from wsvad_lightning.errors import WSVADError

    with pytest.raises(WSVADError, match="absent"):
        main([*desk.fit(store="absent.h5"), "--debug"])
