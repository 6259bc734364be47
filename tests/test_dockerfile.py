"""What the Dockerfile names exists: files, the wheel, the extra, the command, its port and its health."""

import inspect
import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from wsvad_lightning.parsing import parse_function
from wsvad_lightning.serving.service import app
from wsvad_lightning.serving.service.command import serve

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONTEXT = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def of(instruction: str) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in LINES if line.startswith(f"{instruction} ")]


def test_what_is_copied_is_in_the_context() -> None:
    assert all((ROOT / name).exists() for name in CONTEXT)
    own = [line.split()[0] for line in of("COPY") if not line.startswith("--from")]
    assert own == [".", "constraints.txt"]
    assert {"constraints.txt", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]} <= {*CONTEXT}


def test_the_wheel_and_its_extra_are_the_project_s() -> None:
    wheel = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}-py3-none-any.whl"
    patterns = re.findall(r"/wheels/(\S+?\.whl)", "\n".join(LINES))
    assert len(patterns) == 2
    assert all(fnmatch(wheel, pattern) for pattern in patterns)
    (extra,) = re.findall(r"\.whl\)\[(\w+)\]", "\n".join(of("RUN")))
    assert extra in PROJECT["optional-dependencies"]
    bases = {re.match(r"python:([\d.]+)-slim", base)[1] for base in of("FROM")}  # type: ignore[index]
    assert bases == {PROJECT["requires-python"].removeprefix(">=")}


def test_the_command_parses_and_is_asked_for_its_health_where_it_listens() -> None:
    command, name, *arguments = json.loads(of("ENTRYPOINT")[0])
    assert command in PROJECT["scripts"]
    given = parse_function(name, serve, [*arguments, "--ckpt_path", "a.ckpt"])
    assert given["host"] == "0.0.0.0"
    port = inspect.signature(serve).parameters["port"].default
    assert of("EXPOSE") == [str(port)]
    assert f"http://127.0.0.1:{port}/health" in of("HEALTHCHECK")[0]
    assert '@app.get("/health")' in inspect.getsource(app)
    assert of("USER") == ["wsvad"]
