"""Bodies of requests and answers, as /openapi.json describes them, with examples."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ppface.serve.service_error import STATUS

POINTS = [[112.4, 96.1], [151.0, 95.2], [131.8, 121.7], [117.2, 140.9], [148.3, 140.1]]
QUALITY = {"strength": 9.4, "size": 102.0, "sharpness": 210.3, "pitch": -3.1, "yaw": 5.6, "roll": 0.9}
PLACE = {"box": [90.5, 60.2, 172.0, 168.9], "score": 0.98, "landmarks": POINTS}
FACE = PLACE | {"quality": QUALITY, "refusals": []}
MATCH = {"name": "Ann", "score": 0.71, "image": "9f1c3ad2c5e84b6f8c8b6a0b2f6d1e07"}
RECEIPT = {
    "forgotten": "Ann", "person": "4be2a90c1d7f4c0f9b1f0e6a7c3d2b18", "images": 3, "time": "2026-01-01T12:00:00+00:00", "by": "ppface",
    "gallery": "0d7a2f6b9c1e4a58b3f2c6d7e8091a2b", "not_covered": "copies and exports made before",
}  # fmt: skip
Number = float | None
NAME = r"^[^\u0000-\u001f\u007f-\u009f]+$"


def example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class Place(BaseModel):
    box: list[Number] = Field(description="x1, y1, x2, y2 in pixels of the upright picture")
    score: Number
    landmarks: list[list[float]] | None = Field(description="x, y in pixels")


class Quality(BaseModel):
    strength: Number
    size: Number
    sharpness: Number
    pitch: Number
    yaw: Number
    roll: Number


class FoundFace(Place):
    quality: Quality
    refusals: list[str] = Field(description="why this face would not be named")


class EmbeddedFace(FoundFace):
    embedding: list[float] | None = Field(description="before L2 normalisation; null if the landmarks determine no alignment")
    norm: Number


class Detected(BaseModel):
    model_config = example(width=640, height=480, faces=[FACE])
    width: int
    height: int
    faces: list[FoundFace]


class Embedded(BaseModel):
    model_config = example(width=640, height=480, faces=[FACE | {"embedding": [0.12, -0.53, 0.08], "norm": 9.4}])
    width: int
    height: int
    faces: list[EmbeddedFace]


class PersonMatch(BaseModel):
    name: str
    score: float = Field(description="cosine")
    image: str | None = Field(description="the most similar image; null for by=mean")


class NamedFace(Place):
    refusals: list[str] = Field(description="why this face was not searched")
    name: str = Field(description="the best person, or Unknown")
    best: Number = Field(description="cosine of the most similar person, above or below the threshold; null if nobody was compared")
    matches: list[PersonMatch]


class Searched(BaseModel):
    model_config = example(
        width=640, height=480, threshold=0.42, faces=[PLACE | {"refusals": [], "name": "Ann", "best": 0.71, "matches": [MATCH]}]
    )  # fmt: skip
    width: int
    height: int
    threshold: float
    faces: list[NamedFace]


class Verified(BaseModel):
    model_config = example(same=True, score=0.71, threshold=0.42)
    same: bool
    score: float
    threshold: float


class Person(BaseModel):
    model_config = example(name="Ann", images=3)
    name: str
    images: int


class People(BaseModel):
    model_config = example(people=[{"name": "Ann", "images": 3}], count=1)
    people: list[Person]
    count: int


class NewPerson(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Ann"}]})
    name: str = Field(min_length=1, max_length=200, pattern=NAME)


class Enrolled(BaseModel):
    model_config = example(name="Ann", image=MATCH["image"], images=3)
    name: str
    image: str
    images: int


class Forgotten(BaseModel):
    model_config = example(**RECEIPT)
    forgotten: str
    person: str
    images: int
    time: str
    by: str
    gallery: str
    not_covered: str


class CalibrationPoint(BaseModel):
    false_match_rate: float
    threshold: float
    low: float = Field(description="of the interval of 95 % of the false match rate")
    high: float


class LimitsAbout(BaseModel):
    bytes: int
    pixels: int


class Info(BaseModel):
    model_config = example(
        version="0.1.0", detector="retinaface", embedder="mobilefacenet", gallery=True, encrypted=True, landmarks=5, threshold=0.42,
        false_match_rate=0.001, calibration=[{"false_match_rate": 0.001, "threshold": 0.42, "low": 0.0006, "high": 0.0014}],
        scopes=["read", "search"], limits={"bytes": 10_000_000, "pixels": 25_000_000},
    )  # fmt: skip
    version: str
    detector: str
    embedder: str
    gallery: bool
    encrypted: bool
    landmarks: int
    threshold: Number
    false_match_rate: Number
    calibration: list[CalibrationPoint]
    scopes: list[str]
    limits: LimitsAbout


class State(BaseModel):
    model_config = example(status="ok")
    status: str


class ErrorBody(BaseModel):
    code: Literal[tuple(STATUS)]  # type: ignore[valid-type]
    message: str


class Error(BaseModel):
    model_config = example(error={"code": "no_face", "message": "image: expected one face, found none"})
    error: ErrorBody


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "No picture, a damaged one, or a damaged request"},
    401: {"model": Error, "description": "No key, or an unknown one"},
    403: {"model": Error, "description": "The key lacks the scope, or a page of another site asks"},
    404: {"model": Error, "description": "No such person or image, or no gallery"},
    408: {"model": Error, "description": "The body did not arrive in time"},
    409: {"model": Error, "description": "The person exists already"},
    413: {"model": Error, "description": "More bytes or pixels than allowed"},
    415: {"model": Error, "description": "Not one of the formats JPEG, PNG, WebP and BMP"},
    422: {"model": Error, "description": "An argument that cannot be used, or not exactly one usable face"},
    429: {"model": Error, "description": "Too many requests; the header Retry-After says when to come back, in seconds"},
    500: {"model": Error, "description": "An error of the service"},
    503: {"model": Error, "description": "The service is stopping, or its gallery cannot be used at the moment"},
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: ERRORS[status] for status in sorted({*statuses, 401, 403, 429, 500, 503})}


BINARY = {"schema": {"type": "string", "format": "binary"}}
PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp")


def picture_body(*optional: str) -> dict[str, Any]:
    """The body of a request with a picture, for OpenAPI; `optional` further fields of multipart/form-data."""
    files = dict.fromkeys(("image", *optional), BINARY["schema"])
    form = {"schema": {"type": "object", "properties": files, "required": ["image"], "additionalProperties": False}}
    content = dict.fromkeys(PICTURE_TYPES, BINARY) | {"multipart/form-data": form}
    return {"requestBody": {"required": True, "content": content}}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}
