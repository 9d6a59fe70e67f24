"""Bodies of requests: received with limits of size and time, and opened as pictures without decoding them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture
from ppface.data.pictures.picture_limit import TooLargeError
from ppface.serve.service_error import ServiceError
from ppface.serve.settings import Limits

JSON_BYTES = 65_536
KINDS = "JPEG, PNG, WebP or BMP"


async def body(request: Request, most: int, seconds: float) -> bytes:
    """The body of a request.

    Raises:
        ServiceError: more bytes, or more time.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit():
        raise ServiceError("invalid", "expected a number in the header Content-Length", 400)
    if len(announced) > 18 or int(announced) > most:
        raise ServiceError("too_large", f"expected a body of at most {most:,} bytes")
    try:
        return await asyncio.wait_for(_received(request, most), seconds)
    except asyncio.TimeoutError:
        raise ServiceError("invalid", f"the body did not arrive within {seconds:g} seconds", 408) from None
    except ClientDisconnect:
        raise ServiceError("invalid", "the connection ended within the body", 400) from None


async def _received(request: Request, most: int) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > most:
            raise ServiceError("too_large", f"expected a body of at most {most:,} bytes")
    return bytes(found)


async def fields(request: Request, limits: Limits) -> dict[str, bytes]:
    """The encoded pictures of a request by their fields: `image` for a body that is a picture itself."""
    content = await body(request, limits.bytes, limits.body_s)
    if not request.headers.get("content-type", "").strip().lower().startswith("multipart/form-data"):
        return {"image": content}
    parser = MultiPartParser(request.headers, _once(content), max_files=2, max_fields=0)
    parser.spool_max_size = limits.bytes + 1  # never in a file
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError, AssertionError):
        for file in parser._files_to_close_on_error:
            file.close()
        raise ServiceError("invalid", "expected multipart/form-data with pictures as files, received damaged or other fields") from None
    items = form.multi_items()
    try:
        if {name for name, _ in items} - {"image", "other"} or len({name for name, _ in items}) < len(items):
            raise ServiceError("invalid", "expected the files image and, to compare two, other, once each and nothing else")
        return {name: await value.read() for name, value in items if isinstance(value, UploadFile)}
    finally:
        await form.close()


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


async def pictures(request: Request, limits: Limits, *names: str) -> list[Picture]:
    """The pictures of a request, in the order of their fields, not yet decoded.

    Raises:
        ServiceError: a body beyond the limits, no picture, other fields, or a picture of too many pixels.
    """
    found = await fields(request, limits)
    if set(found) != set(names):
        raise ServiceError("invalid", f"expected {' and '.join(names)} as multipart/form-data, received {len(found)} pictures")
    return [await asyncio.to_thread(opened, found[name], name, limits) for name in names]


def opened(content: bytes, name: str, limits: Limits) -> Picture:
    """A picture by its header; the format is that of its bytes, whatever name and type the client gave."""
    if not content:
        raise ServiceError("bad_image", f"{name}: empty, expected a picture")
    webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    if not webp and not content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")):
        raise ServiceError("bad_image", f"{name}: expected a picture as {KINDS}", 415)
    try:
        picture = Picture.encoded(content, name)
    except DataError as error:
        raise bad_picture(error) from None
    height, width = picture.size
    if height * width > limits.pixels:
        raise ServiceError("too_large", f"{name}: expected at most {limits.pixels:,} pixels, received {width}x{height}")
    return picture


def bad_picture(error: DataError) -> ServiceError:
    """The error that is sent for a picture that cannot be opened or decoded."""
    if isinstance(error.__context__, TooLargeError):
        return ServiceError("too_large", str(error).partition(": if it is meant")[0])
    return ServiceError("bad_image", str(error))


async def json_object(request: Request, limits: Limits, *names: str) -> dict[str, Any]:
    """A body that is a JSON object with these texts and nothing else."""
    content = await body(request, min(limits.bytes, JSON_BYTES), limits.body_s)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or set(found) != set(names) or not all(isinstance(value, str) for value in found.values()):
        raise ServiceError("invalid", f"expected a JSON object with the texts {', '.join(names)} and nothing else")
    return found
