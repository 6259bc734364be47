"""VadCLIP: padding, chunks, and classes that are only names."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.methods.small import small
from tests.methods.towers import save_tower, tiny_tower
from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.checkpoint import CHECKSUMS_KEY
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import VadCLIP
from wsvad_lightning.methods.base.two_branch import Padding, ScoreFrom
from wsvad_lightning.methods.vadclip import VadCLIPNet

CLASSES = ("Fall", "Fight")


def make_net(length: int, padding: Padding = "seen", window: int = 4) -> VadCLIPNet:
    torch.manual_seed(0)
    net = VadCLIPNet(8, 8, length=length, window=window, padding=padding)
    net.prompt.use(tiny_tower(8), ["normal", "fall"])
    return net.eval()


# ------------------------------------------------------------------------------- padding and chunks


@torch.no_grad()
def test_masked_padding_changes_nothing_and_seen_padding_does() -> None:
    features, lengths = torch.randn(2, 1, 8, 8), torch.tensor([8, 6])
    paddings: tuple[Padding, ...] = ("seen", "masked")
    for padding in paddings:
        short, long = make_net(8, padding), make_net(16, padding)
        state = long.state_dict()
        short.load_state_dict({**state, "position": state["position"][:8]})
        exact, filled = short(features, lengths), long(features, lengths)
        same = [
            torch.allclose(mine[i, :, :length], theirs[i, :, :length], atol=1e-5)
            for mine, theirs in zip(exact[:2], filled[:2], strict=True)
            for i, length in enumerate(lengths)
        ]
        assert same == [padding == "masked"] * 4


@torch.no_grad()
def test_what_lies_behind_a_masked_video_is_not_seen() -> None:
    features, lengths = torch.randn(1, 2, 8, 8), torch.tensor([5])
    other = features.clone()
    other[:, :, 5:] = 100.0
    net = make_net(8, "masked")
    for mine, theirs in zip(net(features, lengths)[:2], net(other, lengths)[:2], strict=True):
        torch.testing.assert_close(mine[:, :, :5], theirs[:, :, :5])


@torch.no_grad()
def test_a_long_video_is_scored_chunk_by_chunk() -> None:
    net, features = make_net(8), torch.randn(2, 3, 19, 8)
    whole = net(features, torch.tensor([19, 19]))
    assert whole.logits.shape == (2, 3, 19)
    for start, length in ((0, 8), (8, 8), (16, 3)):
        chunk = net(features[:, :, start : start + length], torch.tensor([length, length]))
        torch.testing.assert_close(whole.logits[:, :, start : start + length], chunk.logits)
        torch.testing.assert_close(whole.class_logits[:, :, start : start + length], chunk.class_logits)


@torch.no_grad()
def test_scores_are_of_either_branch_and_means_over_crops() -> None:
    method = small("VadCLIP").eval()
    assert isinstance(method, VadCLIP)
    batch = evaluation_batch(torch.randn(3, 20, 8))
    out = method.run(batch)
    probabilities = method.classify(batch)
    torch.testing.assert_close(probabilities, out.class_logits.softmax(dim=-1).mean(dim=1))
    expected = {"binary": out.logits.sigmoid().mean(dim=1)[0], "text": 1 - probabilities[0, :, 0]}
    branches: tuple[ScoreFrom, ...] = ("binary", "text")
    for branch in branches:
        method.score_from = branch
        torch.testing.assert_close(method.score(batch)[0], expected[branch])


def test_a_video_has_as_many_strongest_snippets_as_its_length_allows() -> None:
    """k = 31 // 16 + 1 = 2 of the first 31 snippets; those behind are stronger and do not count."""
    method = small("VadCLIP")
    assert isinstance(method, VadCLIP)
    batch = training_batch(*torch.randn(2, 1, 1, 40, 8))
    batch = batch._replace(lengths=torch.tensor([31, 31]), class_targets=torch.eye(4)[:2])
    logits = method.run(batch).logits[:, 0, :31]
    strongest = logits.sigmoid().topk(2).values.mean(dim=1)
    expected = torch.nn.functional.binary_cross_entropy(strongest, batch.labels)
    torch.testing.assert_close(method.compute_losses(batch)["binary"], expected)


def test_a_window_divides_the_length() -> None:
    with pytest.raises(WSVADError, match="model.window='7': does not divide model.length 256"):
        VadCLIP(window=7)
    with pytest.raises(WSVADError, match="model.length='0'"):
        VadCLIP(length=0)
    with pytest.raises(WSVADError, match="model.heads='3': does not divide model.feature_dim 512"):
        VadCLIP(heads=3)


# ------------------------------------------------------------------------------------------ classes


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of CLIP features and a checkpoint trained on it; its text tower is no longer there."""
    desk = tmp_path_factory.mktemp("desk")
    make_store(desk / "store.h5", train=3, test=2, classes=CLASSES, text_aligned=True)
    make_store(desk / "unlabelled.h5", train=1, test=1, text_aligned=True, seed=3)
    save_tower(desk / "tower", dim=16)
    assert main(fit(desk)) == 0
    shutil.move(desk / "tower", desk / "elsewhere")
    return desk


def fit(desk: Path, *more: str, store: str = "store.h5") -> list[str]:
    run = ["fit", "--config", "ucf_vadclip.yaml", "--config", "with/smoke.yaml", "--name", "run"]
    where = ["--data.store", str(desk / store), "--output", str(desk)]
    return [*run, *where, "--model.text_tower", str(desk / "tower"), "--trainer.max_steps", "2", *more]


def use(command: str, desk: Path, *more: str, store: str = "store.h5") -> list[str]:
    where = ["--data.store", str(desk / store), "--output", str(desk), "--name", command]
    return [command, "--ckpt_path", str(last(desk)), *where, *more]


def last(desk: Path) -> Path:
    return desk / "run" / "version_0" / "checkpoints" / "last.ckpt"


def class_columns(desk: Path, command: str) -> list[dict[str, float]]:
    folder = max((desk / command).glob("version_*"), key=lambda path: int(path.name.split("_")[1]))
    rows = csv.DictReader((folder / "scores.csv").read_text().splitlines())
    return [{key: float(value) for key, value in list(row.items())[6:]} for row in rows]


def test_a_checkpoint_holds_texts_and_no_tower(desk: Path) -> None:
    checkpoint = torch.load(last(desk), weights_only=True)
    assert checkpoint["classes"]["names"] == list(CLASSES)
    assert checkpoint["classes"]["texts"] == ["normal", "fall", "fight"]
    assert checkpoint["classes"]["features"].shape == (3, 16)
    assert [name for name in checkpoint["state_dict"] if "prompt" in name] == ["net.prompt.vectors"]
    method = VadCLIP.load_from_checkpoint(last(desk)).eval()
    assert method.classes == CLASSES
    features, learnt = checkpoint["classes"]["features"], checkpoint["state_dict"]["net.prompt.vectors"]
    torch.testing.assert_close(method.net.prompt(), features)
    method.net.prompt.use(tiny_tower(16), ["normal", "fall", "fight"])
    torch.testing.assert_close(method.net.prompt.features, features)  # those of the very last step
    torch.testing.assert_close(method.net.prompt.vectors, learnt)


def test_scoring_takes_no_tower_and_tells_the_classes(desk: Path) -> None:
    assert main(use("test", desk)) == 0
    assert main(use("predict", desk, store="unlabelled.h5")) == 0
    for command in ("test", "predict"):
        rows = class_columns(desk, command)
        assert rows
        assert all(list(row) == ["normal", *CLASSES] for row in rows)
        assert all(sum(row.values()) == pytest.approx(1, abs=1e-4) for row in rows)


def test_a_new_class_takes_a_name_and_the_tower(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_store(desk / "new.h5", train=3, test=3, classes=("Fall", "Smoke", "X7"), text_aligned=True)
    capfd.readouterr()
    assert main(use("test", desk, store="new.h5")) == 2
    reported = capfd.readouterr().err
    assert reported.count("\n") == 1
    problem = "the checkpoint knows Fall, Fight, not Smoke (video test_abnormal_001), X7 (video"
    assert f"data.store={str(desk / 'new.h5')!r}: {problem}" in reported
    assert main(use("predict", desk, store="new.h5")) == 0
    assert all(list(row) == ["normal", *CLASSES] for row in class_columns(desk, "predict"))
    named = ["--model.prompts", "{Smoke: smoke, X7: fight}", "--model.text_tower", str(desk / "elsewhere")]
    assert main(use("predict", desk, *named, store="new.h5")) == 0
    assert all(list(row) == ["normal", "Fall", "X7", "Smoke"] for row in class_columns(desk, "predict"))


def header(desk: Path, *prompts: str) -> list[str]:
    """The classes that a prediction distinguishes, of which a store without classes says nothing."""
    tower = ["--model.text_tower", str(desk / "elsewhere")]
    assert main(use("predict", desk, "--model.prompts", *prompts, *tower, store="unlabelled.h5")) == 0
    return list(class_columns(desk, "predict")[0])


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ("{drop: fall}", ["normal", "drop", "Fight"]),
        ("{drop: ' FALL'}", ["normal", "drop", "Fight"]),
        ("{Fall: somebody falls}", ["normal", "Fall", "Fight"]),
        ("{smoke: smoke in a hall, drop: Fall}", ["normal", "drop", "Fight", "smoke"]),
    ],
)
def test_prediction_takes_names_and_classes_from_prompts(
    desk: Path, prompts: str, expected: list[str]
) -> None:
    assert header(desk, prompts) == expected


def test_other_words_for_a_class_change_what_it_matches(desk: Path) -> None:
    plain = use("predict", desk, "--model.text_tower", str(desk / "elsewhere"))
    for prompts in ("{normal: nothing unusual}", "{Fall: somebody falls}"):
        assert main(plain) == 0
        before = class_columns(desk, "predict")
        assert main([*plain, "--model.prompts", prompts]) == 0
        assert class_columns(desk, "predict") != before


def test_a_run_goes_on_with_the_same_classes_only(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tower = ["--model.text_tower", str(desk / "elsewhere"), "--ckpt_path", str(last(desk))]
    assert main(fit(desk, *tower, "--trainer.max_steps", "3")) == 0
    make_store(desk / "other.h5", train=3, test=2, classes=("Fall", "Smoke"), text_aligned=True)
    assert main(fit(desk, *tower, store="other.h5")) == 2
    problem = "its classes read normal, fall, smoke, those of the checkpoint normal, fall, fight"
    assert problem in capfd.readouterr().err


def test_classes_keep_their_texts_when_others_are_named(desk: Path) -> None:
    tower = ["--model.text_tower", str(desk / "elsewhere")]
    assert main(fit(desk, *tower, "--model.prompts.Fall", "somebody falls", "--name", "named")) == 0
    make_store(desk / "newer.h5", train=3, test=3, classes=("Fall", "Smoke"), text_aligned=True)
    checkpoint = desk / "named" / "version_0" / "checkpoints" / "last.ckpt"
    named = ["--ckpt_path", str(checkpoint), "--model.prompts", "{Smoke: smoke}", *tower]
    assert main(use("predict", desk, *named, store="newer.h5")) == 0
    assert all(list(row) == ["normal", "Fall", "Fight", "Smoke"] for row in class_columns(desk, "predict"))


def without_classes(desk: Path) -> list[str]:
    make_store(desk / "bare.h5", train=1, test=1, text_aligned=True)
    return fit(desk, store="bare.h5")


def without_text(desk: Path) -> list[str]:
    make_store(desk / "i3d.h5", train=1, test=1, classes=CLASSES)
    return fit(desk, store="i3d.h5")


def of_another_size(desk: Path) -> list[str]:
    return fit(desk, "--model.text_tower", str(save_tower(desk / "wide", dim=24, width=16)))


def with_annotations(desk: Path) -> list[str]:
    rows = ["video,label,intervals", "test_abnormal_001,Fal,0-4", "test_normal_001,normal,"]
    (desk / "table.csv").write_text("\n".join(rows))
    split = {"train": {"normal": ["test_normal_001"]}, "test": ["test_abnormal_001"]}
    (desk / "split.json").write_text(json.dumps(split))
    given = ["--data.annotations", str(desk / "table.csv"), "--data.split", str(desk / "split.json")]
    return use("test", desk, *given)


def with_classes(desk: Path, **changed: list[str]) -> list[str]:
    checkpoint = torch.load(last(desk), weights_only=True)
    checkpoint["classes"] |= changed
    del checkpoint[CHECKSUMS_KEY]  # as of a stranger who made the file so
    torch.save(checkpoint, desk / "changed.ckpt")
    return use("test", desk, "--ckpt_path", str(desk / "changed.ckpt"))


BAD: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no class names": (without_classes, "needs the names of the anomaly classes"),
    "not text-aligned": (without_text, "needs text-aligned (CLIP) features"),
    "no tower": (lambda desk: fit(desk), "no such folder"),
    "tower not named": (lambda desk: fit(desk, "--model.text_tower", "null"), "is required to encode"),
    "another CLIP": (of_another_size, "its features have 24 channels, those of the store 16"),
    "unknown prompt": (
        lambda desk: fit(desk, "--model.prompts", "{Fal: x}"),
        "model.prompts='Fal': no such class",
    ),
    "same prompt": (
        lambda desk: fit(desk, "--model.prompts", "{Fall: fight}"),
        "model.prompts='fight': is the text of two classes, Fall and Fight",
    ),
    "no text": (lambda desk: fit(desk, "--model.prompts", "{Fall: ''}"), "model.prompts='Fall': has no text"),
    "mistyped class": (
        lambda desk: use("test", desk, "--model.prompts", "{Fal: x}"),
        "model.prompts='Fal': no such class. The classes are normal, Fall, Fight",
    ),
    "one class by two names": (
        lambda desk: use("predict", desk, "--model.prompts", "{a: fall, b: Fall}"),
        "model.prompts='Fall': is the text of two classes, a and b",
    ),
    "fewer texts than classes": (
        lambda desk: with_classes(desk, texts=["normal", "fall"]),
        "does not hold classes with the features of their texts",
    ),
    "a class twice": (
        lambda desk: with_classes(desk, names=["Fall", "Fall"]),
        "does not hold classes with the features of their texts",
    ),
    "mistyped annotation": (
        with_annotations,
        "not Fal (video test_abnormal_001). Is Fall meant? Else name each",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line(case: str, desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, message = BAD[case]
    args = make(desk)
    capfd.readouterr()
    assert main(args) == 2
    reported = capfd.readouterr().err
    assert reported.count("\n") == 1
    assert message in reported
