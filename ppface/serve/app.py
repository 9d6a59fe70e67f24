"""The application of a service: its routes, its page, its state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import Match

import ppface
from ppface.serve import schema
from ppface.serve.envelope import Envelope
from ppface.serve.routes import router
from ppface.serve.service import Service
from ppface.serve.service_error import ServiceError
from ppface.serve.settings import Settings

PAGE = Path(__file__).parent / "page"
DRAINED = 8  # times the longest body: who sends a longer one mostly reads no answer before the end
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


class PageFiles(StaticFiles):
    """The page's files; browsers ask each time whether they have changed."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI application; its threads run from its startup to its shutdown."""
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="ppface", version=ppface.__version__, description="Faces of pictures, and the people of a gallery.", lifespan=lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.service = service
    drained = DRAINED * settings.limits.bytes
    app.add_middleware(Envelope, answered=service.metrics.answered, local_only=settings.keys is None, drained=drained)
    for kind, answer in ((ServiceError, _failed), (RequestValidationError, _invalid), (HTTPException, _no_route)):
        app.add_exception_handler(kind, answer)
    _add_state(app, service)
    app.include_router(router)
    if PAGE.is_dir():
        app.mount("/page", PageFiles(directory=PAGE), name="page")
        app.add_api_route("/", _page, include_in_schema=False)
    if settings.keys is None:
        _describe_without_keys(app)
    return app


def _describe_without_keys(app: FastAPI) -> None:
    for operations in app.openapi()["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)


async def _page() -> Response:
    return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})


async def _failed(_: Request, failure: Any) -> Response:
    return failure.response()


async def _invalid(_: Request, error: Any) -> Response:
    """FastAPI's list of mistakes in the arguments as one sentence, without what was received."""
    mistakes = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()]
    return ServiceError("invalid", "; ".join(mistakes)).response()


async def _no_route(request: Request, error: Any) -> Response:
    code = "not_found" if error.status_code == 404 else "invalid"
    response = ServiceError(code, str(error.detail), error.status_code).response()
    if error.status_code == 405:  # Starlette names the methods of the first route with this address alone
        routes = [route for route in (*router.routes, *request.app.routes) if isinstance(route, APIRoute)]
        fitting = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
        response.headers["Allow"] = ", ".join(sorted({method for route in fitting for method in route.methods or ()}))
    return response


def _add_state(app: FastAPI, service: Service) -> None:
    unavailable: dict[int | str, dict[str, Any]] = {503: schema.ERRORS[503], 500: schema.ERRORS[500], 403: schema.ERRORS[403]}

    @app.get("/health", response_model=schema.State, responses={403: schema.ERRORS[403]}, summary="The process runs")
    async def health() -> Any:
        return JSONResponse({"status": "ok"})

    @app.get("/ready", response_model=schema.State, responses=unavailable, summary="The next request would be answered")
    async def ready() -> Any:
        if reason := await service.ready():
            return ServiceError("unavailable", reason, retry_after=1).response()
        return JSONResponse({"status": "ready"})

    @app.get(
        "/metrics", responses={200: {"content": {"text/plain": {}}}, 403: schema.ERRORS[403]}, response_class=Response,
        summary="Counts and times for Prometheus",
    )  # fmt: skip
    async def metrics() -> Any:
        return Response(service.metrics.text(), media_type=PLAIN)
