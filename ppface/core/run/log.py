"""One logger for the whole package: plain lines for people, on standard error."""

import logging
import sys

log = logging.getLogger("ppface")


def show_log(level: int = logging.INFO) -> None:
    """Called by tools: makes the package's messages visible. Libraries that import ppface keep their own logging."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(level)
