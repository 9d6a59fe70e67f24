"""Writes small files atomically: a kill or a full disk leaves the previous content."""

import os
from pathlib import Path

from ppface.core.files.file_names import to_bytes


def replace_text(file: Path, text: str) -> None:
    """Replaces a file's content by a text in UTF-8, with the bytes of file names, or raises OSError and leaves it unchanged."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as handle:
            handle.write(to_bytes(text))
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
