"""A small trained model that knows how its features were extracted, and a hub on this machine."""

from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.videos import write_stamped
from wsvad_lightning.cli import main

RECIPE = """
snippet_length: 4
snippet_stride: 4
fps: 10
streams:
  - {name: features, backbone: flow_statistics, view: 1x2, size: 32}
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of motion features."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "videos").mkdir()
    for name in ("n1", "a1"):
        write_stamped(folder / "videos" / f"{name}.mp4", [t / 10 for t in range(10)])
    (folder / "train.csv").write_text("video,label,split\nn1,normal,train\na1,abnormal,train\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    store = folder / "train.h5"
    options = ["--annotations", str(folder / "train.csv"), "--config", str(folder / "recipe.yaml")]
    assert main(["extract", str(folder / "videos"), str(store), *options]) == 0
    where = ["--data.store", str(store), "--output", str(folder), "--name", "model"]
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "1"]
    assert main(["fit", "--config", "ucf_sultani.yaml", *small, *where]) == 0
    return folder / "model" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine that huggingface_hub takes for Hugging Face; its address."""
    from huggingface_hub import constants

    from tests.serving.hub import Hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield address
    server.shutdown()
    server.server_close()
