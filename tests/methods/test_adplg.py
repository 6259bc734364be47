from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from tests.parity.batches import training_batch
from tests.processes import SERVER, run_ranks
from wsvad_lightning.cli import main
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import LocalAttention
from wsvad_lightning.methods import ADPLG
from wsvad_lightning.methods.adplg import AttentionHistory, SnippetNet, label_snippets, snippet_bce
from wsvad_lightning.methods.adplg.labels import turns
from wsvad_lightning.ops import min_max
from wsvad_lightning.types import PseudoLabels, WSVADBatch


def make(**arguments: Any) -> ADPLG:
    torch.manual_seed(0)
    return ADPLG(feature_dim=8, **{"hidden_dim": 16, "attention_dim": 8, "positions": 64, **arguments})


def paired(features: Tensor, **fields: Any) -> WSVADBatch:
    return training_batch(*features.chunk(2))._replace(**fields)


# -------------------------------------------------------------------------------------------------- labels


def test_labels_by_hand() -> None:
    curves = torch.tensor([[0.0, 0.2, 1.0, 0.5], [0.0, 0.4, 1.0, 0.1]])
    # mean 0 .3 1 .3, of which the largest is 1; variance 0 .02 0 .08, stretched 0 .25 0 1
    labels = label_snippets(curves, threshold=0.3, max_variance=0.4)
    assert labels.target.tolist() == [0, 1, 1, 1]
    assert labels.ignored.tolist() == [False, False, False, True]
    assert label_snippets(curves, threshold=0.31, max_variance=0.2).ignored.tolist() == [
        False,
        True,
        False,
        True,
    ]
    assert label_snippets(curves, threshold=0.31, max_variance=1.0).target.tolist() == [0, 0, 1, 0]


def test_left_out_and_perfect_snippets_do_not_count() -> None:
    scores = torch.tensor([[0.5, 0.9, 0.0, 0.25]])
    labels = PseudoLabels(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), torch.tensor([[False, True, False, False]]))
    expected = -(torch.tensor(0.5).log() + torch.tensor(0.25).log()) / 2
    torch.testing.assert_close(snippet_bce(scores, labels), expected)
    nothing = PseudoLabels(labels.target, torch.ones_like(labels.ignored))
    assert snippet_bce(scores, nothing) == 0


def test_a_history_keeps_the_last_visits_and_is_complete_when_it_was_full_before() -> None:
    history = AttentionHistory(2)
    seen = []
    for visit in range(5):
        last, complete = history.visit(
            ["a", "b"] if visit else ["a"], torch.full((1 + bool(visit), 1), float(visit))
        )
        seen.append((sorted(last[0].flatten().tolist()), complete.tolist()))
    assert seen[1:] == [
        ([0, 1], [False, False]),
        ([1, 2], [True, False]),
        ([2, 3], [True, True]),
        ([3, 4], [True, True]),
    ]
    assert history.visits.tolist() == [5, 4]


def test_a_bag_that_comes_twice_in_a_batch_is_visited_twice() -> None:
    keys, curves = ["a", "b", "a", "c", "a"], torch.arange(5.0)[:, None]
    at_once, one_by_one = AttentionHistory(2), AttentionHistory(2)
    for _ in range(2):
        last, complete = at_once.visit(keys, curves)
        single = [one_by_one.visit([key], curve[None]) for key, curve in zip(keys, curves, strict=True)]
        assert torch.equal(last, torch.cat([found for found, _ in single]))
        assert torch.equal(complete, torch.cat([found for _, found in single]))
    assert turns(keys) == [[0, 1, 3], [2], [4]]


def test_a_new_bag_leaves_the_others_alone() -> None:
    history = AttentionHistory(2)
    history.visit(["b"], torch.tensor([[1.0, 2.0]]))
    history.visit(["a", "c", "b"], torch.tensor([[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]))
    assert history.curves[history.rows["b"]].tolist() == [[1, 2], [7, 8]]
    assert history.curves[history.rows["c"], 0].tolist() == [5, 6]
    with pytest.raises(WSVADError, match=r"data.segments='3'.*earlier visits has 2 segments"):
        history.visit(["a"], torch.zeros(1, 3))
    with pytest.raises(WSVADError, match=r"history_length='3'.*keeps 2 visits"):
        AttentionHistory(3).load_state_dict(history.state_dict())
    with pytest.raises(WSVADError, match="at least 2"):
        AttentionHistory(1)


def test_what_has_a_history_of_its_own() -> None:
    features, ids = torch.randn(4, 1, 5, 8), ["n", "m", "x", "x"]
    single = paired(features, video_ids=ids, views=[3, 0, 1, 2])
    assert make(history_of="video").keys(single) == ["x", "x"]
    assert make(history_of="crop").keys(single) == ["x/1", "x/2"]
    whole = paired(torch.randn(4, 2, 5, 8), video_ids=["n", "m", "x", "y"])
    assert make(history_of="video").keys(whole) == ["x", "y"]
    assert make(history_of="crop").keys(whole) == ["x/0", "x/1", "y/0", "y/1"]


@pytest.mark.parametrize("history_of", ["video", "crop"])
def test_crops_of_a_bag_share_a_label_where_they_share_a_history(history_of: str) -> None:
    module = make(history_of=history_of, history_length=2)
    batch = paired(torch.randn(2, 3, 5, 8))
    visits = torch.rand(3, 3, 5)
    for attention in visits:
        labels = module.label(batch, attention[None])
    curves = visits.mean(dim=1, keepdim=True).expand(-1, 3, -1) if history_of == "video" else visits
    expected = label_snippets(curves[-2:].transpose(0, 1), 0.25, 0.4)
    assert torch.equal(labels.target[1], expected.target)
    assert torch.equal(labels.ignored[1], expected.ignored)
    assert not labels.target[0].any()
    current = module.current_labels(batch.video_ids[1])
    assert current is not None
    assert torch.equal(current.target, expected.target[0])
    assert module.current_labels(batch.video_ids[0]) is None


# ------------------------------------------------------------------------------------------------- network


def test_windows_and_layers_are_settings() -> None:
    method = make(windows=(3, 5), depth=3)
    net = method.net.snippet
    attentions = [layer for layer in net.modules() if isinstance(layer, LocalAttention)]
    assert [layer.attention.window_size for layer in attentions] == [3, 5]
    assert len(net.transformer) == 3
    assert method.score(paired(torch.randn(2, 1, 9, 8))).shape == (2, 9)
    assert make(depth=0).score(paired(torch.randn(2, 1, 9, 8))).shape == (2, 9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"windows": ()}, r"model\.windows='\[\]': must be one distance"),
        (
            {"windows": (2, 0)},
            r"model\.windows='\[2, 0\]': must be one distance .*, each at least 1",
        ),
        ({"windows": (1, 2, 3)}, r"model\.hidden_dim='16': it is divided among 4 heads and 3 windows"),
        ({"depth": -1}, r"model\.depth='-1': must be at least 0"),
    ],
)
def test_windows_and_layers_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        make(**settings)


# ------------------------------------------------------------------------------------------------ networks


def test_attention_is_smooth_over_the_batch_or_over_time() -> None:
    features = torch.randn(6, 1, 4, 8)
    losses = {}
    for axis in ("videos", "time"):
        module = make(regularize_over=axis).eval()
        attention = module.net.video(features).attention.squeeze(1)
        losses[axis] = module.compute_losses(paired(features))
    over_videos = sum(((attention[i + 1] - attention[i]) ** 2).sum() for i in range(2))
    over_time = sum(((attention[:, t + 1] - attention[:, t]) ** 2).sum() for t in range(3))
    torch.testing.assert_close(losses["videos"]["smooth"], torch.as_tensor(over_videos))
    torch.testing.assert_close(losses["time"]["smooth"], torch.as_tensor(over_time))
    torch.testing.assert_close(losses["videos"]["sparsity"], attention.norm(dim=0).mean())
    torch.testing.assert_close(losses["time"]["sparsity"], attention.norm(dim=1).mean())


def test_before_the_history_is_complete_attention_itself_is_the_label() -> None:
    module = make().eval()
    batch = paired(torch.randn(2, 1, 6, 8))
    attention = min_max(module.net.video(batch.features).attention)
    losses = module.compute_losses(batch)
    target = torch.cat([torch.zeros(1, 1, 6), attention.detach()])
    labels = PseudoLabels(target, torch.zeros_like(target, dtype=torch.bool))
    torch.testing.assert_close(losses["sc"], snippet_bce(module.net.snippet(batch.features), labels))


def test_neither_network_learns_from_the_losses_of_the_other() -> None:
    module = make()
    losses = module.compute_losses(paired(torch.randn(4, 1, 6, 8)))
    torch.autograd.backward(losses["sc"])
    assert all(parameter.grad is None for parameter in module.net.video.parameters())
    assert all(parameter.grad is not None for parameter in module.net.snippet.parameters())


def test_a_video_beyond_the_table_of_positions_is_scored_in_pieces() -> None:
    torch.manual_seed(0)
    net = SnippetNet(8, hidden_dim=16, positions=6).eval()
    features = torch.randn(1, 2, 14, 8)
    expected = torch.cat([net(features[:, :, start : start + 6]) for start in (0, 6, 12)], dim=2)
    torch.testing.assert_close(net(features), expected)


def test_a_width_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(WSVADError, match=r"model.hidden_dim='18'.*4 heads and 4 windows"):
        make(hidden_dim=18)


# ------------------------------------------------------------------------------------------------ training

SMALL = ["--model.hidden_dim", "16", "--model.attention_dim", "8", "--model.positions", "32"]


def fit(store: Path, output: Path, name: str, *more: str) -> dict[str, Any]:
    """Train in a few steps by the recipe, with all its dropout; give the last checkpoint."""
    args = ["--config", "ucf_adplg.yaml", "--config", "with/smoke.yaml", "--data.store", str(store), *SMALL]
    assert main(["fit", *args, "--output", str(output), "--name", name, *more]) == 0
    (newest,) = (output / name).glob("version_*/checkpoints/last.ckpt")
    checkpoint: dict[str, Any] = torch.load(newest, weights_only=True)
    return checkpoint


def assert_equal(first: Any, second: Any) -> None:
    """Compare nested containers and their tensors, bit for bit."""
    assert type(first) is type(second)
    if isinstance(first, Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    else:
        assert first == second


def test_steps_are_those_of_the_training_and_the_schedule_those_of_the_snippet_network(
    store: Path, tmp_path: Path
) -> None:
    schedule = ["--model.warm_up", "2", "--model.lr_scheduler.step_size", "3"]
    checkpoint = fit(store, tmp_path, "run", "--trainer.max_steps", "7", *schedule)
    video, snippet = checkpoint["optimizer_states"]
    assert checkpoint["global_step"] == 7
    assert {int(state["step"]) for state in video["state"].values()} == {7}
    assert {int(state["step"]) for state in snippet["state"].values()} == {5}
    assert video["param_groups"][0]["lr"] == 1e-4
    assert snippet["param_groups"][0]["lr"] == pytest.approx(9e-4)
    rows = (tmp_path / "run" / "version_0" / "metrics.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[1]) for row in rows] == list(range(7))


def test_during_the_warm_up_the_snippet_network_stays_as_it_is(store: Path, tmp_path: Path) -> None:
    before, after = (
        fit(store, tmp_path, f"run{steps}", "--trainer.max_steps", steps, "--model.warm_up", "3")
        for steps in ("1", "3")
    )
    for name, value in after["state_dict"].items():
        assert torch.equal(value, before["state_dict"][name]) == name.startswith("net.snippet"), name
    assert after["attention_history"]["visits"].sum() == 3 * 2


@pytest.mark.parametrize("interruption", [2, 6])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    store: Path, tmp_path: Path, interruption: int
) -> None:
    """Bit for bit, dropout included: weights, optimizers, schedule and history."""
    often = ["--model.warm_up", "3", "--model.history_length", "2", "--data.batch_size", "4"]
    whole = fit(store, tmp_path, "whole", "--trainer.max_steps", "10", *often)
    fit(store, tmp_path, "killed", "--trainer.max_steps", str(interruption), *often)
    killed = tmp_path / "killed" / "version_0" / "checkpoints" / "last.ckpt"
    resumed = fit(store, tmp_path, "resumed", "--trainer.max_steps", "10", *often, "--ckpt_path", str(killed))
    assert (whole["attention_history"]["visits"] > 2).any()
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "attention_history"):
        assert_equal(whole[part], resumed[part])


def test_clipping_is_refused_in_one_line(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--config", "ucf_adplg.yaml", "--config", "with/smoke.yaml", "--data.store", str(store), *SMALL]
    assert main(["fit", *args, "--output", str(tmp_path), "--trainer.gradient_clip_val", "1"]) == 2
    (error,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    assert "gradient_clip_val=1" in error


# ----------------------------------------------------------------------------------------- two processes

VISITS = 6
KEYS = ["a", "b", "b", "c"]  # of one step, the second process has the last two


def visit_all(rank: int, folder: str, processes: int) -> None:
    """Visit as one of several processes, and save the labels."""
    if processes > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=processes
        )
    module, size = make(history_length=2), len(KEYS) // processes
    own = slice(rank * size, (rank + 1) * size)
    curves = torch.rand(VISITS, len(KEYS), 7, generator=torch.Generator().manual_seed(0))
    labels = [tuple(module.visit(KEYS[own], step[own])) for step in curves]
    torch.save((labels, module.history.state_dict()), f"{folder}/{processes}_{rank}.pt")
    if processes > 1:
        distributed.destroy_process_group()


def test_two_processes_give_the_labels_of_one(tmp_path: Path) -> None:
    visit_all(0, str(tmp_path), 1)
    with ProcessPoolExecutor(2, mp_context=SERVER) as pool:
        list(pool.map(visit_all, range(2), 2 * [str(tmp_path)], 2 * [2]))
    one, first, second = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1")
    )
    assert_equal(first[1], one[1])
    assert_equal(second[1], one[1])
    for whole, *parts in zip(one[0], first[0], second[0], strict=True):
        for values, *halves in zip(whole, *parts, strict=True):
            assert torch.equal(values, torch.cat(halves))


def test_two_processes_train_in_equal_steps_on_one_history(store: Path, tmp_path: Path) -> None:
    overlays = ["--config", "ucf_adplg.yaml", "--config", "with/smoke.yaml", "--config", "with/ddp.yaml"]
    where = ["--data.store", str(store), "--output", str(tmp_path), "--name", "ddp", *SMALL]
    more = ["--model.warm_up", "2", "--data.batch_size", "3", "--trainer.max_steps", "5"]
    for rank in run_ranks(2, "fit", *overlays, *where, *more):
        assert rank.returncode == 0, rank.stderr[-2000:]
    checkpoint = torch.load(tmp_path / "ddp/version_0/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5
    assert checkpoint["attention_history"]["visits"].sum() == 5 * 2 * 3
    assert len(checkpoint["attention_history"]["keys"]) == 6
