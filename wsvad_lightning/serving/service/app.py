"""The service as an application of FastAPI: its addresses, and who may ask what."""

import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wsvad_lightning.reporting.html.page import render_page
from wsvad_lightning.serving.service.cameras import Cameras
from wsvad_lightning.serving.service.desk import Desk
from wsvad_lightning.serving.service.refused import Refused
from wsvad_lightning.serving.service.scorer import Scorer
from wsvad_lightning.serving.service.uploads import receive, upload

EMPTY: dict[str, Any] = {"videos": [], "figures": {}, "alarm": None}  # of the page before anything is scored
SCRIPTS = ("report.js", "service.js")
GONE = 499  # of a client that went away, which sees no answer
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        megabytes: of its body.
        waiting: requests that may be there at once.
        seconds: to send it, and as many to be answered.
    """

    megabytes: int = 500
    waiting: int = 16
    seconds: float = 300.0

    @property
    def bytes(self) -> int:
        """Of its body."""
        return self.megabytes * 10**6


def make_app(
    scorer: Scorer,
    limits: Limits,
    token: str | None = None,
    cameras: Cameras | None = None,
    ending: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Make the application.

    Args:
        scorer: of uploads.
        limits: of requests.
        token: that requests must bear; None for none, and then only for addresses of this machine.
        cameras: of `wsvad watch`; None for none.
        ending: whether the service ends.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # their pages are loaded from the net
    desk = Desk(scorer, limits.waiting, limits.seconds, ending)
    meter = Meter(lambda: desk.inside)
    app.add_middleware(Envelope, meter=meter)
    for kind in (Refused, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, explain)
    allowed = [Depends(Guard(token))]
    shown = {"token": token is not None, "cameras": cameras is not None}
    page = render_page("service.html.j2", EMPTY, SCRIPTS, title="Score a video", **shown)

    @app.get("/")
    def home() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", dependencies=allowed)
    def metrics() -> Response:
        return Response(generate_latest(meter.registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/score", dependencies=allowed)
    async def score(request: Request, fps: Annotated[float | None, Query(gt=0, le=1000)] = None) -> Response:
        with desk.place(), upload() as path:
            meter.bytes.inc(await receive(request, path, limits.bytes, limits.seconds))
            began = time.perf_counter()
            answer = await desk.answer(request, path, fps)
            meter.seconds.observe(time.perf_counter() - began)
        return Response(answer, media_type="application/json")

    if cameras is not None:
        add_cameras(
            app, cameras, allowed, render_page("cameras.html.j2", EMPTY, SCRIPTS, title="Cameras", **shown)
        )
    return app


def add_cameras(app: FastAPI, cameras: Cameras, allowed: Sequence[Any], page: str) -> None:
    """Add the page of running cameras, and what it asks for."""

    @app.get("/cameras")
    def show() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/cameras.json", dependencies=allowed)
    def state() -> dict[str, Any]:
        return cameras.state()

    @app.get("/alarms/{name}", dependencies=allowed)
    def of_alarm(name: str) -> FileResponse:
        path = cameras.file_of_alarm(name)
        if path is None:
            raise Refused(404, "no such picture or clip")
        return FileResponse(path)


class Guard:
    """Lets a request pass that bears the token; without one, those to an address of this machine.

    A page of the net could otherwise ask a service of this machine, under a name that it lets point here.

    Args:
        token: None for none.
    """

    def __init__(self, token: str | None) -> None:
        self._expected = None if token is None else f"Bearer {token}".encode()

    def __call__(self, request: Request) -> None:
        """Look at the headers of a request.

        Raises:
            Refused: if it may not pass.
        """
        if self._expected is None:
            if not is_local(request.url.hostname or ""):
                raise Refused(403, "without a token, only localhost and 127.0.0.1 are answered")
            return
        given = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, self._expected):
            problem = "the token of the service is required: Authorization: Bearer TOKEN"
            raise Refused(401, problem, {"WWW-Authenticate": "Bearer"})


def is_local(host: str) -> bool:
    """Whether a name or address is of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Meter:
    """What the service counts, for Prometheus.

    Args:
        inside: gives the requests that are there.
    """

    def __init__(self, inside: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "wsvad_requests", "answered requests", ("path", "status"), registry=self.registry
        )
        self.bytes = Counter("wsvad_upload_bytes", "bytes of uploads", registry=self.registry)
        self.seconds = Histogram(
            "wsvad_answer_seconds", "from an upload to its answer", registry=self.registry
        )
        Gauge("wsvad_requests_inside", "requests that send or wait", registry=self.registry).set_function(
            inside
        )
        ProcessCollector(registry=self.registry)


class Envelope:
    """Gives every answer its headers, and counts it.

    Args:
        app: what answers.
        meter: what counts.
    """

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app, self._meter = app, meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # of an error, which the server answers itself

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._meter.requests.labels(path, str(status)).inc()


def in_a_line(status: int, problem: str, headers: Mapping[str, str] | None = None) -> Response:
    """Say what is wrong, as JSON in a line."""
    return JSONResponse({"error": problem}, status, headers)


def explain(request: Request, error: Exception) -> Response:
    """Answer a request that failed."""
    if isinstance(error, Refused):
        return in_a_line(error.status, error.problem, error.headers)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return in_a_line(422, f"{first['loc'][-1]}: {first['msg']}")
    if isinstance(error, HTTPException):
        return in_a_line(error.status_code, str(error.detail), error.headers)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=GONE)
    return in_a_line(500, "the service failed; what it wrote to standard error says why")
