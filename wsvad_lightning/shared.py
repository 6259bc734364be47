"""A model as a folder: weights as safetensors, everything else as JSON; on this machine or on Hugging Face.

``folder/`` and ``hf://owner/name`` are read wherever a checkpoint is. They may come from a stranger, and hold
nothing but tensors and plain values. What is private is left out when a folder is written: the state of the
training, and the folders of all paths.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import yaml
from torch import Tensor

WEIGHTS, REST, CARD = "model.safetensors", "model.json", "README.md"
HUB = "hf://"
TENSOR = "$tensor"  # the key of what stands in the JSON for a tensor: its name among the weights
LARGEST = 2**24  # bytes of the JSON; ours have some thousand


def is_shared(path: str | Path) -> bool:
    """Whether a path names a folder, or a model on Hugging Face, rather than a file."""
    return str(path).startswith(HUB) or Path(path).is_dir()


def load_shared(path: str | Path) -> dict[str, Any]:
    """Read a model that :func:`save_shared` wrote, as a checkpoint.

    Args:
        path: the folder, or ``hf://owner/name``, with ``@revision`` for another one than the newest.

    Raises:
        ConnectionError: if there is no such model on Hugging Face, or no connection.
        ValueError: if its files are not what :func:`save_shared` writes.
    """
    from safetensors.torch import load_file

    folder = _download(str(path)) if str(path).startswith(HUB) else Path(path)
    for name in (WEIGHTS, REST):
        if not (folder / name).is_file():
            raise ValueError(f"the folder has no {name}")
    if (folder / REST).stat().st_size > LARGEST:
        raise ValueError(f"its {REST} is larger than any")
    rest, tensors = json.loads((folder / REST).read_text("utf-8")), load_file(folder / WEIGHTS)
    if not isinstance(rest, dict):
        raise ValueError(f"its {REST} is not a mapping")
    joined: dict[str, Any] = _join(rest, tensors)
    if tensors:
        raise ValueError(f"its {WEIGHTS} holds {next(iter(tensors))}, which its {REST} does not name")
    return joined


def save_shared(checkpoint: Mapping[str, Any], folder: Path, config_key: str) -> None:
    """Write weights and JSON into a folder that is there.

    Args:
        checkpoint: entries of tensors and plain values, without those of the training.
        folder: where.
        config_key: entry whose value is the configuration as YAML text.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    rest = _split(without_folders(checkpoint), "", tensors)
    if config_key in checkpoint:
        rest[config_key] = yaml.safe_dump(without_folders(yaml.safe_load(checkpoint[config_key])))
    (folder / WEIGHTS).write_bytes(save(tensors))
    (folder / REST).write_text(json.dumps(rest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def without_folders(value: Any) -> Any:
    """Replace every absolute path in nested plain values by its last part: a folder says who and where."""
    if isinstance(value, Mapping):
        return {name: without_folders(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Put every tensor in nested values among the tensors, and its name in its place."""
    if isinstance(value, Tensor):
        assert name not in tensors, "keys of a checkpoint are names of modules, and differ"
        tensors[name] = value.detach().cpu().clone().contiguous()  # the format takes no views of others
        return {TENSOR: name}
    if isinstance(value, Mapping):
        return {key: _split(item, f"{name}.{key}".lstrip("."), tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_split(item, f"{name}.{place}", tensors) for place, item in enumerate(value)]
    return value


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Put the tensors back; each is taken once.

    Raises:
        ValueError: if one is missing.
    """
    if isinstance(value, dict) and value.keys() == {TENSOR}:
        if (name := value[TENSOR]) not in tensors:
            raise ValueError(f"its {WEIGHTS} lacks {name}")
        return tensors.pop(name)
    if isinstance(value, dict):
        return {key: _join(item, tensors) for key, item in value.items()}
    return [_join(item, tensors) for item in value] if isinstance(value, list) else value


@cache
def _download(address: str) -> Path:
    """Get the two files of a model on Hugging Face; without a connection, those of an earlier time.

    Raises:
        ConnectionError: if they cannot be had.
        ValueError: if the address names no model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = address.removeprefix(HUB).partition("@")
    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=[WEIGHTS, REST])
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ConnectionError(f"Hugging Face gives no {name}: {error}") from error
    except HFValidationError as error:
        raise ValueError(f"it is not {HUB}owner/name") from error
    return Path(found)
