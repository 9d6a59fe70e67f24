"""What a person may be called, in galleries and folders of people."""

import unicodedata

from ppface.core.errors import DataError

UNKNOWN = "Unknown"  # the answer below the threshold
LONGEST_NAME = 200
FILLERS = "\u115f\u1160"  # letters of Hangul that are shown as nothing, in Unicode's form KC


def checked_name(name: str) -> str:
    """`kept_name` of somebody new.

    Raises:
        DataError: as there, or a name that is reserved.
    """
    if isinstance(name, str) and _seen(name) == _seen(UNKNOWN):
        raise DataError(f"{name.strip()!r}: expected another name: searches answer {UNKNOWN} below the threshold")
    return kept_name(name)


def kept_name(name: str) -> str:
    """The name in Unicode's form C: macOS decomposes the letters of file names. Whoever has it can be found by it: galleries of earlier
    versions may hold spellings of "Unknown".

    Raises:
        DataError: a name that is empty, too long, or holds characters that terminals act on.
    """
    if not isinstance(name, str):
        raise DataError(f"expected a person's name, a text, received {type(name).__name__}")
    name = unicodedata.normalize("NFC", name).strip()
    if not name or len(name) > LONGEST_NAME:
        raise DataError(f"expected a person's name of 1 to {LONGEST_NAME} characters, received {len(name)}")
    if not name.isprintable():
        raise DataError(f"{name!r}: expected a person's name in UTF-8 without line breaks and other control characters")
    return name


def _seen(name: str) -> str:
    """The same text for names that look the same but for case: full-width letters are plain, marks and signs without width are left out."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in plain if unicodedata.category(sign) not in ("Mn", "Cf") and sign not in FILLERS).strip()
