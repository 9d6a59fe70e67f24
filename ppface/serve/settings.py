"""What a service is made of: its models, its gallery and its limits."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from ppface.core.errors import UserError
from ppface.gallery import Gallery
from ppface.serve.keys import Key


@dataclass(frozen=True)
class Limits:
    """What a service takes on.

    Attributes:
        bytes: of the body of a request.
        pixels: of a picture, read from its header before it is decoded.
        model_pixels: of a picture as the models get it: larger ones are decoded at a half, a quarter or an eighth of their sides, as
            detectors without a test size need memory for each pixel (a RetinaFace about 200 bytes).
        requests: that are received, wait or run at once; further ones are answered with 429.
        batch: pictures in one call of the pipeline.
        batch_wait_s: how long an incomplete batch waits for requests that are being received.
        body_s: for receiving the body of a request.
        answer_s: for the models, waiting included.
        stop_s: for the requests that have begun when the service is stopped.
    """

    bytes: int = 10_000_000
    pixels: int = 25_000_000
    model_pixels: int = 6_500_000
    requests: int = 32
    batch: int = 8
    batch_wait_s: float = 0.003
    body_s: float = 15.0
    answer_s: float = 60.0
    stop_s: float = 90.0

    def __post_init__(self) -> None:
        for one in fields(self):
            if not 0 < getattr(self, one.name) < float("inf"):
                raise UserError(f"limits: expected a number above 0 for {one.name}, received {getattr(self, one.name)}")


@dataclass(frozen=True)
class Settings:
    """What a service is made of.

    Attributes:
        pipeline: a FacePipeline: a list of pictures (H, W, 3) uint8 RGB -> a list of faces for each.
        detector, embedder: how they are called in answers.
        landmarks: of a face; 0: none.
        gallery: of the same model; None: nobody is enrolled or searched.
        keys: of the clients; None: everybody may do everything, for addresses of this machine alone.
        limits: what it takes on.
    """

    pipeline: Callable[[list[Any]], list[list[Any]]]
    detector: str
    embedder: str
    landmarks: int = 0
    gallery: Gallery | None = None
    keys: tuple[Key, ...] | None = None
    limits: Limits = field(default_factory=Limits)


def is_local(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
