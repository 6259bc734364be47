"""The page of ``wsvad label`` as an application of FastAPI, for this machine alone."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Body, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse
from starlette.exceptions import HTTPException

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.html.page import render_page
from wsvad_lightning.serving.labelling.films import Films
from wsvad_lightning.serving.labelling.sheet import Sheet
from wsvad_lightning.serving.service.app import Guard, explain, in_a_line
from wsvad_lightning.serving.service.refused import Refused

Answer = TypeVar("Answer")


def make_app(sheet: Sheet, films: Films) -> FastAPI:
    """Make the application.

    Args:
        sheet: that is filled.
        films: of its videos.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(Guard(None))])
    for kind in (Refused, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, explain)
    app.add_exception_handler(WSVADError, lambda request, error: in_a_line(422, str(error)))
    page = render_page("label.html.j2", {}, ("label.js",), title="Label videos", table=sheet.path.name)

    @app.get("/")
    def home() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/videos")
    def videos() -> list[dict[str, Any]]:
        return sheet.rows()

    @app.put("/videos/{place}")
    def change(place: int, given: Annotated[Any, Body()]) -> dict[str, Any]:
        return existing(sheet, place, lambda: sheet.change(place, given))

    @app.get("/times/{place}")
    def times(place: int) -> list[float]:
        return existing(sheet, place, lambda: films.film(place).times)

    @app.get("/films/{place}")
    def film(place: int) -> FileResponse:
        return FileResponse(existing(sheet, place, lambda: films.film(place).path), media_type="video/mp4")

    return app


def existing(sheet: Sheet, place: int, answer: Callable[[], Answer]) -> Answer:
    """Answer what concerns a video, if there is one at this place.

    Raises:
        Refused: if not.
    """
    if not 0 <= place < len(sheet.videos):
        raise Refused(404, "no such video")
    return answer()
