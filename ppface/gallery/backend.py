"""Backend: what keeps the people of a gallery, chosen by the gallery's address."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ppface.gallery.identity import Match
from ppface.gallery.vault import Vault

Address = str | os.PathLike  # a file; "milvus:FILE.db" for Milvus Lite; "http://HOST:19530/NAME" for a Milvus server


@dataclass(frozen=True)
class StoredImage:
    """The contents of one image.

    Attributes:
        owner, uid: random ids of the person and of the image.
        vector: of length 1, as bytes of the gallery's dtype.
        about: JSON.
        crop: PNG, None if the face is not stored.
    """

    owner: bytes
    uid: bytes
    vector: bytes
    about: bytes
    crop: bytes | None


class Backend(Protocol):
    """Rows of people and images. Contents are given and returned as they are, and sealed by the vault within.

    Attributes:
        path: the address, for messages.
        vault: set by `bind`.
        not_covered: what a removal does not reach, for receipts.
    """

    path: Any
    vault: Vault
    not_covered: str

    def bind(self, vault: Vault, size: int, dtype: str) -> None:
        """Sets how rows are sealed, and the embeddings' size and dtype."""

    def transaction(self) -> AbstractContextManager[None]:
        """All writes of the block are stored, or none."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Reads of the block see one state, as far as the backend can."""

    def changed(self) -> bool:
        """Whether there is anything new since `load`. Within a snapshot."""

    def load(self) -> None:
        """Brings what is in memory up to date. Within a snapshot."""

    def about(self) -> dict[str, bytes]:
        """What describes the gallery; empty if it was not completely created."""

    def put_about(self, key: str, value: bytes) -> None: ...

    def person(self, lookup: bytes) -> bytes | None:
        """The id of a person by `Vault.lookup`."""

    def people(self) -> dict[bytes, bytes]:
        """Contents by ids."""

    def enter_person(self, uid: bytes, lookup: bytes, content: bytes) -> None: ...

    def counts(self) -> dict[bytes, int]:
        """Numbers of images by people's ids; without those who have none."""

    def image_ids(self, owner: bytes | None = None) -> list[bytes]:
        """Of a person's images; None: of everybody's."""

    def images(self, owner: bytes) -> list[tuple[bytes, bytes, bool]]:
        """(id, about, whether the face is stored) of each, in the order of enrolment."""

    def all_images(self) -> Iterator[StoredImage]: ...

    def enter_image(self, image: StoredImage) -> None: ...

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """All unit vectors, and a number of the person of each."""

    def vectors_of(self, owner: bytes) -> np.ndarray: ...

    def best(self, queries: np.ndarray, k: int, by: str) -> list[list[Match]]:
        """For each query the k most similar people, best first; `by` is "image" or "mean"."""

    def delete_images(self, owner: bytes, uids: list[bytes], whole: bool) -> None:
        """Deletes images, with `whole` their person too, and remembers the ids."""

    def removed(self) -> set[bytes]:
        """Ids of removed people and images."""

    def keep_removed(self, uid: bytes) -> None: ...

    def entries(self) -> list[tuple[bytes, bytes]]:
        """(id, content) of the audit log, oldest first."""

    def enter_entry(self, uid: bytes, content: bytes) -> None: ...

    def seal_again(self, new: Vault) -> None:
        """Stores everything but the description under another vault. Within a transaction."""

    def must_purge(self) -> None:
        """Notes, in the transaction of a removal, that bytes of it remain."""

    def purge(self) -> None:
        """Gets rid of the bytes of removed rows, as far as the backend can."""

    def finish_purge(self) -> None:
        """What a killed process left to do; a failure is a warning."""

    def ready(self) -> None:
        """Raises UserError if the gallery cannot be read."""

    def delete(self) -> None:
        """Closes and deletes a gallery that could not be completed."""

    def close(self) -> None: ...


def is_milvus(address: Address) -> bool:
    return isinstance(address, str) and address.startswith(("milvus:", "http://", "https://"))


def open_backend(address: Address, size: int | None = None) -> Backend:
    """The backend at an address.

    Args:
        address: see `Address`.
        size: of the embeddings of a new gallery, which must not exist; None: it must exist.
    """
    if is_milvus(address):
        from ppface.gallery.milvus import Milvus

        return Milvus(str(address), size)
    from ppface.gallery.embedded import Embedded

    return Embedded(address, size is not None)


def exists(address: Address) -> bool:
    """Whether there is a gallery at an address."""
    if is_milvus(address):
        from ppface.gallery.milvus_collections import MilvusCollections

        return MilvusCollections.exist(str(address))
    return os.path.exists(address)  # noqa: PTH110, as addresses may be texts
