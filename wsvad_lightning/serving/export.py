"""``wsvad export``: a trained model as a file that scores without this project."""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import rich
import torch
from lightning_utilities.core.imports import RequirementCache
from torch import Tensor
from torch.export import Dim, ExportedProgram

from wsvad_lightning import __version__
from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.files import replacing
from wsvad_lightning.runs.trained import scoring_method
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.serving.exported import ScoringModule, scoring_module
from wsvad_lightning.types import NORMAL

Format = Literal["torch", "onnx", "openvino"]
Runner = Callable[[Sequence[Tensor]], Sequence[Any]]

SUFFIXES: dict[str, str] = {"torch": ".pt2", "onnx": ".onnx", "openvino": ".xml"}
PACKAGES: dict[str, tuple[str, ...]] = {
    "torch": (),
    "onnx": ("onnxscript", "onnxruntime"),
    "openvino": ("onnxscript", "openvino"),
}
KEY = "wsvad"  # of the metadata in a file
TOLERANCE = 1e-5
EXAMPLE = (37, 3)  # snippets and crops of what is traced; none of them is a special case
COMPARED = ((1, 1), (33, 2), (150, 5))  # snippets and crops


def export(
    *,
    ckpt_path: str,
    output: str,
    format: Format = "onnx",  # noqa: A002 - the option's name
    model: str | None = None,
) -> None:
    """Write a trained model as a file that scores videos without this project.

    Inputs are the streams of a store, [T, N, D] each, of one video of any length; what was done to them in
    the training is part of the file. Outputs are scores [T] and, where the method knows classes, classes
    [T, 1 + C]. What was written is read back, and compared with the checkpoint before it is moved to its
    place.

    Args:
        ckpt_path: checkpoint that `wsvad fit` or `wsvad import-weights` wrote.
        output: file to write; the suffix of the format is added where it is missing.
        format: torch for a program of torch.export, onnx, or openvino.
        model: method of one's own that the checkpoint is of, by name or import path.

    Raises:
        WSVADError: if a package is missing, the model cannot be exported, or its file gives other scores.
    """
    if missing := [name for name in PACKAGES[format] if not RequirementCache(name)]:
        problem = f"requires {', '.join(missing)}"
        raise WSVADError("--format", format, problem, 'Install "wsvad-lightning[export]"')
    checkpoint = read_checkpoint(ckpt_path)
    detector = Detector.from_checkpoint(ckpt_path, scoring_method(model))
    module = scoring_module(detector.model, detector.preparation(), ckpt_path)
    refuse_draws(module, ckpt_path)
    suffix = SUFFIXES[format]
    path = Path(output if output.endswith(suffix) else output + suffix)
    program = trace(module)
    described = metadata(module, program, checkpoint)
    WRITERS[format](program, module, json.dumps(described), path)
    most = described["most_snippets"]
    length = "any number of snippets" if most is None else f"at most {counted(most, 'snippet')}"
    rich.print(f"{path}: {described['method']}, {length}, equal to the checkpoint within {TOLERANCE:g}")


def refuse_draws(module: ScoringModule, path: str) -> None:
    """Refuse what has no fixed scores, or draws noise by a generator that no file has.

    Raises:
        WSVADError: if so.
    """
    if module.model.draws_when_scoring:
        name = type(module.model).__name__
        problem = f"is of {name}, which draws noise for each length of a video; no format has its generator"
        raise WSVADError("--ckpt_path", path, problem, "Choose another method to export")


def trace(module: ScoringModule) -> ExportedProgram:
    """Trace a module for any number of snippets, and of views where their number is not fixed."""
    dynamic = tuple(
        {0: Dim.DYNAMIC} if shape.num_views is not None else {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
        for shape in module.inputs.values()
    )
    with quiet(), torch.no_grad():
        return torch.export.export(module, drawn(module, *EXAMPLE), dynamic_shapes={"streams": dynamic})


def drawn(module: ScoringModule, snippets: int, views: int) -> tuple[Tensor, ...]:
    """Draw streams, of which z-scores are standard normal."""
    generator = torch.Generator().manual_seed(0)
    streams = []
    for name, shape in module.inputs.items():
        transform = module.preparation.further.get(name, module.preparation.transform)
        values = torch.rand(snippets, shape.num_views or views, shape.dim, generator=generator)
        if transform.centred:
            state = transform.state_dict()
            noise = torch.randn(values.shape, generator=generator)
            values = state[f"{name}/mean"] + state[f"{name}/deviation"] * noise
        streams.append(values)
    return tuple(streams)


def most_snippets(program: ExportedProgram) -> int | None:
    """Give the longest video that a program scores; None for no limit."""
    (symbol,) = {node.meta["val"].shape[0].node.expr for node in inputs_of(program)}
    upper = program.range_constraints[symbol].upper
    return int(upper) if upper.is_Integer else None


def inputs_of(program: ExportedProgram) -> Iterator[torch.fx.Node]:
    """Give the inputs that are not weights."""
    names = program.graph_signature.user_inputs
    return (node for node in program.graph.nodes if node.op == "placeholder" and node.name in names)


def metadata(
    module: ScoringModule, program: ExportedProgram, checkpoint: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe a file for those who use it, in plain values."""
    features = checkpoint.get("features", {})
    return {
        "wsvad_version": __version__,
        "method": type(module.model).__name__,
        "classes": [NORMAL, *module.model.classes] if module.model.classes else [],
        "inputs": {name: [None, shape.num_views, shape.dim] for name, shape in module.inputs.items()},
        "outputs": module.outputs,
        "most_snippets": most_snippets(program),
        **{name: features.get(name) for name in ("backbone", "snippet_length", "snippet_stride")},
        "transform": checkpoint.get("transform"),
    }


def write_torch(program: ExportedProgram, module: ScoringModule, described: str, path: Path) -> None:
    """Write a program of torch.export, with the metadata in an extra file."""
    with replacing(path) as temporary:
        with temporary.open("wb") as file, quiet():
            torch.export.save(program, file, extra_files={KEY: described})
        compare(module, run_torch(temporary, module), most_snippets(program), path)


def run_torch(path: Path, module: ScoringModule) -> Runner:
    """Load what :func:`write_torch` wrote."""
    with path.open("rb") as file, quiet():
        loaded = torch.export.load(file).module()
    return lambda streams: loaded(*streams)


def write_onnx(program: ExportedProgram, module: ScoringModule, described: str, path: Path) -> None:
    """Write an ONNX file, with the metadata among its properties."""
    with replacing(path) as temporary:
        save_onnx(program, module, described, temporary)
        compare(module, run_onnx(temporary, module), most_snippets(program), path)


def save_onnx(program: ExportedProgram, module: ScoringModule, described: str, path: Path) -> None:
    """Translate a program, and name its inputs after the streams."""
    try:
        with quiet(), torch.no_grad():
            translated = torch.onnx.export(
                program, input_names=list(module.inputs), output_names=module.outputs, verbose=False
            )
    except torch.onnx.OnnxExporterError:
        method = type(module.model).__name__
        problem = f"PyTorch cannot translate {method} to ONNX"
        raise WSVADError("--format", "onnx", problem, "Choose torch") from None
    assert translated is not None, "the translation of a program is a program"
    translated.model.metadata_props[KEY] = described
    translated.save(path)


def run_onnx(path: Path, module: ScoringModule) -> Runner:
    """Load what :func:`write_onnx` wrote, on as many threads as PyTorch has."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from 1.32 it reports its use as it is imported
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(streams: Sequence[Tensor]) -> Sequence[Any]:
        given = {name: stream.numpy() for name, stream in zip(module.inputs, streams, strict=True)}
        outputs: Sequence[Any] = session.run(module.outputs, given)
        return outputs

    return run


def write_openvino(program: ExportedProgram, module: ScoringModule, described: str, path: Path) -> None:
    """Write OpenVINO's two files, weights first, with the metadata among the run-time information."""
    import openvino

    with TemporaryDirectory() as folder:
        source, written = Path(folder, "model.onnx"), Path(folder, "model.xml")
        save_onnx(program, module, described, source)
        model = openvino.Core().read_model(source)  # its converter would report the use of it
        model.set_rt_info(described, KEY)
        openvino.save_model(model, written, compress_to_fp16=False)
        compare(module, run_openvino(written, module), most_snippets(program), path)
        for suffix in (".bin", ".xml"):
            with replacing(path.with_suffix(suffix)) as temporary:
                temporary.write_bytes(written.with_suffix(suffix).read_bytes())


def run_openvino(path: Path, module: ScoringModule) -> Runner:
    """Load what :func:`write_openvino` wrote, in float32, on as many threads as PyTorch has."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(path, "CPU", settings)

    def run(streams: Sequence[Tensor]) -> Sequence[Any]:
        results = compiled([stream.numpy() for stream in streams])
        return [results[name] for name in module.outputs]

    return run


WRITERS = {"torch": write_torch, "onnx": write_onnx, "openvino": write_openvino}
RUNNERS = {"torch": run_torch, "onnx": run_onnx, "openvino": run_openvino}


def compare(module: ScoringModule, run: Runner, most: int | None, path: Path) -> None:
    """Compare what a file gives with the scores of the checkpoint.

    Raises:
        WSVADError: if they differ.
    """
    if not (largest := largest_difference(module, run, most)) <= TOLERANCE:
        problem = f"its scores would differ from those of the checkpoint by {largest:.1e}"
        raise WSVADError("output", path, problem, "Choose another format")


def largest_difference(module: ScoringModule, run: Runner, most: int | None) -> float:
    """Measure it over three lengths and numbers of views; relative where a value is above 1."""
    largest = 0.0
    for snippets, views in COMPARED:
        streams = drawn(module, min(snippets, most or snippets), views)
        for expected, found in zip(module.reference(*streams), run(streams), strict=True):
            difference = (expected - torch.as_tensor(np.asarray(found)).view_as(expected)).abs()
            largest = max(largest, float((difference / expected.abs().clamp_min(1)).max()))
    return largest


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what PyTorch's exporters say to those who develop them."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
