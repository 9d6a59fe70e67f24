"""Embedded: people and images in a SQLite file, their vectors in memory."""

import json
import os
from collections.abc import Iterator

import numpy as np

from ppface.gallery import vectors
from ppface.gallery.backend import StoredImage
from ppface.gallery.database import Database
from ppface.gallery.identity import Match
from ppface.gallery.vault import Vault

NEXT = "SELECT seq, person, uid, vector FROM images WHERE seq > ? ORDER BY seq LIMIT ?"
READ_ROWS = 4096  # at a time, in memory that serves again for the next
SEALED_OF_IMAGES = (
    ("vector", "SELECT vector FROM images WHERE seq = ?", "UPDATE images SET vector = ? WHERE seq = ?"),
    ("image", "SELECT about FROM images WHERE seq = ?", "UPDATE images SET about = ? WHERE seq = ?"),
    ("crop", "SELECT picture FROM crops WHERE image = ?", "UPDATE crops SET picture = ? WHERE image = ?"),
)


class Embedded(Database):
    """The backend of a gallery in one file; its methods are those of `Backend`."""

    not_covered = "copies and exports made before; disk blocks that the file system has released"

    def __init__(self, path: str | os.PathLike, create: bool = False):
        super().__init__(path, create)
        self._people: dict[int, tuple[bytes, str]] = {}
        self._seen: tuple[int, int] | None = None  # data_version, removals
        self._wrote = True  # data_version changes with the writes of others alone

    def bind(self, vault: Vault, size: int, dtype: str) -> None:
        self.vault, self._vectors = vault, vectors.Vectors(size, dtype)

    def write(self, query: str, *values: object) -> int:
        self._wrote = True
        return super().write(query, *values)

    def changed(self) -> bool:
        return self._wrote or self._seen is None or self._version() != self._seen[0]

    def _version(self) -> int:
        return self.rows("PRAGMA data_version")[0][0]

    def load(self) -> None:
        version = self._version()
        removals = self.rows("SELECT max(seq) FROM removed")[0][0] or 0
        if self._vectors.count and (self._seen is None or removals != self._seen[1]):
            self._vectors.keep(np.array([seq for (seq,) in self.rows("SELECT seq FROM images")], np.int64))
            self._people = {}
        for seq, uid, sealed in self.rows("SELECT seq, uid, name FROM people WHERE seq > ?", max(self._people, default=0)):
            self._people[seq] = uid, json.loads(self.vault.open(sealed, "person", uid))["name"]
        while found := self.rows(NEXT, int(self._vectors.image[-1]) if self._vectors.count else 0, READ_ROWS):
            rows = [self.vault.open(sealed, "vector", self._people[person][0], uid) for _, person, uid, sealed in found]
            self._vectors.extend(rows, [person for _, person, _, _ in found], [seq for seq, _, _, _ in found])
        self._seen, self._wrote = (version, removals), False

    def about(self) -> dict[str, bytes]:
        return dict(self.rows("SELECT key, value FROM about"))

    def put_about(self, key: str, value: bytes) -> None:
        self.write("INSERT OR REPLACE INTO about VALUES (?, ?)", key, value)

    def person(self, lookup: bytes) -> bytes | None:
        found = self.rows("SELECT uid FROM people WHERE lookup = ?", lookup)
        return found[0][0] if found else None

    def people(self) -> dict[bytes, bytes]:
        return {uid: self.vault.open(sealed, "person", uid) for uid, sealed in self.rows("SELECT uid, name FROM people")}

    def enter_person(self, uid: bytes, lookup: bytes, content: bytes) -> None:
        sealed = self.vault.seal(content, "person", uid)
        self.write("INSERT INTO people (uid, lookup, name) VALUES (?, ?, ?)", uid, lookup, sealed)

    def counts(self) -> dict[bytes, int]:
        return dict(self.rows("SELECT people.uid, count(*) FROM images JOIN people ON people.seq = person GROUP BY person"))

    def image_ids(self, owner: bytes | None = None) -> list[bytes]:
        if owner is None:
            return [uid for (uid,) in self.rows("SELECT uid FROM images")]
        query = "SELECT images.uid FROM images JOIN people ON people.seq = person WHERE people.uid = ? ORDER BY images.seq"
        return [uid for (uid,) in self.rows(query, owner)]

    def images(self, owner: bytes) -> list[tuple[bytes, bytes, bool]]:
        query = (
            "SELECT images.uid, about, crops.image FROM images JOIN people ON people.seq = person "
            "LEFT JOIN crops ON crops.image = images.seq WHERE people.uid = ? ORDER BY images.seq"
        )
        return [(uid, self.vault.open(about, "image", owner, uid), crop is not None) for uid, about, crop in self.rows(query, owner)]

    def all_images(self) -> Iterator[StoredImage]:
        query = (
            "SELECT people.uid, images.uid, vector, about, picture FROM images JOIN people ON people.seq = person "
            "LEFT JOIN crops ON crops.image = images.seq ORDER BY images.seq"
        )
        for owner, uid, vector, about, crop in self.rows(query):
            picture = self.vault.open(crop, "crop", owner, uid) if crop is not None else None
            yield StoredImage(
                owner, uid, self.vault.open(vector, "vector", owner, uid), self.vault.open(about, "image", owner, uid), picture
            )

    def enter_image(self, image: StoredImage) -> None:
        ids = image.owner, image.uid
        sealed = [self.vault.seal(text, kind, *ids) for kind, text in (("vector", image.vector), ("image", image.about))]
        query = "INSERT INTO images (uid, person, vector, about) VALUES (?, (SELECT seq FROM people WHERE uid = ?), ?, ?)"
        number = self.write(query, image.uid, image.owner, *sealed)
        if image.crop is not None:
            self.write("INSERT INTO crops VALUES (?, ?)", number, self.vault.seal(image.crop, "crop", *ids))

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        return self._vectors.rows.copy(), self._vectors.owner.copy()

    def vectors_of(self, owner: bytes) -> np.ndarray:
        found = self.rows("SELECT seq FROM people WHERE uid = ?", owner)
        return self._vectors.rows[self._vectors.owner == (found[0][0] if found else -1)]

    def best(self, queries: np.ndarray, k: int, by: str) -> list[list[Match]]:
        rows, owner = self._means() if by == "mean" else (self._vectors.rows, self._vectors.owner)
        return [
            [
                Match(self._people[int(owner[line])][1], float(score), None if by == "mean" else self._image_id(line))
                for line, score in zip(lines, scores, strict=True)
            ]
            for lines, scores in vectors.best(rows, owner, queries, k)
        ]

    def _image_id(self, line: int) -> str:
        return self.rows("SELECT uid FROM images WHERE seq = ?", int(self._vectors.image[line]))[0][0].hex()

    def _means(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self._vectors.owner, kind="stable")
        owner, first = np.unique(self._vectors.owner[order], return_index=True)
        if not len(owner):
            return self._vectors.rows.astype(np.float32), owner
        sums = np.add.reduceat(self._vectors.rows[order].astype(np.float64), first)
        return vectors.mean(sums), owner

    def delete_images(self, owner: bytes, uids: list[bytes], whole: bool) -> None:
        for uid in uids:
            self.write("DELETE FROM crops WHERE image = (SELECT seq FROM images WHERE uid = ?)", uid)
            self.write("DELETE FROM images WHERE uid = ?", uid)
            self.keep_removed(uid)
        if whole:
            self.write("DELETE FROM people WHERE uid = ?", owner)
            self.keep_removed(owner)

    def removed(self) -> set[bytes]:
        return {uid for (uid,) in self.rows("SELECT uid FROM removed")}

    def keep_removed(self, uid: bytes) -> None:
        self.write("INSERT OR IGNORE INTO removed (uid) VALUES (?)", uid)

    def entries(self) -> list[tuple[bytes, bytes]]:
        return [(uid, self.vault.open(entry, "audit", uid)) for uid, entry in self.rows("SELECT uid, entry FROM audit ORDER BY seq")]

    def enter_entry(self, uid: bytes, content: bytes) -> None:
        self.write("INSERT INTO audit (uid, entry) VALUES (?, ?)", uid, self.vault.seal(content, "audit", uid))

    def seal_again(self, new: Vault) -> None:
        people = {}
        for seq, uid, name in self.rows("SELECT seq, uid, name FROM people"):
            people[seq], content = uid, self.vault.open(name, "person", uid)
            lookup = new.lookup(json.loads(content)["name"])
            self.write("UPDATE people SET lookup = ?, name = ? WHERE seq = ?", lookup, new.seal(content, "person", uid), seq)
        for seq, uid, person in self.rows("SELECT seq, uid, person FROM images"):
            for kind, read, write in SEALED_OF_IMAGES:
                for (stored,) in self.rows(read, seq):
                    content = self.vault.open(stored, kind, people[person], uid)
                    self.write(write, new.seal(content, kind, people[person], uid), seq)
        for seq, uid, entry in self.rows("SELECT seq, uid, entry FROM audit"):
            self.write("UPDATE audit SET entry = ? WHERE seq = ?", new.seal(self.vault.open(entry, "audit", uid), "audit", uid), seq)

    def ready(self) -> None:
        self.rows("SELECT 1")
