"""Reference values of metrics, and a comparison that detects wrong ones."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity import metrics as comparison
from tests.parity.ground_truth import class_of, frame_labels
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import curves, pools, region

DATA = Path(__file__).parent / "data"
FILE, ROOT = DATA / "tiny_metrics.json", DATA / "annotations"


def failed_keys() -> set[str]:
    return {row.key for row in comparison.check(FILE, ROOT) if row.failed}


def test_metrics_give_the_reference_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert comparison.main([str(FILE), "--root", str(ROOT)]) == 0
    assert "DIFFERS" not in capsys.readouterr().out


def test_every_value_of_the_file_is_compared() -> None:
    reference = json.loads(FILE.read_text())
    compared = {(row.table, row.case, row.key) for row in comparison.check(FILE, ROOT)}
    for table, entry in reference["tables"].items():
        for case, expected in entry["cases"].items():
            keys = {key for key, _ in comparison.flatten(expected) if key != "video_level.rule"}
            assert {key for t, c, key in compared if (t, c) == (table, case)} == keys
    block = reference["region"]
    of_regions = {
        (table, case, key)
        for table, entry in block.items()
        if "clips" in entry
        for case in entry
        if case.startswith("expected")
        for key, _ in comparison.flatten(entry[case])
    }
    assert len(of_regions) > 80
    assert of_regions <= compared
    degenerate = reference["degenerate"]
    assert len([t for t, _, _ in compared if t == "degenerate"]) == 8 * (len(degenerate) - 1)


def test_degenerate_inputs_differ_from_scikit_learn_where_that_was_decided() -> None:
    decided = {
        (row.case, row.key)
        for row in comparison.check_degenerate(json.loads(FILE.read_text()))
        if row.verdict.startswith("decided")
    }
    no_class = ("all_normal", "all_normal_scores_below_half", "all_anomalous", "single_frame")
    areas = ("precision_recall_curve", "pr_auc_trapezoid", "average_precision_score")
    rates = ("false_alarm_rate_without_labels_argument", "false_alarm_rate_with_labels_0_1")
    assert decided == {
        *((case, key) for case in no_class for key in areas),
        *((case, key) for case in ("one_nan_score", "one_inf_score") for key in rates),
        *((case, rates[0]) for case in ("all_normal_scores_below_half", "single_frame")),
    }


def test_the_comparison_detects_another_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ap", "ap_abnormal"):
        other = pools.MEASURES[name]._replace(function=curves.pr_area)
        monkeypatch.setitem(pools.MEASURES, name, other)
    failed = failed_keys()
    assert {"average_precision", "abnormal_only.average_precision"} <= failed
    assert "pr_auc_trapezoid" not in failed


def test_the_comparison_detects_other_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "HIT", 0.5)
    assert failed_keys() >= {"pixel_level_40_percent_roc_auc_closed_at_1_1"}


def test_the_comparison_detects_a_silent_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "undefined", lambda name, missing: np.nan)
    assert {"roc_auc_score", "pr_auc_trapezoid"} <= failed_keys()


def test_a_value_that_is_not_computed_fails(tmp_path: Path) -> None:
    reference = json.loads(FILE.read_text())
    reference["tables"]["tiny_array"]["cases"]["quantised"]["brier"] = 0.5
    path = tmp_path / "more.json"
    path.write_text(json.dumps(reference))
    assert comparison.main([str(path), "--root", str(ROOT)]) == 1
    assert [row.key for row in comparison.check(path, ROOT) if row.failed] == ["brier"]


def test_a_root_without_the_ground_truth_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert comparison.main([str(FILE), "--root", str(tmp_path)]) == 2
    assert "holds no tiny.json" in " ".join(capsys.readouterr().out.split())
    monkeypatch.delenv("WSVAD_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "tables.json"
    elsewhere.write_text(FILE.read_text())
    assert comparison.main([str(elsewhere)]) == 2
    assert "WSVAD_DATA" in capsys.readouterr().out


def test_metrics_give_the_reference_values_on_the_benchmarks() -> None:
    if "WSVAD_DATA" not in os.environ:
        pytest.skip("WSVAD_DATA names no folder with data/annotations and golden/metrics.json")
    folder = Path(os.environ["WSVAD_DATA"])
    rows = comparison.check(folder / "golden" / "metrics.json", folder / "data" / "annotations")
    assert [row for row in rows if row.failed] == []
    assert {row.table for row in rows if np.isfinite(row.difference)} > {"degenerate"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("frame counts of counts.txt as they are; gt[s:e]", "0110000 000"),
        ("frame counts of counts.txt as they are; gt[s-1:e]", "1110000 000"),
        ("frame counts of counts.txt as they are; gt[s:e+1], clipped", "0111000 000"),
        ("frame counts of counts.txt rounded up to a multiple of 4", "01100000 0000"),
        ("frame counts of counts.txt rounded down to a multiple of 3", "011000 000"),
        (
            "frame counts of counts.txt; intervals of sub/boxes.json.gz, ends included: gt[s:e+1]",
            "0000011 000",
        ),
    ],
)
def test_rules_of_ground_truth(tmp_path: Path, rule: str, expected: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "counts.txt").write_text("x/b.mp4 3 Normal -1 -1\nx/a.mp4 7 Riot 1 3 -1 -1\n")
    events: list[dict[str, Any]] = [{"file_name": "a.mp4", "start_frame": 5, "end_frame": 9}]
    (tmp_path / "sub" / "boxes.json.gz").write_bytes(gzip.compress(json.dumps(events).encode()))
    labels = frame_labels(rule, tmp_path)
    assert list(labels) == ["a", "b"]
    assert " ".join("".join(map(str, values)) for values in labels.values()) == expected


def test_a_rule_without_frame_counts_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "intervals.txt").write_text("a 1 3\n")
    with pytest.raises(WSVADError, match="gives no frame counts"):
        frame_labels("intervals of intervals.txt", tmp_path)


@pytest.mark.parametrize(
    ("video", "name"),
    [
        ("RoadAccidents021_x264", "RoadAccidents"),
        ("Traffic_accident_33", "Traffic_accident"),
        ("Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6", "G"),
        ("all", "all"),
    ],
)
def test_classes_are_read_off_names(video: str, name: str) -> None:
    assert class_of(video) == name
