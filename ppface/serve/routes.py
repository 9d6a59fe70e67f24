"""The routes under /v1, see /openapi.json."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

import ppface
from ppface.ops.embedding import similarity
from ppface.predict.face_quality import ANSWERED, ENROLLED
from ppface.serve import answers, people, schema, uploads
from ppface.serve.keys import Key
from ppface.serve.service import Service
from ppface.serve.service_error import ServiceError

PICTURE = (400, 408, 413, 415, 422)
bearer = HTTPBearer(auto_error=False, description="A key of the file of keys; without that file none is needed")
Threshold = Annotated[
    float | None,
    Query(ge=-1, le=1, allow_inf_nan=False, description="lowest cosine of a match; default: the calibrated one", examples=[0.4]),
]
IN_ADDRESS = {"maxLength": 200, "pattern": schema.NAME}  # of the name itself, which is percent-encoded here
Name = Annotated[
    str,
    Path(min_length=1, max_length=1000, description="the person's name, percent-encoded", json_schema_extra=IN_ADDRESS, examples=["Ann"]),
]


def service_of(request: Request) -> Service:
    return request.app.state.service


Here = Annotated[Service, Depends(service_of)]


def allowed(scope: str | None) -> Callable[..., Awaitable[Key | None]]:
    """A dependency that checks the key of a request for a scope; None: any key will do."""

    async def key(request: Request, service: Here, _: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Key | None:
        found = service.access.key(request.headers.get("authorization"))
        request.state.key_id = None if found is None else found.id
        service.access.spend(found, scope)
        return found

    return key


def needs(scope: str) -> list[Any]:
    return [Depends(allowed(scope))]


router = APIRouter(prefix="/v1")


@router.get("/info", response_model=schema.Info, responses=schema.errors(), summary="Models, limits, and what the key may do")
async def info(service: Here, key: Annotated[Key | None, Depends(allowed(None))]) -> Any:
    settings = service.settings
    about: dict[str, Any] = {"encrypted": False, "threshold": None, "false_match_rate": None, "calibration": []}
    if settings.gallery is not None:
        with service.slot():
            about = await service.in_gallery(people.about)
    models = {"version": ppface.__version__, "detector": settings.detector, "embedder": settings.embedder}
    limits = {"bytes": service.limits.bytes, "pixels": service.limits.pixels}
    more = {"landmarks": settings.landmarks, "scopes": list(service.access.scopes(key)), "limits": limits}
    return JSONResponse(models | {"gallery": settings.gallery is not None} | about | more)


async def faces_in(request: Request, service: Service, embeddings: bool) -> JSONResponse:
    with service.slot():
        ((picture, faces),) = await service.faces(request, "image")
    height, width = picture.size
    return JSONResponse({"width": width, "height": height, "faces": [answers.face(face, embeddings) for face in faces]})


@router.post(
    "/detect", response_model=schema.Detected, responses=schema.errors(*PICTURE), openapi_extra=schema.picture_body(),
    dependencies=needs("read"), summary="The faces of a picture",
)  # fmt: skip
async def detect(request: Request, service: Here) -> Any:
    return await faces_in(request, service, False)


@router.post(
    "/embed", response_model=schema.Embedded, responses=schema.errors(*PICTURE), openapi_extra=schema.picture_body(),
    dependencies=needs("read"), summary="The faces of a picture with their embeddings",
)  # fmt: skip
async def embed(request: Request, service: Here) -> Any:
    return await faces_in(request, service, True)


@router.post(
    "/search", response_model=schema.Searched, responses=schema.errors(404, *PICTURE), openapi_extra=schema.picture_body(),
    dependencies=needs("search"), summary="Who is in a picture",
)  # fmt: skip
async def search(
    request: Request,
    service: Here,
    k: Annotated[int, Query(ge=1, le=100, description="people of each face")] = 1,
    by: Annotated[Literal["image", "mean"], Query(description="a person's best image or mean")] = "image",
    threshold: Threshold = None,
) -> Any:
    with service.slot():
        await service.in_gallery(people.lowest, by, threshold)  # before the picture is received
        ((picture, faces),) = await service.faces(request, "image")
        refusals = [ANSWERED.refusals(face) for face in faces]
        usable = [face for face, reasons in zip(faces, refusals, strict=True) if not reasons]
        least, found = await service.in_gallery(people.search, usable, k, by, threshold)
    matches = iter(found)
    named = [answers.named(face, reasons, [] if reasons else next(matches)) for face, reasons in zip(faces, refusals, strict=True)]
    return JSONResponse({"width": picture.size[1], "height": picture.size[0], "threshold": least, "faces": named})


@router.post(
    "/verify", response_model=schema.Verified, responses=schema.errors(404, *PICTURE), openapi_extra=schema.picture_body("other"),
    dependencies=needs("read"), summary="Whether a picture shows a person of the gallery, or the same person as another picture",
)  # fmt: skip
async def verify(
    request: Request,
    service: Here,
    name: Annotated[
        str | None, Query(max_length=200, pattern=schema.NAME, description="of a person; without it two pictures are expected")
    ] = None,
    threshold: Threshold = None,
) -> Any:
    with service.slot():
        if name is not None:
            person = people.named(name)
            await service.in_gallery(people.known, person)
            ((_, faces),) = await service.faces(request, "image")
            face = answers.only_face(faces, "image", ANSWERED)
            return JSONResponse(await service.in_gallery(people.verify, person, face, threshold))
        if threshold is None and service.settings.gallery is None:
            raise ServiceError("invalid", "expected a threshold, as this service has no gallery with a calibrated one")
        least = threshold if threshold is not None else await service.in_gallery(people.lowest, "image", None)
        (_, one), (_, two) = await service.faces(request, "image", "other")
    a, b = (answers.only_face(faces, field, ANSWERED).embedding for faces, field in ((one, "image"), (two, "other")))
    assert a is not None and b is not None
    score = similarity(a, b)
    return JSONResponse({"same": score >= least, "score": score, "threshold": least})


@router.get(
    "/people", response_model=schema.People, responses=schema.errors(404), dependencies=needs("read"), summary="The people of the gallery"
)
async def list_people(service: Here) -> Any:
    with service.slot():
        return JSONResponse(await service.in_gallery(people.everybody))


@router.post(
    "/people", status_code=201, response_model=schema.Person, responses=schema.errors(404, 409, *PICTURE),
    openapi_extra=schema.json_body(schema.NewPerson), dependencies=needs("enrol"), summary="A person without images",
)  # fmt: skip
async def create_person(request: Request, service: Here) -> Any:
    with service.slot():
        name = people.new_name((await uploads.json_object(request, service.limits, "name"))["name"])
        return JSONResponse(await service.in_gallery(people.create, name), 201)


@router.post(
    "/people/{name}/images", status_code=201, response_model=schema.Enrolled, responses=schema.errors(404, *PICTURE),
    openapi_extra=schema.picture_body(), dependencies=needs("enrol"), summary="Enrols a picture of one face; a new name is a new person",
)  # fmt: skip
async def enrol(request: Request, name: Name, service: Here) -> Any:
    with service.slot():
        person = people.new_name(unquote(name))
        ((_, faces),) = await service.faces(request, "image")
        face = answers.only_face(faces, "image", ENROLLED)
        return JSONResponse(await service.in_gallery(people.enrol, person, face), 201)


@router.delete(
    "/people/{name}", response_model=schema.Forgotten, responses=schema.errors(404, 422), dependencies=needs("delete"),
    summary="Removes a person with all images from the gallery's file; the answer is the receipt",
)  # fmt: skip
async def forget(name: Name, service: Here) -> Any:
    with service.slot():
        return JSONResponse(await service.in_gallery(people.forget, people.named(unquote(name))))


@router.delete(
    "/people/{name}/images/{image}", response_model=schema.Person, responses=schema.errors(404, 422), dependencies=needs("delete"),
    summary="Removes one image of a person",
)  # fmt: skip
async def remove_image(name: Name, image: Annotated[str, Path(max_length=100)], service: Here) -> Any:
    with service.slot():
        return JSONResponse(await service.in_gallery(people.remove_image, people.named(unquote(name)), image))
