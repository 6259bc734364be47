"""``wsvad serve``: start the service, and end it without losing what is being scored."""

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from wsvad_lightning.data.loading.catalogue import as_settings
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.runs.trained import scoring_method
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.serving.extractor import Extractor

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

TOKEN = "WSVAD_TOKEN"
REQUIRED = ("fastapi", "uvicorn", "prometheus_client", "jinja2", "plotly")
CONNECTIONS = 1000  # open ones, those that wait for a place included


def serve(
    *,
    ckpt_path: str,
    port: int = 8000,
    host: str = "127.0.0.1",
    watch: str | None = None,
    most_megabytes: int = 500,
    waiting: int = 16,
    timeout: float = 300.0,
    weights: str | None = None,
    model: str | None = None,
) -> None:
    """Score videos and features that are sent over HTTP, and show running cameras, until a signal comes.

    Args:
        ckpt_path: checkpoint of the model.
        port: to listen at.
        host: address to listen at; other machines reach 0.0.0.0, which requires a token in WSVAD_TOKEN.
        watch: `--output` of a `wsvad watch`, whose cameras are shown.
        most_megabytes: of a body.
        waiting: requests that may be there at once; others get 429 and try again.
        timeout: seconds to send a body, and as many until it is scored.
        weights: of the backbone, where the checkpoint names but does not bring them.
        model: method of one's own that the checkpoint is of, by name or import path.

    Raises:
        WSVADError: if a package or the token is missing, an argument is out of range, the checkpoint cannot
            be read, or the port is in use.
    """
    if missing := [name for name in REQUIRED if find_spec(name) is None]:
        remedy = 'Run pip install "wsvad-lightning[serve]"'
        raise WSVADError("serve", ", ".join(missing), "is required and not installed", remedy)
    from wsvad_lightning.serving.service.app import Limits, is_local, make_app
    from wsvad_lightning.serving.service.cameras import Cameras
    from wsvad_lightning.serving.service.scorer import Scorer
    from wsvad_lightning.serving.service.uploads import remove_uploads

    for name, value in {"most_megabytes": most_megabytes, "waiting": waiting, "timeout": timeout}.items():
        if not value > 0:
            raise WSVADError(f"--{name}", value, "must be more than 0", "Give more")
    token = os.environ.get(TOKEN) or None
    if token is None and not is_local(host):
        problem = f"is required to listen at {host}, which other machines reach"
        raise WSVADError(TOKEN, None, problem, "Set it to a secret, or give --host 127.0.0.1")
    limits = Limits(most_megabytes, waiting, timeout)
    cameras = None if watch is None else Cameras(Path(watch))
    with as_settings({"path": "--ckpt_path"}):
        detector = Detector.from_checkpoint(ckpt_path, scoring_method(model))
    scorer = Scorer(detector, extractor_of(detector, weights), limits.bytes)
    with listening(host, port) as listener:
        remove_uploads()
        app = make_app(scorer, limits, token, cameras, ending=lambda: server.should_exit)
        server = server_of(app)
        address = f"[{host}]" if ":" in host else host
        sys.stderr.write(f"serving at http://{address}:{listener.getsockname()[1]}\n")
        server.run(sockets=[listener])


def server_of(app: "FastAPI") -> "uvicorn.Server":
    """Make what serves the application, to be run on an open port."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
        )
    )


def extractor_of(detector: Detector, weights: str | None) -> Extractor | None:
    """Give what extracts the features of videos; None, with a note, where the checkpoint carries no recipe.

    Raises:
        WSVADError: if the weights of the backbone are missing or others.
    """
    try:
        return detector.extractor(weights)
    except WSVADError as error:
        if error.argument != "path":
            raise
        sys.stderr.write(f"note: features are scored, videos are not: {error.problem}\n")
        return None


def listening(host: str, port: int) -> socket.socket:
    """Open the port.

    Raises:
        WSVADError: if it is in use, or not to be had.
    """
    if not 0 <= port < 2**16:
        raise WSVADError("--port", port, "must be in 0 to 65535", "Give a port; 0 takes a free one")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        problem = f"cannot be listened at on {host}: {(error.strerror or str(error)).lower()}"
        raise WSVADError("--port", port, problem, "Give another one, or end what listens there") from None
