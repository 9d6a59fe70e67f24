"""ServiceError: an answer of the service that is an error, as JSON."""

import math

from fastapi.responses import JSONResponse

STATUS = {
    "bad_image": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "too_large": 413,
    "no_face": 422,
    "several_faces": 422,
    "invalid": 422,
    "busy": 429,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}


class ServiceError(Exception):
    """An error that is sent to the client.

    Args:
        code: one of STATUS.
        message: one sentence, without names of people, paths or keys other than those that the client sent.
        status: of HTTP; None: that of STATUS.
        retry_after: seconds; rounded up in the header Retry-After.
    """

    def __init__(self, code: str, message: str, status: int | None = None, retry_after: float | None = None):
        super().__init__(message)
        self.code, self.message = code, message
        self.status = STATUS[code] if status is None else status
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": {"code": self.code, "message": self.message}}, self.status, headers)
