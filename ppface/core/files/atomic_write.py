"""Writes small files whole or not at all: a kill or a full disk leaves what was there before."""

import os
from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Puts a text in the place of a file's content, or raises OSError and leaves the file as it was."""
    aside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with aside.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
