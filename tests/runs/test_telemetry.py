"""What is logged of a training apart from its losses, and that logging it changes nothing."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import nn

from tests.methods.small import small
from tests.methods.test_contract import paired
from wsvad_lightning import methods
from wsvad_lightning.cli import main
from wsvad_lightning.runs.run import WSVADCLI
from wsvad_lightning.runs.telemetry import as_in_a_test, gradient_norm, scores_by_label
from wsvad_lightning.types import WSVADBatch

TINY = ["--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--model.hidden_dim", "8"]


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of four steps, each logged."""
    output = tmp_path_factory.mktemp("telemetry")
    held_out = ["--data.val_fraction", "0.2", "--trainer.val_check_interval", "2"]
    where = ["--data.store", str(store), "--output", str(output), "--name", "run"]
    assert main(["fit", *TINY, *held_out, *where]) == 0
    return output / "run" / "version_0"


def test_a_row_has_losses_learning_rate_gradient_norm_and_times(trained: Path) -> None:
    rows = list(csv.DictReader((trained / "metrics.csv").read_text().splitlines()))
    steps = [row for row in rows if row["train/loss/total"]]
    assert len(steps) == 4
    for row in steps:
        assert float(row["train/gradient_norm"]) > 0
        assert float(row["train/lr"]) > 0
        assert 0 <= float(row["time/data"]) <= float(row["time/step"])
    assert not any(row["train/lr"] for row in rows if not row["train/loss/total"])


def test_tensorboard_has_the_same_scalars_and_histograms_of_scores(trained: Path) -> None:
    read = EventAccumulator(str(trained), {"histograms": 0})  # all of them
    read.Reload()
    rows = list(csv.DictReader((trained / "metrics.csv").read_text().splitlines()))
    for name in ("train/loss/total", "train/gradient_norm", "train/lr", "time/step", "val/video_auc"):
        logged = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        assert {event.step: event.value for event in read.Scalars(name)} == pytest.approx(logged), name
    assert set(read.Tags()["histograms"]) == {"scores/normal", "scores/abnormal"}
    recorded = read.Histograms("scores/normal")
    assert [event.step for event in recorded] == [0, 1, 2, 3]
    assert all(0 <= event.histogram_value.min <= event.histogram_value.max <= 1 for event in recorded)


@pytest.fixture(scope="module")
def tested(trained: Path) -> Path:
    """The folder of a test, with its picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WSVADCLI, "picture", True)
        assert main(["test", "--ckpt_path", str(trained / "checkpoints" / "last.ckpt")]) == 0
    return trained.parent / "version_1"


def test_tensorboard_has_the_picture_of_a_test(tested: Path) -> None:
    read = EventAccumulator(str(tested))
    read.Reload()
    (image,) = read.Images("test/scores")
    assert image.encoded_image_string == (tested / "scores.png").read_bytes()
    assert (image.height, image.width, 4) == imread(tested / "scores.png").shape


def test_tensorboard_has_a_row_of_hyper_parameters_with_what_was_measured(
    trained: Path, tested: Path
) -> None:
    for folder, metric in ((trained, "val/video_auc"), (tested, "test/auc")):
        read = EventAccumulator(str(folder))
        read.Reload()
        table = read.PluginTagToContent("hparams")
        start = HParamsPluginData.FromString(table["_hparams_/session_start_info"]).session_start_info
        assert start.hparams["model.init_args.hidden_dim"].number_value == 8
        assert start.hparams["data.store"].string_value.startswith("/")
        shown = HParamsPluginData.FromString(table["_hparams_/experiment"]).experiment.metric_infos
        assert metric in {info.name.tag for info in shown}
        assert len(read.Scalars(metric)) > 0


def test_the_norm_is_that_of_all_gradients() -> None:
    layers = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1), nn.Linear(2, 2))
    layers[1](layers[0](torch.ones(4, 3))).sum().backward()  # the last layer has no gradient
    own = [parameter.grad.flatten() for parameter in layers.parameters() if parameter.grad is not None]
    expected = torch.cat(own).norm()
    groups = [{"params": layer.parameters()} for layer in layers]
    torch.testing.assert_close(gradient_norm(torch.optim.SGD(groups, lr=0.1)), expected)


def train(name: str, batch: WSVADBatch, *, watched: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Train a method for two steps; give its weights and the random state afterwards."""
    torch.manual_seed(5)
    method = small(name).train()
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        torch.autograd.backward(method.total_loss(method.compute_losses(batch)))
        optimizer.step()
        if watched:
            found = scores_by_label(method, batch)
            assert {*found} == {"normal", "abnormal"}
            assert sum(map(len, found.values())) == batch.lengths.sum()
    return [value.clone() for value in method.state_dict().values()], torch.get_rng_state()


@pytest.mark.parametrize("name", methods.__all__)
def test_recording_scores_changes_neither_weights_nor_random_numbers(name: str) -> None:
    torch.manual_seed(3)
    batch = paired(torch.randn(4, 2, 12, 8).abs())
    (alone, state), (watched, watched_state) = (train(name, batch, watched=own) for own in (False, True))
    assert all(torch.equal(one, other) for one, other in zip(alone, watched, strict=True))
    assert torch.equal(state, watched_state)


def test_parts_that_are_kept_in_evaluation_stay_there() -> None:
    method = small("Sultani").train()
    kept = next(iter(method.net.modules()))
    kept.training = False
    with as_in_a_test(method):
        assert not any(module.training for module in method.modules())
    assert not kept.training
    assert method.training


def test_padding_and_unknown_labels() -> None:
    method = small("Sultani")
    batch = paired(torch.randn(4, 1, 6, 8))
    batch = batch._replace(lengths=torch.tensor([6, 2, 1, 3]), labels=torch.tensor([0.0, np.nan, 1, 1]))
    assert {word: len(values) for word, values in scores_by_label(method, batch).items()} == {
        "normal": 6,
        "abnormal": 4,
        "unknown": 2,
    }
