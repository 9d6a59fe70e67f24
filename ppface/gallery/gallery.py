"""Gallery: people with embeddings in one file or in Milvus, searched exactly."""

import builtins
import json
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ppface.core.errors import DataError, UserError
from ppface.gallery import vectors
from ppface.gallery.backend import Address
from ppface.gallery.calibration import Calibration
from ppface.gallery.identity import UNKNOWN, Match, checked_name, kept_name, unit
from ppface.gallery.keys import AesGcm
from ppface.gallery.store import Store, now, user
from ppface.gallery.vault import Vault

By = Literal["image", "mean"]


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
            lowest = self._lowest(threshold, by)
            return [self._matches(found, lowest) for found in self.database.best(queries, k, by)]

    def names_of(self, embeddings: np.ndarray) -> builtins.list[tuple[str, float]]:
        """(Q, D) -> the best person's name, or "Unknown" below the calibrated threshold, and the score of each."""
        return [(matches[0].name, matches[0].score) for matches in self.search(embeddings)]

    @staticmethod
    def _matches(found: builtins.list[Match], lowest: float) -> builtins.list[Match]:
        return [match for match in found if match.score >= lowest] or [Match(UNKNOWN, found[0].score if found else -1.0)]

    def threshold(self, by: By = "image") -> float:
        """The calibrated threshold of the chosen rate."""
        if self.calibration is None or by != "image":
            raise DataError(f"{self.database.path}: expected a threshold for by={by!r}: pass one, or use `gallery calibrate` (for 'image')")
        return self.calibration.threshold

    def _lowest(self, threshold: float | None, by: By) -> float:
        if threshold is not None and np.isnan(threshold):
            raise DataError(f"{self.database.path}: expected a cosine as threshold, received NaN, which no score reaches")
        return self.threshold(by) if threshold is None else threshold

    def vectors_and_people(self) -> tuple[np.ndarray, np.ndarray]:
        """All unit vectors and the number of the person of each."""
        with self.database.snapshot():
            self.refresh()
            return self.database.vectors()

    def verify(self, name: str, embedding: np.ndarray, threshold: float | None = None) -> tuple[bool, float]:
        """Whether an embedding is of this person: (score >= threshold, score of the person's best image)."""
        owner = self.known(name)
        query = unit(embedding, self.model.size)[0]
        with self.database.snapshot():
            self.refresh()
            lowest = self._lowest(threshold, "image")
            rows = self.database.vectors_of(owner).astype(np.float64)
        score = float((rows * query).sum(axis=1).max()) if len(rows) else -1.0
        return score >= lowest, score

    def list(self) -> dict[str, int]:
        """Names, sorted, with their numbers of images."""
        with self.database.snapshot():
            counts, people = self.database.counts(), self.database.people()
        return dict(sorted((json.loads(content)["name"], counts.get(uid, 0)) for uid, content in people.items()))

    def show(self, name: str) -> dict[str, Any]:
        """A person's id and images: id, source, quality, time and whether the face is stored."""
        owner = self.known(name)
        images = [{"id": uid.hex(), **json.loads(about), "crop": crop} for uid, about, crop in self.database.images(owner)]
        return {"name": kept_name(name), "person": owner.hex(), "images": images}

    def audit_log(self) -> builtins.list[dict[str, Any]]:
        """Who did what when, oldest first."""
        return [json.loads(entry) for _, entry in self.database.entries()]

    def remove(self, *names: str, image: str | None = None) -> dict[str, Any]:
        """Removes people, or one image of one person, and rebuilds the file without their bytes.

        When it returns, neither the gallery's file nor its write-ahead log holds the bytes of the rows. Their random ids are remembered, so
        that `import_` of an earlier export brings none of them back. Not in its reach: exports and copies of the file, which
        remain readable with their key, and blocks of the disk that the file system has released. In Milvus the rows are deleted, and
        Milvus decides when their bytes go.

        Returns:
            {"people": [ids], "images": number}
        """
        count = 0
        with self.writing():
            people = list(dict.fromkeys(self.known(name) for name in names))
            for owner in people:
                uids = self.database.image_ids(owner)
                if image is not None:
                    uids = [uid for uid in uids if uid.hex() == image]
                    if not uids:
                        raise DataError(f"{self.database.path}: {names[0]!r} has no image {image!r}; `gallery show` lists them")
                count += len(uids)
                self.database.delete_images(owner, uids, whole=image is None)
                self.audit("remove", owner, images=len(uids), person_removed=image is None)
            self.database.must_purge()
        self._purge(", ".join(map(repr, names)))
        return {"people": [owner.hex() for owner in people], "images": count}

    def _purge(self, what: str) -> None:
        try:
            self.database.purge()
        except UserError as error:
            raise type(error)(f"{what}: removed, but bytes remain in the file: {error}") from None
        self.refresh()

    def forget(self, name: str) -> dict[str, Any]:
        """`remove`, and a receipt to hand over: plain values for JSON."""
        name, removed = kept_name(name), self.remove(name)
        return {
            "forgotten": name, "person": removed["people"][0], "images": removed["images"], "time": now(), "by": user(),
            "gallery": self.uid.hex(), "not_covered": self.database.not_covered,
        }  # fmt: skip

    def crops(self) -> Any:
        """(name, person's id, image's id, about, PNG) of each stored face."""
        names = {uid: json.loads(content)["name"] for uid, content in self.database.people().items()}
        for image in self.database.all_images():
            yield names[image.owner], image.owner, image.uid, image.about, image.crop

    def export(self, path: Address, key: bytes | None = None, encrypted: bool = True) -> int:
        """Writes everybody to a new gallery, under another key if one is given; returns the number of images."""
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
            for uid in other.database.removed():
                self.database.keep_removed(uid)

    def import_(self, other: "Gallery") -> dict[str, int]:
        """Adds the people and images of another gallery of the same model, all or none. People of one name are taken for one person.

        Images that are here already, and images and people that were removed from this gallery, are left out.

        Returns:
            {"images": added, "known": left out, "removed": left out}
        """
        if difference := self.model.differences(other.model):
            raise DataError(f"{other.database.path}: expected the model of {self.database.path}: {difference}")
        if self.dtype != other.dtype:
            raise DataError(f"{self.database.path}: expected embeddings of {self.dtype}, received {other.dtype}")
        counts: dict[str, Any] = {"images": 0, "known": 0, "removed": 0}
        with self.writing(), other.database.snapshot():
            known, removed = set(self.database.image_ids()), self.database.removed()
            people = _names(other)
            mine = {uid: self.enter_person(name, uid) for uid, name in people.items() if uid not in removed}
            for image in other.database.all_images():
                if image.owner in removed or image.uid in removed or image.uid in known:
                    counts["known" if image.uid in known else "removed"] += 1
                    continue
                if not vectors.is_unit(image.vector, self.model.size, self.dtype):  # without encryption anybody can change it
                    raise DataError(f"{other.database.path}: image {image.uid.hex()}: expected a vector of length 1: it was changed")
                self.database.enter_image(replace(image, owner=mine[image.owner], crop=image.crop if self.keep_crops else None))
                counts["images"] += 1
            self.audit("import", **counts)
        return counts

    def rotate_key(self, key: bytes) -> None:
        """Encrypts everything anew under another key, all or nothing; nothing in the file can be read with the old one any more."""
        if not self.encrypted:
            raise DataError(f"{self.database.path}: not encrypted; `gallery export --out-key FILE` writes an encrypted copy")
        old, new = self.database.vault, Vault(self.database.path, self.uid, AesGcm(key, self.uid))
        try:
            with self.writing():
                self.database.seal_again(new)
                self.database.vault = new
                self.write_description()
                self.audit("rotate-key")
                self.database.must_purge()
        except BaseException:
            self.database.vault = old
            raise
        self._purge("old key")

    def set_calibration(self, calibration: Calibration) -> None:
        with self.writing():
            self.calibration = calibration
            self.write_description()
            self.audit("calibrate", rate=calibration.rate, threshold=calibration.threshold)


def _names(gallery: Gallery) -> dict[bytes, str]:
    """Names by people's ids.

    Raises:
        DataError: one that nobody may have any more, as an earlier version has enrolled it.
    """
    try:
        return {uid: checked_name(json.loads(content)["name"]) for uid, content in gallery.database.people().items()}
    except DataError as error:
        raise DataError(f"{gallery.database.path}: {error}: `gallery remove` this person there first") from None
