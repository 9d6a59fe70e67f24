"""Keys of the service's clients: a YAML file with their digests, scopes and rates."""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ppface.core.errors import DataError
from ppface.core.files import permissions

SCOPES = ("read", "search", "enrol", "delete")
FIELDS = {"name", "sha256", "scopes", "rate"}


@dataclass(frozen=True)
class Key:
    """A client's key, known by its digest alone.

    Attributes:
        name: for the person who keeps the file; it is in no answer and no log.
        digest: SHA-256 of the key, 32 bytes. Keys are 256 random bits, so that no slow digest is needed.
        scopes: what it may do.
        rate: requests a minute; None: any number.
    """

    name: str
    digest: bytes
    scopes: tuple[str, ...]
    rate: float | None = None

    @property
    def id(self) -> str:
        """What logs show: the beginning of the digest."""
        return self.digest.hex()[:8]


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def find(keys: Sequence[Key], given: str) -> Key | None:
    """The key that a client gave; the time it takes shows neither whether nor where one is alike."""
    wanted, found = digest(given), None
    for key in keys:
        if hmac.compare_digest(key.digest, wanted):
            found = key
    return found


def new_key(name: str, scopes: Sequence[str], rate: float | None) -> tuple[str, str]:
    """(a new random key, its entry for the file of keys)."""
    key = f"ppface_{secrets.token_urlsafe(32)}"
    entry: dict[str, Any] = {"name": name, "sha256": digest(key).hex(), "scopes": list(scopes)} | (
        {"rate": rate} if rate is not None else {}
    )
    _checked(entry, f"key {name!r}")
    return key, yaml.safe_dump([entry], sort_keys=False, default_flow_style=None, width=1000, allow_unicode=True)


def read_keys(file: str | os.PathLike) -> tuple[Key, ...]:
    """The keys of a file, a list of `{name, sha256, scopes, rate}`.

    Raises:
        DataError: a file that cannot be read, no keys, or an entry that is none; the message shows no digest.
    """
    path = os.fspath(file)
    try:
        found = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        permissions.warn(file, permissions.WRITE, "can add keys to it")
    except OSError as error:
        raise DataError(f"{path}: cannot read these keys: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DataError(f"{path}: expected YAML, a list of keys as `ppface serve new-key NAME` prints them") from None
    if not isinstance(found, list) or not found:
        raise DataError(f"{path}: expected a list of keys as `ppface serve new-key NAME` prints them, received {type(found).__name__}")
    keys = tuple(_checked(entry, f"{path}: key {number}") for number, entry in enumerate(found, 1))
    for what, values in (("name", [key.name for key in keys]), ("sha256", [key.digest for key in keys])):
        if len(set(values)) < len(values):
            raise DataError(f"{path}: two keys have the same {what}")
    return keys


def _checked(entry: Any, where: str) -> Key:
    if not isinstance(entry, dict) or not {"name", "sha256", "scopes"} <= entry.keys() <= FIELDS:
        raise DataError(f"{where}: expected name, sha256, scopes and, for a limit, rate; nothing else")
    name, scopes, rate = entry["name"], entry["scopes"], entry.get("rate")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise DataError(f"{where}: name: expected a text")
    where = f"{where} ({name})"
    if not re.fullmatch(r"[0-9a-fA-F]{64}", str(entry["sha256"])):
        raise DataError(f"{where}: sha256: expected 64 hexadecimal digits, the digest of the key, never the key itself")
    if not isinstance(scopes, list) or not scopes or not set(map(str, scopes)) <= set(SCOPES):
        raise DataError(f"{where}: scopes: expected some of {', '.join(SCOPES)}, received {scopes}")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf")):
        raise DataError(f"{where}: rate: expected a number of requests a minute above 0, received {rate!r}")
    return Key(name, bytes.fromhex(entry["sha256"]), tuple(scope for scope in SCOPES if scope in scopes), rate)
