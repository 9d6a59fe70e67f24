"""The log of a service: a JSON object a line, without pictures, embeddings, names of people or keys."""

import json
import logging
import sys
import traceback
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

journal = logging.getLogger("ppface.serve")


class JsonLines(logging.Formatter):
    """A record as one line; of exceptions type and place alone, as their texts may hold what a client sent."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "details", {})
        if record.exc_info and record.exc_info[1] is not None:
            line |= described(record.exc_info[1])
        return json.dumps(line)


def described(error: BaseException) -> dict[str, Any]:
    """Type and place of an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:]]}


def note(event: str, details: dict[str, Any], level: int = logging.INFO) -> None:
    journal.log(level, event, extra={"details": details})


def to_stderr() -> None:
    """Called by the command: shows the log, and warnings of the server."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("ppface.serve", logging.INFO), ("uvicorn.error", logging.WARNING), ("asyncio", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it logs each damaged form
