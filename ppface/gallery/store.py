"""Store: the people of a gallery and their images, in its file and in memory."""

import contextlib
import getpass
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, Literal, TypeVar

import numpy as np

from ppface.core.errors import DataError
from ppface.gallery import vectors
from ppface.gallery.calibration import Calibration
from ppface.gallery.database import Database
from ppface.gallery.identity import ModelIdentity, checked_name, unit
from ppface.gallery.keys import VARIABLE, AesGcm, Plain, Sealer, read_key

UID_BYTES = 16
S = TypeVar("S", bound="Store")


class Store:
    """People and the unit vectors of their images. One process writes at a time, others may read; changes of others are seen at once.

    Args:
        path: the file, see `create`.
        key: 32 bytes; None: from the environment variable PPFACE_GALLERY_KEY, where the gallery is encrypted.
        model: that will embed; None: not compared.

    Raises:
        DataError: not a gallery, of a newer version, the wrong key or another model; nothing is changed then.
    """

    def __init__(self, path: str | os.PathLike, key: bytes | None = None, model: ModelIdentity | None = None):
        self.database = Database(path)
        try:
            self._open(key)
            self.database.finish_purge()
            if model is not None:
                self.check_model(model)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls: type[S],
        path: str | os.PathLike,
        model: ModelIdentity,
        key: bytes | None = None,
        encrypted: bool = True,
        dtype: Literal["float32", "float16"] = "float32",
        keep_crops: bool = False,
    ) -> S:
        """A new gallery.

        Args:
            path: must not exist.
            model: that embeds for it.
            key: 32 bytes; None: from the environment variable PPFACE_GALLERY_KEY.
            encrypted: False stores names, embeddings and crops readable for everybody who can read the file.
            dtype: of the stored embeddings; float16 halves file and memory.
            keep_crops: store the aligned faces too, so that another model can embed them.

        Raises:
            DataError: the file exists, or no key was given.
        """
        key = key if key is not None or not encrypted else read_key()
        if encrypted and key is None:
            raise DataError(f"{path}: expected a key: write one with `gallery new-key FILE`, or set {VARIABLE}")
        if not encrypted and key is not None:
            raise DataError(f"{path}: received a key for a gallery without encryption")
        if dtype not in ("float32", "float16"):
            raise DataError(f"{path}: expected dtype float32 or float16, received {dtype!r}")
        uid = secrets.token_bytes(UID_BYTES)
        sealer: Sealer = AesGcm(key, uid) if key is not None else Plain()
        description = {"model": asdict(model), "dtype": dtype, "keep_crops": keep_crops, "calibration": None}
        database = Database(path, create=True)
        try:
            with database.transaction():
                rows = {"gallery": uid, "encrypted": b"1" if encrypted else b"0"}
                rows["description"] = sealer.seal(json.dumps(description).encode(), uid + b"description")
                for name, value in rows.items():
                    database.write("INSERT INTO about VALUES (?, ?)", name, value)
        except BaseException:
            database.delete()
            raise
        database.close()
        return cls(path, key)

    def _open(self, key: bytes | None) -> None:
        about: dict[str, bytes] = dict(self.database.rows("SELECT key, value FROM about"))
        if "description" not in about or len(about.get("gallery", b"")) != UID_BYTES:
            raise DataError(f"{self.database.path}: a gallery that was not completely created: delete it and create it again")
        self.uid, self.encrypted = about["gallery"], about.get("encrypted") != b"0"
        if self.encrypted:
            key = key if key is not None else read_key()
            if key is None:
                raise DataError(f"{self.database.path}: encrypted; expected its key: --key FILE or {VARIABLE}")
        elif key is not None:
            raise DataError(f"{self.database.path}: expected an encrypted gallery, as a key was given; this one is not: was it replaced?")
        self.sealer: Sealer = AesGcm(key, self.uid) if key is not None else Plain()
        self._read_description(about["description"])
        self._vectors = vectors.Vectors(self.model.size, self.dtype)
        self._people: dict[int, tuple[bytes, str]] = {}
        self._seen: tuple[int, int, int] | None = None  # data_version, removals, last image
        self._changed = True

    def _read_description(self, stored: bytes) -> None:
        try:
            found = json.loads(self.sealer.open(stored, self.uid + b"description"))
            self.model = ModelIdentity(**found["model"])
            self.dtype, self.keep_crops = found["dtype"], found["keep_crops"]
            self.calibration = Calibration(**found["calibration"]) if found["calibration"] else None
        except (ValueError, KeyError, TypeError):
            reason = "wrong key" if self.encrypted else "damaged"
            raise DataError(f"{self.database.path}: {reason}; nothing was changed") from None

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.database.close()

    def check_model(self, model: ModelIdentity) -> None:
        """Raises DataError if embeddings of the model cannot be compared with the stored ones."""
        if difference := self.model.differences(model):
            how = f"gallery embed {self.database.path} --model MODEL --out NEW" if self.keep_crops else "gallery add NEW"
            why = "embeds its stored faces again" if self.keep_crops else "enrols the pictures again; this one keeps no faces"
            raise DataError(f"{self.database.path}: expected its model: {difference}; `{how}` {why}")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction; refused if another process changed the key, as rows under the old one would make the gallery unreadable."""
        with self.database.transaction():
            self._read_description(self.database.rows("SELECT value FROM about WHERE key = 'description'")[0][0])
            yield

    def place(self, kind: str, *uids: bytes) -> bytes:
        """Where a row belongs: authenticated with it."""
        return b"/".join([self.uid, kind.encode(), *uids])

    def unsealed(self, stored: bytes, kind: str, *uids: bytes) -> bytes:
        try:
            return self.sealer.open(stored, self.place(kind, *uids))
        except (ValueError, TypeError):
            raise DataError(
                f"{self.database.path}: a {kind} was changed, moved from elsewhere, or sealed with another key; use an export or copy"
            ) from None

    def add(
        self,
        name: str,
        embeddings: np.ndarray,
        crops: Sequence[np.ndarray] | None = None,
        sources: Sequence[str] | None = None,
        qualities: Sequence[float | None] | None = None,
    ) -> list[str]:
        """Enrols images of one person, all or none of them; returns their ids.

        Args:
            name: of a known or a new person.
            embeddings: (D,) or (N, D), of any length.
            crops: aligned faces, (H, W, 3) uint8 RGB; only for a gallery with `keep_crops`.
            sources: where each is from, such as a file's name.
            qualities: of each; higher is better.
        """
        name, rows = checked_name(name), unit(embeddings, self.model.size)
        if (crops is not None) != self.keep_crops or any(len(x) != len(rows) for x in (crops, sources, qualities) if x is not None):
            raise DataError(f"{name!r}: expected {'one crop' if self.keep_crops else 'no crops'} and as much of all else as embeddings")
        encoded = [encode(crop) for crop in crops] if crops is not None else None
        uids = [secrets.token_bytes(UID_BYTES) for _ in rows]
        with self.writing():
            person, owner = self.enter_person(name)
            for i, row in enumerate(rows):
                about = {"source": sources[i] if sources else None, "quality": qualities[i] if qualities else None, "added": now()}
                content = row.astype(self.dtype).tobytes()
                self.enter_image(person, owner, uids[i], content, json.dumps(about).encode(), encoded[i] if encoded else None)
            self.audit("add", owner, images=len(rows))
        self._changed = True
        return [uid.hex() for uid in uids]

    def enter_person(self, name: str, uid: bytes | None = None) -> tuple[int, bytes]:
        """(number, id) of the person with this name, who is made if unknown. Within a transaction."""
        if known := self.person(name):
            return known
        uid = uid or secrets.token_bytes(UID_BYTES)
        sealed = self.sealer.seal(json.dumps({"name": name, "added": now()}).encode(), self.place("person", uid))
        lookup = self.sealer.blind(name.encode())
        return self.database.write("INSERT INTO people (uid, lookup, name) VALUES (?, ?, ?)", uid, lookup, sealed), uid

    def enter_image(self, person: int, owner: bytes, uid: bytes, vector: bytes, about: bytes, crop: bytes | None) -> None:
        """Stores one image's contents. Within a transaction."""
        sealed = [self.sealer.seal(text, self.place(kind, owner, uid)) for kind, text in (("vector", vector), ("image", about))]
        number = self.database.write("INSERT INTO images (uid, person, vector, about) VALUES (?, ?, ?, ?)", uid, person, *sealed)
        if crop is not None:
            self.database.write("INSERT INTO crops VALUES (?, ?)", number, self.sealer.seal(crop, self.place("crop", owner, uid)))

    def person(self, name: str) -> tuple[int, bytes] | None:
        """(number, id) of a person, None if there is none."""
        found = self.database.rows("SELECT seq, uid FROM people WHERE lookup = ?", self.sealer.blind(checked_name(name).encode()))
        return found[0] if found else None

    def known(self, name: str) -> tuple[int, bytes]:
        if found := self.person(name):
            return found
        raise DataError(f"{self.database.path}: there is no person {name!r}")

    def audit(self, what: str, owner: bytes | None = None, **details: Any) -> int:
        """Notes who did what to whom when; people by their random ids, without names, embeddings or pictures. Within a transaction."""
        uid = secrets.token_bytes(UID_BYTES)
        entry = {"time": now(), "what": what, "person": owner.hex() if owner else None, "by": user(), **details}
        sealed = self.sealer.seal(json.dumps(entry).encode(), self.place("audit", uid))
        return self.database.write("INSERT INTO audit (uid, entry) VALUES (?, ?)", uid, sealed)

    def refresh(self) -> None:
        """Brings what is in memory up to date with the file. Within a snapshot."""
        version = self.database.rows("PRAGMA data_version")[0][0]
        if self._seen and version == self._seen[0] and not self._changed:
            return
        self._read_description(self.database.rows("SELECT value FROM about WHERE key = 'description'")[0][0])
        removals = self.database.rows("SELECT max(seq) FROM removed")[0][0] or 0
        if self._seen and removals != self._seen[1]:
            self._vectors.keep(np.array([seq for (seq,) in self.database.rows("SELECT seq FROM images")], np.int64))
            self._people = {}
        for seq, uid, sealed in self.database.rows("SELECT seq, uid, name FROM people WHERE seq > ?", max(self._people, default=0)):
            self._people[seq] = uid, json.loads(self.unsealed(sealed, "person", uid))["name"]
        last = self._seen[2] if self._seen else 0
        found = self.database.rows("SELECT seq, person, uid, vector FROM images WHERE seq > ? ORDER BY seq", last)
        rows = [self.unsealed(sealed, "vector", self._people[person][0], uid) for _, person, uid, sealed in found]
        self._vectors.extend(rows, [person for _, person, _, _ in found], [seq for seq, _, _, _ in found])
        self._seen, self._changed = (version, removals, found[-1][0] if found else last), False

    def write_description(self) -> None:
        """Stores model, dtype, choice of crops and calibration. Within a transaction."""
        calibration = asdict(self.calibration) if self.calibration else None
        about = {"model": asdict(self.model), "dtype": self.dtype, "keep_crops": self.keep_crops, "calibration": calibration}
        sealed = self.sealer.seal(json.dumps(about).encode(), self.uid + b"description")
        self.database.write("UPDATE about SET value = ? WHERE key = 'description'", sealed)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def encode(crop: np.ndarray) -> bytes:
    """PNG of (H, W, 3) uint8 RGB: the same pixels come back."""
    import cv2

    if not isinstance(crop, np.ndarray) or crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3:
        raise DataError("expected crops (H, W, 3) uint8 RGB")
    return cv2.imencode(".png", np.ascontiguousarray(crop[..., ::-1]))[1].tobytes()
