"""``wsvad share``: a trained model as a folder with a model card, for others and for Hugging Face."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich
import yaml
from lightning_utilities.core.imports import RequirementCache

from wsvad_lightning import __version__
from wsvad_lightning.calibration import read_calibration, read_streamed_calibration
from wsvad_lightning.checkpoint import CHECKSUMS_KEY, CONFIG_KEY, OF_TRAINING, read_checkpoint
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.files import making_folder
from wsvad_lightning.reporting.tables import SHOWN, as_markdown
from wsvad_lightning.serving.pushing import check_push, upload
from wsvad_lightning.shared import CARD, HUB, save_shared, without_folders

PACKAGES = ("safetensors", "huggingface_hub")
TEXT = """{front}
# {method}: a detector of anomalies in videos

It was trained with one label a video, and gives a score for each snippet of a video.

## Use

```
pip install "wsvad-lightning[share,video]"
wsvad predict --ckpt_path FOLDER --videos cameras/
```

```python
from wsvad_lightning import Detector

scores = Detector.from_checkpoint("FOLDER").score_store("features.h5")
```

`FOLDER` is this folder, or `hf://owner/name`. The files hold tensors and plain values, and run no code.

## Features

{features}

## What was measured

{metrics}

## Alarms

{alarms}

## Intended use and limits

A score says how unlike normal training videos a snippet is, as far as the features show it. It is not a
probability. It means little for another camera, light or compression: `wsvad predict` names videos that are
unlike those of the training. Calibrate the alarm threshold on your own normal video, by `wsvad calibrate`.
Let a person look before anything follows from an alarm.

## How it was made

{origin}
"""


def share(*, ckpt_path: str, output: str, license: str, push: str | None = None) -> None:  # noqa: A002
    """Write a trained model as a folder: weights as safetensors, the rest as JSON, and a model card.

    Other commands read the folder as they read the checkpoint. The state of the training is left out, and
    so are the folders of all paths. The card has what the last `wsvad test` of the checkpoint measured.

    Args:
        ckpt_path: checkpoint that `wsvad fit` or `wsvad import-weights` wrote.
        output: folder to make.
        license: of the weights, as the card names it, such as apache-2.0 or cc-by-nc-4.0.
        push: owner/name of a model on Hugging Face to upload the folder to, which takes a token.

    Raises:
        WSVADError: if a package is missing, the checkpoint cannot be read, the folder cannot be made, or
            nothing can be uploaded.
    """
    if missing := [name for name in PACKAGES if not RequirementCache(name)]:
        raise WSVADError("share", ", ".join(missing), "is missing", 'Install "wsvad-lightning[share]"')
    require_licence(license, "the weights")
    check_push(push)
    left_out = {*OF_TRAINING, CHECKSUMS_KEY}
    checkpoint = {name: v for name, v in read_checkpoint(ckpt_path).items() if name not in left_out}
    card = card_of(checkpoint, find_test(Path(ckpt_path)), license)
    with making_folder(output) as folder:
        save_shared(checkpoint, folder, CONFIG_KEY)
        (folder / CARD).write_text(card, encoding="utf-8")
    rich.print(f"{output}: `wsvad test`, `predict` and others take it as --ckpt_path")
    if push is not None:
        upload(output, push, "model")
        rich.get_console().print(f"--ckpt_path {HUB}{push} reads it", markup=False, soft_wrap=True)


def find_test(checkpoint: Path) -> dict[str, Any]:
    """Read what the last test of a checkpoint in the folder of its run measured; nothing if there is none."""
    path = checkpoint.absolute()
    own = path.parts[-3:]  # such as version_0/checkpoints/last.ckpt
    records = path.parents[min(2, len(path.parents) - 1)].glob("version_*/metrics.json")
    for found in sorted(records, key=lambda one: one.stat().st_mtime, reverse=True):
        record: dict[str, Any] = json.loads(found.read_text("utf-8"))
        if Path(record["receipt"]["checkpoint"] or "").parts[-3:] == own:
            return record
    return {}


def card_of(checkpoint: Mapping[str, Any], test: Mapping[str, Any], licence: str) -> str:
    """Write the model card: front matter as Hugging Face reads it, and what a reader wants to know.

    Args:
        checkpoint: what is shared.
        test: ``metrics.json`` of a test; may be empty.
        licence: of the weights.
    """
    method = str(checkpoint.get("method"))
    tags = ["video-anomaly-detection", "weakly-supervised", method.lower()]
    receipt: dict[str, Any] = without_folders(test.get("receipt", {}))
    versions = receipt.pop("versions", {"wsvad_lightning": __version__})
    trained = {f"trained on {name}": value for name, value in trained_on(checkpoint).items()}
    return TEXT.format(
        front=front_matter(
            licence, tags, library_name="wsvad-lightning", **_model_index(method, test, receipt)
        ),
        method=method,
        features=listed({**checkpoint.get("features", {}), **(checkpoint.get("transform") or {})}),
        metrics=_metrics(test),
        alarms=_alarms(checkpoint),
        origin=listed(trained | receipt | versions),
    )


def trained_on(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Give store and split of the training, without folders; nothing where the configuration names none."""
    config = yaml.safe_load(checkpoint.get(CONFIG_KEY, ""))
    data = config.get("data") if isinstance(config, dict) else None  # it may come from a stranger
    if not isinstance(data, dict):
        return {}
    return {name: without_folders(data.get(name)) for name in ("store", "split", "split_index")}


def require_licence(licence: str, of: str) -> None:
    """Validate that a licence is named.

    Raises:
        WSVADError: if not.
    """
    if not licence.strip():
        raise WSVADError("--license", licence, "is empty", f"Name the licence of {of}")


def front_matter(licence: str, tags: list[str], **more: Any) -> str:
    """Write what Hugging Face reads at the head of a card."""
    front = {"license": licence, **more, "tags": tags}
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n"


def _metrics(test: Mapping[str, Any]) -> str:
    if not test:
        return "Nothing: no test of it is in the folder of its run."
    rows = []
    for name, title in SHOWN.items():
        if (value := test["metrics"].get(name)) is not None:
            ends = test["intervals"].get(name, ())
            rows.append([title, f"{100 * value:.1f}", " to ".join(f"{100 * end:.1f}" for end in ends)])
    return as_markdown(["metric", "percent", "95 % interval over test videos"], rows)


def _model_index(method: str, test: Mapping[str, Any], receipt: Mapping[str, Any]) -> dict[str, Any]:
    """Give the results as Hugging Face reads them, with values in [0, 1]; nothing where none was measured."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    store = receipt.get("store")
    measured = {name: v for name in SHOWN if (v := test.get("metrics", {}).get(name)) is not None}
    if not store or not measured:
        return {}
    results = [
        EvalResult(
            task_type="video-classification",  # of Hugging Face's list of tasks, the nearest one
            task_name="video anomaly detection",
            dataset_type=Path(store).stem,
            dataset_name=store,
            dataset_split="test",
            metric_type=name,
            metric_name=SHOWN[name],
            metric_value=value,
        )
        for name, value in measured.items()
    ]
    return {"model-index": eval_results_to_model_index(method, results)}


def _alarms(checkpoint: Mapping[str, Any]) -> str:
    if (found := read_calibration(checkpoint)) is None:
        return "Not calibrated."
    kinds = {"whole videos": found}
    if (streamed := read_streamed_calibration(checkpoint)) is not None:
        kinds[f"`wsvad watch`, windows of {streamed.window} snippets"] = streamed
    return "\n".join(
        f"* {kind}: threshold {one.threshold:.6g}, {counted(one.alarms, 'alarm')} in {one.hours:.3g} h of "
        f"normal video, at most {one.bound:.3g} an hour at 95 % confidence"
        for kind, one in kinds.items()
    )


def listed(values: Mapping[str, Any]) -> str:
    """Write values as a list in Markdown, without those that are None."""
    return "\n".join(f"* {name}: {v}" for name, v in values.items() if v is not None) or "Not recorded."
