"""``wsvad fit``, ``validate``, ``test``, and ``schema``."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from wsvad_lightning.carried import IDS
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.frames import ClipDataModule
from wsvad_lightning.files import replacing
from wsvad_lightning.runs.arguments import RunArguments
from wsvad_lightning.runs.parsed import Unparsed
from wsvad_lightning.runs.run import run_trainer

# Settings of the trainer whose classes jsonargparse 4.53 cannot describe in a schema.
UNDESCRIBED = ("accelerator", "callbacks", "devices", "logger", "plugins", "profiler", "strategy")


def fit(args: Sequence[str]) -> None:
    """Run ``wsvad fit``."""
    run_trainer(["fit", *args])


def validate(args: Sequence[str]) -> None:
    """Run ``wsvad validate``."""
    run_trainer(["validate", *args])


def test(args: Sequence[str]) -> None:
    """Run ``wsvad test``."""
    run_trainer(["test", *args])


def parser_of(command: str) -> LightningArgumentParser:
    """Make the parser of one of these commands."""
    return Unparsed([command])._parser(command)


def schema(output: str | None = None) -> None:
    """Write the JSON schema of recipes, by which editors complete and check them.

    Args:
        output: file to write, by default standard output.

    Raises:
        WSVADError: if the file cannot be written.
    """
    parser = LightningArgumentParser()
    RunArguments.add_method_and_data(parser, WSVADDataModule)
    parser.add_class_arguments(Trainer, "trainer", skip={*UNDESCRIBED}, fail_untyped=False)
    own: dict[str, Any] = {"seed_everything": int | bool, "name": str, "output": str}
    own |= {"save_every_steps": int | None, "save_every_minutes": float | None}
    own |= dict.fromkeys(("init_from", "init_part"), str | None)
    for name, kind in own.items():
        parser.add_argument(f"--{name}", type=kind)
    described = json.loads(parser.get_completion_script("jsonschema"))
    properties = described["properties"]
    of_clips = LightningArgumentParser()
    of_clips.add_lightning_class_args(ClipDataModule, "data")
    pixels = json.loads(of_clips.get_completion_script("jsonschema"))["properties"]["data"]["properties"]
    properties["data"]["properties"] = pixels | properties["data"]["properties"]
    properties["trainer"]["properties"] |= {name: {} for name in UNDESCRIBED}
    for method in described["$defs"]["TrainingModule"]["anyOf"]:
        class_path = method.get("properties", {}).get("class_path", {}).get("const", "")
        if ids := [id_ for id_, name in IDS.items() if class_path.endswith(f".{name}")]:
            method["properties"]["class_path"] = {"enum": [*ids, class_path]}
    properties["model"] = {"anyOf": [{"type": "string"}, properties["model"]]}  # a file of the method
    properties["config"] = {"type": ["string", "array"], "description": "recipes that this one changes"}
    described["patternProperties"] = {r"^(model|data|trainer)\.": {}}  # single values by dotted names
    for part in (described, properties["data"]):
        part.pop("required", None)  # an overlay has some settings
    text = json.dumps(described, indent=1) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    with replacing(output) as path:
        path.write_text(text, "utf-8")
