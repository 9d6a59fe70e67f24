"""Gallery: people with embeddings in one file, searched exactly."""

import builtins
import json
import os
from typing import Any, Literal

import numpy as np

from ppface.core.errors import DataError, UserError
from ppface.gallery import vectors
from ppface.gallery.calibration import Calibration
from ppface.gallery.identity import UNKNOWN, Match, checked_name, unit
from ppface.gallery.keys import AesGcm
from ppface.gallery.store import Store, now, user

By = Literal["image", "mean"]
SEALED_OF_IMAGES = (
    ("vector", "SELECT vector FROM images WHERE seq = ?", "UPDATE images SET vector = ? WHERE seq = ?"),
    ("image", "SELECT about FROM images WHERE seq = ?", "UPDATE images SET about = ? WHERE seq = ?"),
    ("crop", "SELECT picture FROM crops WHERE image = ?", "UPDATE crops SET picture = ? WHERE image = ?"),
)


class Gallery(Store):
    """People and their faces' embeddings; see `Store` for opening and `create`.

    with Gallery.create("people.db", ModelIdentity(digest, 512), key) as gallery:
        gallery.add("Ann", embeddings)
        gallery.search(embedding, k=3, threshold=0.4)      # [[Match("Ann", 0.71, ...)]]
    """

    def search(self, embeddings: np.ndarray, k: int = 1, by: By = "image", threshold: float | None = None) -> list[list[Match]]:
        """For each embedding the k most similar people, best first, whose score reaches the threshold; else one Match "Unknown".

        Args:
            embeddings: (D,) or (Q, D), of any length.
            k: people, >= 1.
            by: "image": a person's best image; "mean": the mean of a person's unit vectors.
            threshold: lowest score of a match; None: the calibrated one, which is for by="image".
        """
        if k < 1 or by not in ("image", "mean"):
            raise DataError(f"search: expected k of at least 1 and by 'image' or 'mean', received {k} and {by!r}")
        queries = unit(embeddings, self.model.size)
        with self.database.snapshot():
            self.refresh()
            lowest = self.threshold(by) if threshold is None else threshold
            rows, owner = self._means() if by == "mean" else (self._vectors.rows, self._vectors.owner)
            found = vectors.best(rows, owner, queries, k)
            return [self._matches(lines, scores, owner, lowest, by) for lines, scores in found]

    def names_of(self, embeddings: np.ndarray) -> builtins.list[tuple[str, float]]:
        """(Q, D) -> the best person's name, or "Unknown" below the calibrated threshold, and the score of each."""
        return [(matches[0].name, matches[0].score) for matches in self.search(embeddings)]

    def _matches(self, lines: np.ndarray, scores: np.ndarray, owner: np.ndarray, lowest: float, by: By) -> list[Match]:
        matches = [
            Match(self._people[int(owner[line])][1], float(score), self._image_id(line) if by == "image" else None)
            for line, score in zip(lines, scores, strict=True)
            if score >= lowest
        ]
        return matches or [Match(UNKNOWN, float(scores[0]) if len(scores) else -1.0)]

    def _image_id(self, line: int) -> str:
        return self.database.rows("SELECT uid FROM images WHERE seq = ?", int(self._vectors.image[line]))[0][0].hex()

    def _means(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self._vectors.owner, kind="stable")
        owner, first = np.unique(self._vectors.owner[order], return_index=True)
        if not len(owner):
            return np.zeros((0, self.model.size), np.float32), owner
        sums = np.add.reduceat(self._vectors.rows[order].astype(np.float64), first)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        return (sums / np.where(length > 0, length, 1)).astype(np.float32), owner

    def threshold(self, by: By = "image") -> float:
        """The calibrated threshold of the chosen rate."""
        if self.calibration is None or by != "image":
            raise DataError(f"{self.database.path}: expected a threshold for by={by!r}: pass one, or use `gallery calibrate` (for 'image')")
        return self.calibration.threshold

    def vectors_and_people(self) -> tuple[np.ndarray, np.ndarray]:
        """All unit vectors and the number of the person of each."""
        with self.database.snapshot():
            self.refresh()
            return self._vectors.rows.copy(), self._vectors.owner.copy()

    def verify(self, name: str, embedding: np.ndarray, threshold: float | None = None) -> tuple[bool, float]:
        """Whether an embedding is of this person: (score >= threshold, score of the person's best image)."""
        person, _ = self.known(name)
        query = unit(embedding, self.model.size)[0]
        with self.database.snapshot():
            self.refresh()
            lowest = self.threshold() if threshold is None else threshold
            rows = self._vectors.rows[self._vectors.owner == person].astype(np.float64)
        score = float((rows * query).sum(axis=1).max()) if len(rows) else -1.0
        return score >= lowest, score

    def list(self) -> dict[str, int]:
        """Names, sorted, with their numbers of images."""
        with self.database.snapshot():
            counts = dict(self.database.rows("SELECT person, count(*) FROM images GROUP BY person"))
            people = self.database.rows("SELECT seq, uid, name FROM people")
        return dict(sorted((self._name(uid, sealed), counts.get(seq, 0)) for seq, uid, sealed in people))

    def _name(self, uid: bytes, sealed: bytes) -> str:
        return json.loads(self.unsealed(sealed, "person", uid))["name"]

    def show(self, name: str) -> dict[str, Any]:
        """A person's id and images: id, source, quality, time and whether the face is stored."""
        person, owner = self.known(name)
        query = "SELECT uid, about, crops.image FROM images LEFT JOIN crops ON crops.image = seq WHERE person = ? ORDER BY seq"
        images = [
            {"id": uid.hex(), **json.loads(self.unsealed(about, "image", owner, uid)), "crop": crop is not None}
            for uid, about, crop in self.database.rows(query, person)
        ]
        return {"name": checked_name(name), "person": owner.hex(), "images": images}

    def audit_log(self) -> builtins.list[dict[str, Any]]:
        """Who did what when, oldest first."""
        rows = self.database.rows("SELECT uid, entry FROM audit ORDER BY seq")
        return [json.loads(self.unsealed(entry, "audit", uid)) for uid, entry in rows]

    def remove(self, *names: str, image: str | None = None) -> dict[str, Any]:
        """Removes people, or one image of one person, and rebuilds the file without their bytes.

        When it returns, neither the gallery's file nor its write-ahead log holds the bytes of the rows. Their random ids are remembered, so
        that `import_` of an earlier export brings none of them back. Not in its reach: exports and copies of the file, which
        remain readable with their key, and blocks of the disk that the file system has released.

        Returns:
            {"people": [ids], "images": number}
        """
        images: builtins.list[tuple[int, bytes]] = []
        with self.writing():
            people = list(dict.fromkeys(self.known(name) for name in names))
            for person, owner in people:
                found = self.database.rows("SELECT seq, uid FROM images WHERE person = ?", person)
                if image is not None:
                    found = [row for row in found if row[1].hex() == image]
                    if not found:
                        raise DataError(f"{self.database.path}: {names[0]!r} has no image {image!r}; `gallery show` lists them")
                images += found
                self._delete(person, owner, found, whole=image is None)
            self.database.must_purge()
        self._changed = True
        self._purge(", ".join(map(repr, names)))
        return {"people": [owner.hex() for _, owner in people], "images": len(images)}

    def _delete(self, person: int, owner: bytes, images: builtins.list[tuple[int, bytes]], whole: bool) -> None:
        for seq, uid in images:
            self.database.write("DELETE FROM crops WHERE image = ?", seq)
            self.database.write("DELETE FROM images WHERE seq = ?", seq)
            self.database.write("INSERT INTO removed (uid) VALUES (?)", uid)
        if whole:
            self.database.write("DELETE FROM people WHERE seq = ?", person)
            self.database.write("INSERT INTO removed (uid) VALUES (?)", owner)
        self.audit("remove", owner, images=len(images), person_removed=whole)

    def _purge(self, what: str) -> None:
        try:
            self.database.purge()
        except UserError as error:
            raise type(error)(f"{what}: removed, but bytes remain in the file until it is opened again: {error}") from None
        with self.database.snapshot():
            self.refresh()

    def forget(self, name: str) -> dict[str, Any]:
        """`remove`, and a receipt to hand over: plain values for JSON."""
        name, removed = checked_name(name), self.remove(name)
        return {
            "forgotten": name, "person": removed["people"][0], "images": removed["images"], "time": now(), "by": user(),
            "gallery": self.uid.hex(), "not_covered": "copies and exports made before; disk blocks that the file system has released",
        }  # fmt: skip

    def crops(self) -> Any:
        """(name, person's id, image's id, about, PNG) of each stored face."""
        query = (
            "SELECT people.uid, people.name, images.uid, images.about, picture FROM images JOIN people ON people.seq = person "
            "LEFT JOIN crops ON crops.image = images.seq ORDER BY images.seq"
        )
        for owner, sealed, uid, about, crop in self.database.rows(query):
            picture = self.unsealed(crop, "crop", owner, uid) if crop is not None else None
            yield self._name(owner, sealed), owner, uid, self.unsealed(about, "image", owner, uid), picture

    def export(self, path: str | os.PathLike, key: bytes | None = None, encrypted: bool = True) -> int:
        """Writes everybody to a new gallery file, under another key if one is given; returns the number of images."""
        with Gallery.create(path, self.model, key, encrypted, self.dtype, self.keep_crops) as copy:
            try:
                count = copy.import_(self)["images"]
                copy.keep_removed(self)
                if self.calibration:
                    copy.set_calibration(self.calibration)
            except BaseException:
                copy.database.delete()
                raise
        with self.writing():
            self.audit("export", images=count)
        return count

    def keep_removed(self, other: "Gallery") -> None:
        """Remembers who was removed from another gallery, whose copy this is: earlier exports bring them back here neither."""
        with self.writing():
            for (uid,) in other.database.rows("SELECT uid FROM removed"):
                self.database.write("INSERT OR IGNORE INTO removed (uid) VALUES (?)", uid)

    def import_(self, other: "Gallery") -> dict[str, int]:
        """Adds the people and images of another gallery of the same model, all or none. People of one name are taken for one person.

        Images that are here already, and images and people that were removed from this gallery, are left out.

        Returns:
            {"images": added, "known": left out, "removed": left out}
        """
        self.check_model(other.model)
        if self.dtype != other.dtype:
            raise DataError(f"{self.database.path}: expected embeddings of {self.dtype}, received {other.dtype}")
        counts: dict[str, Any] = {"images": 0, "known": 0, "removed": 0}
        with self.writing(), other.database.snapshot():
            stored = dict(other.database.rows("SELECT uid, vector FROM images"))
            removed = {uid for (uid,) in self.database.rows("SELECT uid FROM removed")}
            known = {uid for (uid,) in self.database.rows("SELECT uid FROM images")}
            for name, owner, uid, about, crop in other.crops():
                if owner in removed or uid in removed or uid in known:
                    counts["known" if uid in known else "removed"] += 1
                    continue
                person, mine = self.enter_person(checked_name(name), owner)
                vector = other.unsealed(stored[uid], "vector", owner, uid)
                if not vectors.is_unit(vector, self.model.size, self.dtype):  # a gallery without encryption can be changed by anybody
                    raise DataError(f"{other.database.path}: image {uid.hex()}: expected a vector of length 1: it was changed")
                self.enter_image(person, mine, uid, vector, about, crop if self.keep_crops else None)
                counts["images"] += 1
            self.audit("import", **counts)
        self._changed = True
        return counts

    def rotate_key(self, key: bytes) -> None:
        """Encrypts everything anew under another key, all or nothing; nothing in the file can be read with the old one any more."""
        if not self.encrypted:
            raise DataError(f"{self.database.path}: not encrypted; `gallery export --key FILE` writes an encrypted copy")
        old, new = self.sealer, AesGcm(key, self.uid)
        try:
            with self.writing():
                self._seal_again(new)
                self.sealer = new
                self.write_description()
                self.audit("rotate-key")
                self.database.must_purge()
        except BaseException:
            self.sealer = old
            raise
        self._purge("old key")

    def _seal_again(self, new: AesGcm) -> None:
        database = self.database
        people = {}
        for seq, uid, name in database.rows("SELECT seq, uid, name FROM people"):
            people[seq], content = uid, self.unsealed(name, "person", uid)
            lookup = new.blind(json.loads(content)["name"].encode())
            sealed = new.seal(content, self.place("person", uid))
            database.write("UPDATE people SET lookup = ?, name = ? WHERE seq = ?", lookup, sealed, seq)
        for seq, uid, person in database.rows("SELECT seq, uid, person FROM images"):
            for kind, read, write in SEALED_OF_IMAGES:
                for (stored,) in database.rows(read, seq):
                    content = self.unsealed(stored, kind, people[person], uid)
                    database.write(write, new.seal(content, self.place(kind, people[person], uid)), seq)
        for seq, uid, entry in database.rows("SELECT seq, uid, entry FROM audit"):
            sealed = new.seal(self.unsealed(entry, "audit", uid), self.place("audit", uid))
            database.write("UPDATE audit SET entry = ? WHERE seq = ?", sealed, seq)

    def set_calibration(self, calibration: Calibration) -> None:
        with self.writing():
            self.calibration = calibration
            self.write_description()
            self.audit("calibrate", rate=calibration.rate, threshold=calibration.threshold)
