"""Store: opens and creates a gallery, and enters people and images."""

import contextlib
import getpass
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any, Literal, TypeVar

import numpy as np

from ppface.core.errors import DataError
from ppface.gallery.backend import Address, StoredImage, open_backend
from ppface.gallery.calibration import Calibration
from ppface.gallery.identity import ChangedError, ModelIdentity, checked_name, kept_name, unit
from ppface.gallery.keys import VARIABLE, AesGcm, Plain, Sealer, read_key
from ppface.gallery.vault import Vault

UID_BYTES = 16
S = TypeVar("S", bound="Store")


class Store:
    """People and the unit vectors of their images. One process writes at a time, others may read; changes of others are seen at once.

    Args:
        path: the file; or the address of a gallery in Milvus: milvus:FILE.db, or http://HOST:19530/NAME.
        key: 32 bytes; None: from the environment variable PPFACE_GALLERY_KEY, where the gallery is encrypted.
        model: that will embed; None: not compared.

    Raises:
        DataError: not a gallery, of a newer version, the wrong key or another model; nothing is changed then.
    """

    def __init__(self, path: Address, key: bytes | None = None, model: ModelIdentity | None = None):
        self.database = open_backend(path)
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
        path: Address,
        model: ModelIdentity,
        key: bytes | None = None,
        encrypted: bool = True,
        dtype: Literal["float32", "float16"] = "float32",
        keep_crops: bool = False,
    ) -> S:
        """A new gallery.

        Args:
            path: as above; must not exist.
            model: that embeds for it.
            key: 32 bytes; None: from the environment variable PPFACE_GALLERY_KEY.
            encrypted: False stores names, embeddings and crops readable for everybody who can read the file. Milvus has readable
                embeddings either way.
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
        database = open_backend(path, model.size)
        try:
            with database.transaction():
                rows = {"gallery": uid, "encrypted": b"1" if encrypted else b"0"}
                rows["description"] = sealer.seal(json.dumps(description).encode(), uid + b"description")
                for name, value in rows.items():
                    database.put_about(name, value)
        except BaseException:
            database.delete()
            raise
        database.close()
        return cls(path, key)

    def _open(self, key: bytes | None) -> None:
        about = self.database.about()
        if "description" not in about or len(about.get("gallery", b"")) != UID_BYTES:
            raise DataError(f"{self.database.path}: a gallery that was not completely created: delete it and create it again")
        self.uid, self.encrypted = about["gallery"], about.get("encrypted") != b"0"
        if self.encrypted:
            key = key if key is not None else read_key()
            if key is None:
                raise DataError(f"{self.database.path}: encrypted; expected its key: --key FILE or {VARIABLE}")
        elif key is not None:
            raise DataError(f"{self.database.path}: expected an encrypted gallery, as a key was given; this one is not: was it replaced?")
        sealer: Sealer = AesGcm(key, self.uid) if key is not None else Plain()
        self._read_description(about["description"], sealer)
        self.database.bind(Vault(self.database.path, self.uid, sealer), self.model.size, self.dtype)

    def _read_description(self, stored: bytes, sealer: Sealer) -> None:
        try:
            found = json.loads(sealer.open(stored, self.uid + b"description"))
            self.model = ModelIdentity(**found["model"])
            self.dtype, self.keep_crops = found["dtype"], found["keep_crops"]
            self.calibration = Calibration(**found["calibration"]) if found["calibration"] else None
        except (ValueError, KeyError, TypeError):
            reason = "wrong key" if self.encrypted else "damaged"
            raise ChangedError(f"{self.database.path}: {reason}; nothing was changed") from None

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.database.close()

    def check_model(self, model: ModelIdentity) -> None:
        """Raises DataError if embeddings of the model cannot be compared with the stored ones."""
        if difference := self.model.differences(model):
            right = replace(model, alignment=self.model.alignment, flip=self.model.flip) == self.model
            options = "the model is right, give --detector, --align and --flip as for its people; or " if right else ""
            how = f"gallery embed {self.database.path} --model MODEL --out NEW" if self.keep_crops else "gallery add NEW"
            why = "embeds its stored faces again" if self.keep_crops else "enrols the pictures again; this one keeps no faces"
            raise DataError(f"{self.database.path}: expected its model: {difference}; {options}`{how}` {why}")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction; refused if another process changed the key, as rows under the old one would make the gallery unreadable."""
        with self.database.transaction():
            self._read_description(self.database.about()["description"], self.database.vault.sealer)
            yield

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
            owner = self.enter_person(name)
            for i, row in enumerate(rows):
                about = {"source": _given(sources, i, str), "quality": _given(qualities, i, float), "added": now()}
                content = row.astype(self.dtype).tobytes()
                self.database.enter_image(StoredImage(owner, uids[i], content, json.dumps(about).encode(), encoded[i] if encoded else None))
            self.audit("add", owner, images=len(rows))
        return [uid.hex() for uid in uids]

    def enter_person(self, name: str, uid: bytes | None = None) -> bytes:
        """The id of the person with this name, who is made if unknown. Within a transaction."""
        if known := self.person(name):
            return known
        uid = uid or secrets.token_bytes(UID_BYTES)
        content = json.dumps({"name": name, "added": now()}).encode()
        self.database.enter_person(uid, self.database.vault.lookup(name), content)
        return uid

    def person(self, name: str) -> bytes | None:
        """The id of a person, None if there is none."""
        return self.database.person(self.database.vault.lookup(kept_name(name)))

    def known(self, name: str) -> bytes:
        if found := self.person(name):
            return found
        raise DataError(f"{self.database.path}: there is no person {name!r}")

    def audit(self, what: str, owner: bytes | None = None, **details: Any) -> None:
        """Notes who did what to whom when; people by their random ids, without names, embeddings or pictures. Within a transaction."""
        entry = {"time": now(), "what": what, "person": owner.hex() if owner else None, "by": user(), **details}
        self.database.enter_entry(secrets.token_bytes(UID_BYTES), json.dumps(entry).encode())

    def refresh(self) -> None:
        """Brings what is in memory up to date with what others stored."""
        with self.database.snapshot():
            if self.database.changed():
                self._read_description(self.database.about()["description"], self.database.vault.sealer)
                self.database.load()

    def write_description(self) -> None:
        """Stores model, dtype, choice of crops and calibration. Within a transaction."""
        calibration = asdict(self.calibration) if self.calibration else None
        about = {"model": asdict(self.model), "dtype": self.dtype, "keep_crops": self.keep_crops, "calibration": calibration}
        sealed = self.database.vault.sealer.seal(json.dumps(about).encode(), self.uid + b"description")
        self.database.put_about("description", sealed)


def _given(values: Sequence[Any] | None, i: int, kind: Callable[[Any], Any]) -> Any:
    """A value as JSON has it, such as a path or a number of NumPy."""
    return None if values is None or values[i] is None else kind(values[i])


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
