"""Published weights by name: `zoo:NAME`, an entry in configs/zoo that says where they are, under which licence, and for which config.

A file is downloaded once, compared with its SHA-256, kept in PPFACE_HOME, and only read, never executed.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from ppface.core.errors import WeightsError
from ppface.core.files import shipped
from ppface.core.files.atomic_write import replace_text
from ppface.core.files.download import DownloadError, download
from ppface.core.files.home_folder import HOME, ppface_home
from ppface.core.registry import nearest
from ppface.core.run import folder_lock
from ppface.core.run.log import log

PREFIX = "zoo:"
CHUNK = 1 << 20  # bytes hashed at a time
LOCK_TIMEOUT_S = 3600.0  # for another process that downloads the same file


@dataclass(frozen=True)
class Entry:
    """One published weight file.

    Attributes:
        name: behind `zoo:`.
        title: what it is.
        page: where the project documents it.
        address: of the file; None: the project shares it on a page on which only a person can download it.
        file: its name.
        sha256: of its content; None: not known, the digest of the first download is kept and required from then on.
        size: in bytes, if known.
        licence: of the weights, in words.
        commercial: whether the licence allows commercial use.
        config: of its model: `_BASE_`, the name of a shipped config, and what differs from it.
        names: the file of names that translates it; None: it has ppface's.
        order: of the channels that the network expects; pixels enter ppface as RGB.
        expected: figures with their protocol and who measured them.
    """

    name: str
    title: str
    page: str
    address: str | None
    file: str
    sha256: str | None
    size: int | None
    licence: str
    commercial: bool
    config: dict[str, Any]
    names: str | None
    order: str
    expected: list[str]

    @property
    def path(self) -> Path:
        """Where the file is kept, also if it is put there by hand."""
        return ppface_home() / "zoo" / self.name / self.file

    @property
    def accepted(self) -> Path:
        """The mark that the user has accepted the licence."""
        return self.path.with_name("licence_accepted")

    def config_text(self) -> str:
        """The config of its model, with these weights."""
        return yaml.safe_dump(self.config | {"weights": f"{PREFIX}{self.name}", "weight_names": self.names}, sort_keys=False)


def entries() -> list[str]:
    """The names of all entries."""
    return sorted(file.stem for file in (shipped.folder("configs") / "zoo").glob("*.yaml"))


def find(source: str | os.PathLike) -> Entry | None:
    """The entry of `zoo:NAME`; None for any other path.

    Raises:
        WeightsError: no entry has this name.
    """
    if not os.fspath(source).startswith(PREFIX):
        return None
    name = os.fspath(source).removeprefix(PREFIX)
    if name not in entries():
        meant = nearest(name, entries())
        raise WeightsError(
            f"{source}: there is no such entry. " + (f"Did you mean '{PREFIX}{meant}'?" if meant else "See ppface zoo list.")
        )
    text = (shipped.folder("configs") / "zoo" / f"{name}.yaml").read_text(encoding="utf-8")
    return Entry(name, **{field.name: value for field in fields(Entry)[1:] for value in [yaml.safe_load(text)[field.name]]})


def names_of(weights: str | os.PathLike) -> str | None:
    """The file of names that weights of the zoo need; None for other weights."""
    entry = find(weights)
    return entry.names if entry else None


def get(entry: Entry, accept: bool = False) -> Path:
    """The weight file of an entry, downloaded if it is not there, and compared with its digest.

    Args:
        entry: of `find`.
        accept: the user accepts the licence.

    Raises:
        WeightsError: it cannot be downloaded or stored, its licence is not accepted, or its content is another.
    """
    try:
        with _locked(entry):
            new = not entry.path.is_file()
            if new:
                _allow(entry, accept)
                download(str(entry.address), entry.path, entry.size, entry.sha256 is not None or _pin(entry).is_file())
            _check(entry, new)
    except DownloadError as error:
        advice = f"try again, or put the file at {entry.path}"
        raise WeightsError(f"{PREFIX}{entry.name}: cannot download {entry.address}: {error}; {advice}") from None
    except OSError as error:
        advice = f"set {HOME} to a folder that you can read and write"
        raise WeightsError(f"{PREFIX}{entry.name}: cannot use {error.filename or entry.path}: {error.strerror}: {advice}") from None
    return entry.path


@contextlib.contextmanager
def _locked(entry: Entry) -> Iterator[None]:
    """Holds the folder of the file, if it is still to be downloaded: other processes wait, and then find it."""
    if entry.path.is_file():
        yield
        return
    try:
        entry.path.parent.mkdir(parents=True, exist_ok=True)
        handle = folder_lock.take(entry.path.parent, LOCK_TIMEOUT_S)
    except OSError as error:
        advice = f"set {HOME} to a folder that you can write to"
        raise WeightsError(f"{PREFIX}{entry.name}: cannot write to {entry.path.parent}: {error.strerror}: {advice}") from None
    if handle is None:
        raise WeightsError(f"{PREFIX}{entry.name}: another process has been downloading it for {LOCK_TIMEOUT_S:.0f} s: {entry.path.parent}")
    try:
        yield
    finally:
        os.close(handle)


def _allow(entry: Entry, accept: bool) -> None:
    """Shows the licence; raises WeightsError where it has to be accepted, or where there is nothing to download."""
    if entry.address is None:
        advice = f"download {entry.file} there by hand and put it at {entry.path}"
        raise WeightsError(f"{PREFIX}{entry.name}: the project shares it only on {entry.page}: {advice}")
    log.info("%s%s: licence: %s (%s)", PREFIX, entry.name, entry.licence, entry.page)
    if accept:
        entry.accepted.touch()
    if not entry.commercial and not entry.accepted.exists():
        advice = f"to accept this and download it: ppface zoo get {entry.name} --accept-licence"
        raise WeightsError(f"{PREFIX}{entry.name}: {entry.licence}: {advice}")


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _pin(entry: Entry) -> Path:
    return entry.path.with_name(f"{entry.file}.sha256")


def _check(entry: Entry, new: bool) -> None:
    """Compares the file with its digest, or keeps the digest of the first one if none is known.

    Args:
        entry: its file exists.
        new: whether ppface has just downloaded it, so that a wrong one is moved aside.

    Raises:
        WeightsError: another content.
    """
    digest = _digest(entry.path)
    known = entry.sha256 or (_pin(entry).read_text(encoding="utf-8").strip() if _pin(entry).is_file() else None)
    if known is None:
        if not new:  # put there by hand
            log.info("%s%s: licence: %s (%s)", PREFIX, entry.name, entry.licence, entry.page)
        log.info("%s%s: no digest of it is known: from now on its SHA-256 must be %s", PREFIX, entry.name, digest)
        try:
            replace_text(_pin(entry), digest)
        except OSError as error:
            log.warning("%s: cannot keep the digest: %s", _pin(entry), error.strerror)
    elif digest != known:
        aside = entry.path.with_name(f"{entry.file}.refused") if new else entry.path
        entry.path.replace(aside)
        received = f"expected content with the SHA-256 {known}, received {digest}"
        raise WeightsError(f"{PREFIX}{entry.name}: {aside}: {received}: it is not used")
