"""File names that are not UTF-8, or that the locale cannot encode: how they are read from text, opened, and shown."""

import contextlib
import os

from ppface.core.errors import DataError


def from_text(data: bytes, source: str, expected: str) -> str:
    """The text of a file that lists file names: UTF-8, in which names in another encoding keep their bytes (PEP 383).

    Args:
        data: the file's content.
        source: the file, for messages.
        expected: what it should be, for messages.

    Raises:
        DataError: the file is no text.
    """
    if b"\0" in data:
        raise DataError(
            f"{source}: expected {expected} in UTF-8 text: it contains zero bytes, as UTF-16 and binary files do: save it as UTF-8"
        )
    return on_disk(data.decode("utf-8-sig", "surrogateescape"))


def on_disk(path: str | os.PathLike) -> str:
    """The path as functions that open files need it: a locale that cannot encode it, such as POSIX, must not change its UTF-8 bytes."""
    name = os.fspath(path)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        with contextlib.suppress(UnicodeEncodeError):  # characters that no file name has
            return os.fsdecode(to_bytes(name))
    return name


def to_unicode(argument: str) -> str:
    """A command line's argument as UTF-8, whatever the locale; unchanged if it is not UTF-8."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def to_bytes(text: str) -> bytes:
    """A text with file names as UTF-8; names in another encoding keep their bytes, and `from_text` reads them back."""
    return text.encode("utf-8", "surrogateescape")


def is_utf8(name: str) -> bool:
    """Whether the bytes of a file's name are UTF-8."""
    try:
        os.fsencode(on_disk(name)).decode("utf-8")
    except UnicodeError:
        return False
    return True


def in_any_locale(text: str) -> str:
    """A text with file names as a UTF-8 locale has it, for what is compared and kept."""
    with contextlib.suppress(UnicodeEncodeError):  # characters that no file name has
        return to_bytes(text).decode("utf-8", "surrogateescape")
    return text


def for_library(path: str | os.PathLike) -> str:
    """The path as Paddle, ONNX Runtime and OpenVINO take it: they encode texts in UTF-8 whatever the locale.

    Raises:
        DataError: a path that is not UTF-8.
    """
    name = in_any_locale(os.fspath(path))
    if not is_utf8(name):
        expected = "expected a path in UTF-8, which Paddle, ONNX Runtime and OpenVINO need"
        raise DataError(f"{printable(name)}: {expected}: rename the folder, or choose another one")
    return name


def printable(text: str) -> str:
    """A text with file names for reports: bytes that are not UTF-8 are shown as \\udc80 to \\udcff."""
    text = in_any_locale(text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
