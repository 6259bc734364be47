"""SVMAE's detector: its fusions, its text, and what it asks of a store."""

from pathlib import Path

import pytest
import torch

from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop import export_official, load_official
from wsvad_lightning.interop.svmae import TABLE, complete, init_args
from wsvad_lightning.methods import SVMAE
from wsvad_lightning.methods.svmae import Fusion, FusionName, Inputs, SVMAENet, align

FUSIONS: tuple[FusionName, ...] = ("concat", "add", "product", "add_up")


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("inputs", ["vis", "text", "both"])
def test_every_fusion_trains_and_scores(inputs: Inputs, fusion: FusionName) -> None:
    method = SVMAE(8, 6, inputs, fusion)
    streams = {} if inputs == "vis" else {"text": torch.randn(4, 5, 1, 6)}
    batch = training_batch(*torch.randn(2, 2, 3, 5, 8))._replace(streams=streams)
    torch.autograd.backward(method.total_loss(method.compute_losses(batch)))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    scores = method.eval().score(
        evaluation_batch(torch.randn(3, 5, 8))._replace(
            streams={name: values[:1] for name, values in streams.items()}
        )
    )
    assert scores.shape == (1, 5)


def test_fusions_by_hand() -> None:
    visual, text = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]])
    expected = {"concat": [1.0, 2.0, 3.0], "add": [6.0], "product": [9.0], "add_up": [9.0, 9.0, 9.0]}
    for kind in FUSIONS:
        fusion = Fusion(2, 1, kind, dropout=0.0)
        for name, parameter in fusion.named_parameters():
            parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
        if kind == "add_up":
            assert fusion.project_text is not None
            next(fusion.project_text.parameters()).data.fill_(2.0)
        assert fusion(visual, text)[0].tolist() == expected[kind]
        assert fusion.dim == len(expected[kind])


@pytest.mark.parametrize(
    ("own", "expected"),
    [(5, [0, 1, 2]), (3, [0, 1, 2]), (2, [0, 1, 1]), (1, [0, 0, 0])],
)
def test_a_text_takes_the_length_of_the_video(own: int, expected: list[int]) -> None:
    aligned = align(torch.arange(own)[None, :, None], len(expected))
    assert aligned[0, :, 0].tolist() == expected


def test_the_last_snippets_are_repeated_in_order() -> None:
    assert align(torch.arange(5)[None, :, None], 7)[0, :, 0].tolist() == [0, 1, 2, 3, 4, 3, 4]


def test_one_stream_alone_makes_no_network_for_the_other() -> None:
    assert SVMAENet(8, 6, "vis").text_context is None
    assert SVMAENet(8, 6, "text").visual_context is None
    assert not SVMAE(8, 6, "vis").requires.streams
    assert list(SVMAE(8, 6, "both").requires.streams) == ["text"]


def test_a_text_without_channels_is_refused() -> None:
    with pytest.raises(WSVADError, match="a text has channels"):
        SVMAE(8, 0)


@pytest.mark.parametrize("fusion", ["concat", "add", "add_up"])
def test_weights_of_both_streams_come_back_unchanged(fusion: FusionName) -> None:
    trained = SVMAENet(8, 6, fusion=fusion)
    trained(torch.randn(2, 1, 5, 8), torch.randn(2, 5, 6))
    state = export_official(trained, TABLE)
    method = SVMAE(**init_args(state))
    assert load_official(method.net, state, TABLE) == []
    back = export_official(method.net, TABLE)
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_a_file_whose_text_network_saw_no_text_fuses_the_text_as_it_is() -> None:
    unseen = SVMAENet(8, 6, fusion="add").eval()
    state = export_official(unseen, TABLE)
    method = SVMAE(**init_args(state)).eval()
    assert all(name.startswith("Aggregate_text.") for name in load_official(method.net, state, TABLE))
    features, text = torch.randn(1, 1, 5, 8), torch.randn(1, 5, 6)
    fused = method.net(features, text).features
    assert unseen.visual_context is not None
    assert method.net.fuse is not None
    assert method.net.fuse.project is not None
    seen = method.net.fuse.project(unseen.visual_context(features))
    torch.testing.assert_close(fused, seen + text[:, None])


def test_a_file_of_two_possible_fusions_is_said_to_be_one() -> None:
    note = complete(SVMAE(8, 6), export_official(SVMAENet(8, 6, fusion="product"), TABLE))
    assert note is not None
    assert "--model.fusion product" in note
    assert complete(SVMAE(8, 6), export_official(SVMAENet(8, 6), TABLE)) is None


def test_both_streams_from_the_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    streams = ("videomae", "clip", "text")
    store = make_store(tmp_path / "store.h5", crops=2, streams=streams, views={"text": 1})
    fit = ["fit", "--config", "ucf_svmae.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    where = ["--output", str(tmp_path), "--name", "run"]
    assert main([*fit, *where, "--model.text_dim", "16", "--data.val_fraction", "0.2"]) == 0
    checkpoint = tmp_path / "run" / "version_0" / "checkpoints" / "last.ckpt"
    assert main(["test", "--ckpt_path", str(checkpoint), "--output", str(tmp_path)]) == 0
    capfd.readouterr()
    assert main([*fit, *where]) == 2
    reported = capfd.readouterr().err
    assert "needs text as 1 views of 768 channels, the store holds 1 of 16" in reported
