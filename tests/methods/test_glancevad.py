"""GlanceVAD: what is learnt from glances and when, and what is refused or said without them."""

from pathlib import Path

import pytest
import torch

from tests.methods.small import small, smaller
from tests.parity.batches import training_batch
from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.table import read_annotations, write_annotations
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.losses import probability_bce, splat_marks
from wsvad_lightning.methods import GlanceVAD


def make() -> GlanceVAD:
    method = small("GlanceVAD")
    assert isinstance(method, GlanceVAD)
    return method.eval()


def test_neighbours_are_centres_from_a_step_on() -> None:
    method = make()
    method.mine_from = 3
    marks = torch.tensor([[False, True, False, False]])
    scores = torch.tensor([[0.9, 1.0, 0.95, 0.97]])
    centres = []
    for method.step in (1, 2, 3, 4):
        centres.append(method.centres(marks, scores).int().tolist()[0])
    assert centres == [[0, 1, 0, 0]] * 2 + [[1, 1, 1, 0]] * 2


def test_the_scores_of_abnormal_videos_learn_the_curve_and_normal_ones_their_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # the noise of the latents
    method = make()
    batch = training_batch(*torch.randn(2, 2, 1, 20, 8))
    glances = torch.zeros(4, 20, dtype=torch.bool)
    glances[2, 5] = True  # the last video has none: it is learnt as normal
    method.step, method.mine_from = 1, 2
    with torch.no_grad():
        losses = method.compute_losses(batch._replace(glances=glances))
        scores = method.net(batch.features)
    curves = splat_marks(glances[2:], method.sigma)
    assert not curves[1].any()
    torch.testing.assert_close(losses["glance"], probability_bce(scores[2:], curves))
    strongest = scores[:2].topk(2, dim=-1).values.mean(dim=-1)
    torch.testing.assert_close(losses["normal"], probability_bce(strongest, 0.0))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sigma": 0.0}, "model.sigma='0.0': must be above 0"),
        ({"alpha": -1.0}, "model.alpha='-1.0': must be above 0"),
        ({"mine_from": 0}, "model.mine_from='0': steps count from 1"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        GlanceVAD(8, **settings)  # type: ignore[arg-type]


def test_annotations_without_glances_are_refused_and_videos_without_are_counted(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    table, folder = tmp_path / "a.csv", tmp_path / "export"
    assert main(["data", "export", str(store), str(folder)]) == 0
    videos = read_annotations(folder / "annotations.csv")
    columns = ["video,label,split"]
    table.write_text("\n".join([*columns, *(f"{v.video_id},{v.label},{v.split}" for v in videos.values())]))
    fit = ["fit", "--config", "ucf_glancevad.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    fit += ["--output", str(tmp_path), *smaller("GlanceVAD", tmp_path, 16), "--data.annotations", str(table)]
    capsys.readouterr()
    assert main(fit) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "GlanceVAD needs glances" in error
    assert "column glances" in error
    first, *others = (name for name, video in videos.items() if video.split == "train" and video.label)
    write_annotations(
        table,
        {name: video for name, video in videos.items() if name != first}
        | {first: videos[first].__class__(first, 1, split="train")},
    )
    assert main(fit) == 0
    note = f"note: 1 of {1 + len(others)} abnormal training videos, such as {first}, have no glance"
    assert note in caplog.text
