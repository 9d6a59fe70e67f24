"""Keys of galleries, and the encryption of their rows.

AES-256-GCM, NIST SP 800-38D, https://doi.org/10.6028/NIST.SP.800-38D, by the package `cryptography`, with a random nonce of 96 bits a
row. Section 8.3 allows 2^32 of them for a key. The keys of rows and of names are derived from the user's key by HKDF-SHA256, RFC 5869,
https://www.rfc-editor.org/rfc/rfc5869, with the gallery's random id as salt.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any, Protocol

from ppface.core.errors import DataError, UserError
from ppface.core.files import permissions

VARIABLE = "PPFACE_GALLERY_KEY"
KEY_BYTES, NONCE_BYTES = 32, 12


class Sealer(Protocol):
    """Turns content to what is stored, and back."""

    def seal(self, content: bytes, place: bytes) -> bytes:
        """What is stored of the content of one place."""
        ...

    def open(self, stored: bytes, place: bytes) -> bytes:
        """The content; raises ValueError if it was sealed with another key, for another place, or changed."""
        ...

    def blind(self, name: bytes) -> bytes:
        """A value by which a name is found; with a key it does not reveal the name."""
        ...


class Plain:
    """No encryption: content is stored as it is."""

    def seal(self, content: bytes, place: bytes) -> bytes:
        return content

    def open(self, stored: bytes, place: bytes) -> bytes:
        return stored

    def blind(self, name: bytes) -> bytes:
        return name


class AesGcm:
    """Encryption of each row; the place of a row is authenticated with it, so that rows cannot be exchanged.

    Args:
        key: of the user, 32 bytes.
        gallery: its random id.
    """

    def __init__(self, key: bytes, gallery: bytes):
        ciphers, kdf, hashes = _cryptography()
        if len(key) != KEY_BYTES:
            raise DataError(f"expected a key of {KEY_BYTES} bytes, received {len(key)}")
        derived = kdf.HKDF(hashes.SHA256(), 2 * KEY_BYTES, salt=gallery, info=b"ppface gallery 1").derive(key)
        self._cipher, self._names = ciphers.AESGCM(derived[:KEY_BYTES]), derived[KEY_BYTES:]
        self._invalid: Any = _invalid_tag()

    def seal(self, content: bytes, place: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, place)

    def open(self, stored: bytes, place: bytes) -> bytes:
        try:
            return self._cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], place)
        except (self._invalid, ValueError, TypeError):
            raise ValueError("authentication failed") from None

    def blind(self, name: bytes) -> bytes:
        return hmac.new(self._names, name, hashlib.sha256).digest()


def new_key(file: str | os.PathLike) -> None:
    """Writes a new random key, 64 hexadecimal digits, to a new file that only its owner can read.

    Raises:
        DataError: the file exists already, or cannot be written.
    """
    if not os.fspath(file):
        raise DataError("expected the name of a new file for the key, received an empty text")
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise DataError(f"{os.fspath(file)}: already exists; a key that is overwritten makes its galleries unreadable") from None
    except OSError as error:
        raise DataError(f"{os.fspath(file)}: cannot write this key: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w") as opened:
            opened.write(secrets.token_hex(KEY_BYTES) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:  # a full disk
        Path(file).unlink()
        raise DataError(f"{os.fspath(file)}: cannot write this key: {error.strerror}") from None


def read_key(file: str | os.PathLike | None = None) -> bytes | None:
    """The key in a file, else in the environment variable PPFACE_GALLERY_KEY; None if neither is given.

    Raises:
        DataError: anything but 64 hexadecimal digits; the message never shows them.
    """
    if file is not None:
        try:
            text, where = Path(file).read_text(encoding="ascii"), os.fspath(file)
            permissions.warn(file, permissions.READ, "can read this key")
        except OSError as error:
            raise DataError(f"{os.fspath(file)}: cannot read this key: {error.strerror}") from None
        except UnicodeDecodeError:
            text, where = "", os.fspath(file)
    elif VARIABLE in os.environ:
        text, where = os.environ[VARIABLE], VARIABLE
    else:
        return None
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise DataError(f"{where}: expected a key of {2 * KEY_BYTES} hexadecimal digits, as `gallery new-key FILE` writes")
    return key


def _cryptography() -> tuple[Any, Any, Any]:
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.ciphers import aead
        from cryptography.hazmat.primitives.kdf import hkdf
    except ImportError:
        raise UserError('encrypted galleries need the package cryptography: pip install "ppface[gallery]"') from None
    return aead, hkdf, hashes


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag
