"""Writes small files atomically: a kill or a full disk leaves the previous content."""

import os
from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Replaces the content of a file by a text, or raises OSError and leaves the file unchanged."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
