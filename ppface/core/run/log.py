"""The logger of the whole package: plain lines on standard error."""

import logging
import sys

log = logging.getLogger("ppface")


def show_log(level: int = logging.INFO) -> None:
    """Called by tools: shows the package's messages. Programs that import ppface configure logging themselves."""
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(level)
