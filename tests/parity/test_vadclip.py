"""VadCLIP's cases, on manifests other than the recorded ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.parity.cases import vadclip, vadclip_detection_map
from wsvad_lightning.methods import VadCLIP

DATA = Path(__file__).parent / "data"


def config(**changes: Any) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((DATA / "vadclip.json").read_text())["config"]
    return recorded | {"text_dim": 8, "visual_width": 8} | changes


def test_videos_follow_the_rule_of_the_manifest() -> None:
    base, noise = torch.randn(1, 2, 4), torch.randn(1, 5, 4)
    rule = "frames = 3 * l2normalise(0.5 * base[:, t // 4] + noise[:, t]) over the feature axis"
    inputs = {"eval_b_base": base, "eval_b_noise": noise}
    videos = vadclip.follow({"eval_b_noise": rule}, inputs)
    assert list(videos) == ["eval_b"]
    expected = 3 * F.normalize(0.5 * base[:, [0, 0, 0, 0, 1]] + noise, dim=-1)
    torch.testing.assert_close(videos["eval_b"], expected)
    with pytest.raises(ValueError, match="eval_b_noise: its rule is not the known one"):
        vadclip.follow({"eval_b_noise": "frames = base + noise"}, inputs)


@pytest.mark.parametrize(
    ("name", "ending"),
    [("eval", ""), ("eval_long", "_long"), ("eval_exact", "_exact256"), ("eval_511", "_511")],
)
def test_outputs_of_a_video_end_as_the_manifest_has_it(name: str, ending: str) -> None:
    endings = ("", "_exact256", "_long", "_long2")
    assert vadclip.ending_of(name, {"outputs": [f"eval/scores{known}" for known in endings]}) == ending


def test_labels_are_those_of_the_reference() -> None:
    """A batch of XD-Violence is drawn from normal and abnormal videos alike."""
    targets = torch.eye(3)[[0, 2, 1, 0]]
    videos = {"normal": torch.randn(2, 6, 4), "abnormal": torch.randn(2, 6, 4)}
    given = {"train/lengths": torch.tensor([6, 2, 6, 6]), "train/labels": targets}
    batch = vadclip.batches({}, videos | given)["train"]
    assert batch.labels.tolist() == [0, 1, 1, 0]
    assert batch.features[1, 0, 2:].abs().sum() == 0


def test_the_configuration_says_how_much_is_learnt_around_the_words() -> None:
    module = vadclip.build(config(prompt_prefix=4, prompt_postfix=0), {})
    assert isinstance(module, VadCLIP)
    assert (module.net.prompt.prefix, module.net.prompt.postfix) == (4, 0)


def test_one_list_of_tokens_is_enough() -> None:
    found = vadclip.known_tokens({"eval/tokens_xd": torch.zeros(7, 6)})
    assert list(found) == ["eval/tokens_xd"]
    assert found["eval/tokens_xd"][5].tolist() == [49406, 1615, 6608, 49407, 0, 0]


# ----------------------------------------------------------------------------------- mAP of events


def events(dataset: str, outputs: list[str]) -> dict[str, Any]:
    truth = {"segments": [[[0, 90]], [], [[0, 160]]], "labels": [["Fall"], [], ["A"]]}
    described = {"dataset": dataset, "classes": ["Normal", "Fire", "Fall"]}
    return {"config": described, "ground_truth": truth, "outputs": outputs}


def test_events_of_another_data_set_are_measured() -> None:
    found = vadclip_detection_map.measure(events("msad", ["eval/map"]), {}, {})
    assert found["eval/lengths"].tolist() == [6 + 8, 9, 10]
    assert found["eval/ap_per_class"].shape == (5, 3)
    assert np.isfinite(found["eval/map"]).all()
    assert "eval/map_exclude_normal" not in found


def test_normal_videos_are_left_out_where_they_are_known() -> None:
    outputs = ["eval/map", "eval/map_exclude_normal"]
    assert "eval/map_exclude_normal" in vadclip_detection_map.measure(events("xd", outputs), {}, {})
    with pytest.raises(ValueError, match="msad with 3 classes"):
        vadclip_detection_map.measure(events("msad", outputs), {}, {})
