"""Milvus: people and images in two collections of Milvus, which searches them; see MilvusCollections and MilvusJournal.

What it cannot promise that a file can: deploy/milvus/README.md.
"""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import chain, groupby
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.run.log import log
from ppface.gallery import vectors
from ppface.gallery.backend import StoredImage
from ppface.gallery.identity import Match
from ppface.gallery.milvus_collections import LITE, PAGE, MilvusCollections
from ppface.gallery.milvus_journal import MilvusJournal
from ppface.gallery.milvus_search import nearest
from ppface.gallery.vault import Vault

PART = 49_000  # bytes: base64 makes 65,336 of them, and a VARCHAR holds 65,535
IDS = 500  # in one filter
LOOKUPS = 8  # people by name in a transaction, before all names are read at once
RETRIES = 5


class Milvus:
    """The backend of a gallery in Milvus; its methods are those of `Backend`.

    Args:
        address: see MilvusCollections.
        size: of the embeddings of a new gallery; None: it must exist.
    """

    not_covered = (
        "bytes of the deleted rows in Milvus's segments, log and object storage, until it compacts them and collects its garbage; "
        "its backups; copies and exports made before"
    )

    def __init__(self, address: str, size: int | None = None):
        self.path = address
        self._at = MilvusCollections(address, size)
        self._journal = MilvusJournal(self._at, size is not None)
        self._rows, self._vectors = self._at.rows, self._at.vectors
        self._seen = -1
        self._names: dict[bytes, str] = {}
        self._begin()
        if size is not None:
            log.warning("%s: Milvus keeps the embeddings readable for everybody who can read it; a key encrypts all else", address)

    def _begin(self) -> None:
        self._sums: dict[bytes, tuple[np.ndarray, int]] = {}  # of the unit vectors of people whom a transaction changes
        self._entered: dict[bytes, bytes | None] = {}
        self._complete = False
        self._left: set[bytes] = set()  # people removed by a transaction
        self._new: set[bytes] = set()  # people entered by it
        self._about: dict[str, bytes] = {}

    def bind(self, vault: Vault, size: int, dtype: str) -> None:
        self.vault, self._size, self._dtype = vault, size, dtype

    def transaction(self) -> AbstractContextManager[None]:
        return self._journal.transaction(self._begin, self._store_means)

    def snapshot(self) -> AbstractContextManager[None]:
        return self._journal.snapshot()

    def changed(self) -> bool:
        return self._journal.state[0] != self._seen

    def load(self) -> None:
        self._seen = self._journal.state[0]
        self._names.clear()  # others may have removed people

    def _pages(self, collection: str, condition: str, *fields: str) -> Iterator[list[dict[str, Any]]]:
        return self._at.pages(collection, self._journal.where(collection, condition), *fields)

    def _contents(self, condition: str, few: bool = False) -> Iterator[tuple[str, bytes, bytes, bytes, bytes]]:
        """(kind, owner, id, lookup, content as stored) of rows; long contents are in several rows that follow each other."""
        fields = ("kind", "owner", "uid", "lookup", "content")
        pages = (
            [self._at.query(self._rows, self._journal.where(self._rows, condition), *fields)]
            if few
            else self._pages(self._rows, condition, *fields)
        )
        rows = chain.from_iterable(pages)
        for (kind, owner, uid, lookup), parts in groupby(rows, lambda row: (row["kind"], row["owner"], row["uid"], row["lookup"])):
            content = b"".join(base64.b64decode(part["content"]) for part in parts)
            yield kind, bytes.fromhex(owner), bytes.fromhex(uid), bytes.fromhex(lookup), content

    def _enter(self, kind: str, content: bytes, uid: bytes = b"", owner: bytes = b"", lookup: bytes = b"") -> None:
        ids = {"kind": kind, "uid": uid.hex(), "owner": owner.hex(), "lookup": lookup.hex(), "vector": [0.0, 0.0]}
        for start in range(0, len(content) or 1, PART):
            self._journal.add(self._rows, content=base64.b64encode(content[start : start + PART]).decode(), **ids)

    def about(self) -> dict[str, bytes]:
        if not self._about or not self._journal.writing:
            self._about = {lookup.decode(): content for *_, lookup, content in self._contents('kind == "about"', few=True)}
        return dict(self._about)

    def put_about(self, key: str, value: bytes) -> None:
        self._journal.drop(self._rows, f'kind == "about" and lookup == "{key.encode().hex()}"')
        self._enter("about", value, lookup=key.encode())
        self._about = self.about() | {key: value}

    def person(self, lookup: bytes) -> bytes | None:
        found = self._find(lookup)
        return None if found in self._left else found

    def _find(self, lookup: bytes) -> bytes | None:
        if lookup in self._entered or self._complete:
            return self._entered.get(lookup)
        if len(self._entered) >= LOOKUPS:
            pages = self._pages(self._rows, 'kind == "person"', "uid", "lookup")
            stored: dict[bytes, bytes | None] = {
                bytes.fromhex(row["lookup"]): bytes.fromhex(row["uid"]) for row in chain.from_iterable(pages)
            }
            self._entered, self._complete = stored | self._entered, True
            return self._entered.get(lookup)
        where = self._journal.where(self._rows, f'kind == "person" and lookup == "{lookup.hex()}"')
        found = self._at.query(self._rows, where, "uid")
        uid = bytes.fromhex(found[0]["uid"]) if found else None
        if self._journal.writing:
            self._entered[lookup] = uid
        return uid

    def people(self) -> dict[bytes, bytes]:
        return {uid: self.vault.open(stored, "person", uid) for _, _, uid, _, stored in self._contents('kind == "person"')}

    def enter_person(self, uid: bytes, lookup: bytes, content: bytes) -> None:
        self._enter("person", self.vault.seal(content, "person", uid), uid, uid, lookup)
        self._entered[lookup] = uid
        self._new.add(uid)
        self._sums[uid] = np.zeros(self._size), 0

    def counts(self) -> dict[bytes, int]:
        pages = self._pages(self._vectors, 'kind == "mean"', "owner", "count")
        return {bytes.fromhex(row["owner"]): row["count"] for row in chain.from_iterable(pages)}

    def image_ids(self, owner: bytes | None = None) -> list[bytes]:
        return [bytes.fromhex(row["uid"]) for row in chain.from_iterable(self._pages(self._vectors, _images_of(owner), "uid"))]

    def images(self, owner: bytes) -> list[tuple[bytes, bytes, bool]]:
        crops = chain.from_iterable(self._pages(self._rows, f'kind == "crop" and owner == "{owner.hex()}"', "uid"))
        with_crop = {bytes.fromhex(row["uid"]) for row in crops}
        found = self._contents(_images_of(owner))
        return [(uid, self.vault.open(stored, "image", owner, uid), uid in with_crop) for _, _, uid, _, stored in found]

    def all_images(self) -> Iterator[StoredImage]:
        pages = self._pages(self._vectors, _images_of(None), "owner", "uid", "vector")
        for page in (rows[start : start + PAGE] for rows in pages for start in range(0, len(rows), PAGE)):
            condition = f'kind in ["image", "crop"] and uid in {json.dumps([row["uid"] for row in page])}'
            stored = {(kind, uid): content for kind, _, uid, _, content in self._contents(condition, few=True)}
            for row in page:
                owner, uid = bytes.fromhex(row["owner"]), bytes.fromhex(row["uid"])
                if ("image", uid) not in stored:
                    raise DataError(f"{self.path}: image {uid.hex()} has no description: changed by something else; use an export or copy")
                about, crop = stored["image", uid], stored.get(("crop", uid))
                vector = np.asarray(row["vector"], np.float32).astype(self._dtype).tobytes()
                picture = self.vault.open(crop, "crop", owner, uid) if crop is not None else None
                yield StoredImage(owner, uid, vector, self.vault.open(about, "image", owner, uid), picture)

    def enter_image(self, image: StoredImage) -> None:
        owner, uid = image.owner, image.uid
        vector = np.frombuffer(image.vector, self._dtype).astype(np.float32)
        total, count = self._sum(owner)
        self._sums[owner] = total + vector, count + 1
        self._enter("image", self.vault.seal(image.about, "image", owner, uid), uid, owner)
        if image.crop is not None:
            self._enter("crop", self.vault.seal(image.crop, "crop", owner, uid), uid, owner)
        self._journal.add(self._vectors, kind="image", uid=uid.hex(), owner=owner.hex(), count=1, vector=vector.tolist())

    def _sum(self, owner: bytes) -> tuple[np.ndarray, int]:
        if owner not in self._sums:
            rows = self.vectors_of(owner)
            self._sums[owner] = rows.astype(np.float64).sum(axis=0), len(rows)
        return self._sums[owner]

    def _store_means(self) -> None:
        """At the end of a transaction: the means of the people whom it changed, with the numbers of their images."""
        changed = [owner.hex() for owner in self._sums if owner not in self._new]
        for start in range(0, len(changed), IDS):
            self._journal.drop(self._vectors, f'kind == "mean" and owner in {json.dumps(changed[start : start + IDS])}')
        for owner, (total, count) in self._sums.items():
            if count:
                mean = vectors.mean(total[None])[0].tolist()
                self._journal.add(self._vectors, kind="mean", uid="", owner=owner.hex(), count=count, vector=mean)

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        rows = list(chain.from_iterable(self._pages(self._vectors, _images_of(None), "owner", "vector")))
        _, owner = np.unique([row["owner"] for row in rows], return_inverse=True)
        return self._array(rows), owner

    def vectors_of(self, owner: bytes) -> np.ndarray:
        return self._array(list(chain.from_iterable(self._pages(self._vectors, _images_of(owner), "vector"))))

    def _array(self, rows: list[dict[str, Any]]) -> np.ndarray:
        return np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), self._size)

    def best(self, queries: np.ndarray, k: int, by: str) -> list[list[Match]]:
        """As `Backend`; read again if another writer changed people meanwhile."""
        for _ in range(RETRIES):
            where = self._journal.where(self._vectors, f'kind == "{by}"')
            found = nearest(self._at, where, queries, k)
            self._read_names({owner for people in found for owner, _, _ in people})
            if all(owner in self._names for people in found for owner, _, _ in people) and not (by == "mean" and self._journal.moved()):
                return [
                    [Match(self._names[owner], score, uid if by == "image" else None) for owner, score, uid in people] for people in found
                ]
            self._journal.moved()
        raise DataError(f"{self.path}: cannot read it: other processes change it all the time; try again later")

    def _read_names(self, owners: set[bytes]) -> None:
        missing = [owner.hex() for owner in owners if owner not in self._names]
        for start in range(0, len(missing), IDS):
            condition = f'kind == "person" and uid in {json.dumps(missing[start : start + IDS])}'
            for _, _, uid, _, stored in self._contents(condition, few=True):
                self._names[uid] = json.loads(self.vault.open(stored, "person", uid))["name"]

    def delete_images(self, owner: bytes, uids: list[bytes], whole: bool) -> None:
        for uid in [*uids, *([owner] if whole else [])]:
            self.keep_removed(uid)
        if whole:
            for collection in (self._rows, self._vectors):
                self._journal.drop(collection, f'owner == "{owner.hex()}"')
            self._sums.pop(owner, None)
            self._left.add(owner)
            return
        some = json.dumps([uid.hex() for uid in uids])
        rows = [row for page in self._pages(self._vectors, f"{_images_of(owner)} and uid not in {some}", "vector") for row in page]
        self._sums[owner] = self._array(rows).astype(np.float64).sum(axis=0), len(rows)
        self._journal.drop(self._rows, f'kind in ["image", "crop"] and uid in {some}')
        self._journal.drop(self._vectors, f"uid in {some}")

    def removed(self) -> set[bytes]:
        return {bytes.fromhex(row["uid"]) for row in chain.from_iterable(self._pages(self._rows, 'kind == "removed"', "uid"))}

    def keep_removed(self, uid: bytes) -> None:
        self._enter("removed", b"", uid)

    def entries(self) -> list[tuple[bytes, bytes]]:
        return [(uid, self.vault.open(stored, "audit", uid)) for _, _, uid, _, stored in self._contents('kind == "audit"')]

    def enter_entry(self, uid: bytes, content: bytes) -> None:
        self._enter("audit", self.vault.seal(content, "audit", uid), uid)

    def seal_again(self, new: Vault) -> None:
        kinds = 'kind in ["person", "image", "crop", "audit"]'
        for kind, owner, uid, lookup, stored in self._contents(kinds):
            place = (uid,) if kind in ("person", "audit") else (owner, uid)
            content = self.vault.open(stored, kind, *place)
            lookup = new.lookup(json.loads(content)["name"]) if kind == "person" else lookup
            self._enter(kind, new.seal(content, kind, *place), uid, owner, lookup)
        self._journal.drop(self._rows, kinds)

    def must_purge(self) -> None:
        """The transaction notes what it deletes."""

    def purge(self) -> None:
        try:
            self._at.flush(compact=True)
        except DataError as error:
            log.warning("%s; Milvus does it when it is due", error)

    def finish_purge(self) -> None:
        if self._journal.read_state()[1]:
            try:
                with self.transaction():
                    pass
            except DataError as error:
                log.warning("%s", error)

    def ready(self) -> None:
        self._journal.read_state()

    def delete(self) -> None:
        alone = False
        if not self._journal.foreign:
            self._at.drop()
            alone = self.path.startswith(LITE) and not self._at.call("read it", "list_collections")
        self.close()
        if alone:
            shutil.rmtree(self.path.removeprefix(LITE), ignore_errors=True)

    def close(self) -> None:
        self._at.close()


def _images_of(owner: bytes | None) -> str:
    return 'kind == "image"' + (f' and owner == "{owner.hex()}"' if owner is not None else "")
