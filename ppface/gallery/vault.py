"""Vault: seals what a gallery stores, each content for its place, and opens it again."""

from typing import Any

from ppface.core.errors import DataError
from ppface.gallery.keys import Sealer


class Vault:
    """The sealer of one gallery.

    Args:
        path: of the gallery, for messages.
        uid: the gallery's random id.
        sealer: encrypts, or leaves as it is.
    """

    def __init__(self, path: Any, uid: bytes, sealer: Sealer):
        self.path, self.uid, self.sealer = path, uid, sealer

    def seal(self, content: bytes, kind: str, *uids: bytes) -> bytes:
        """What is stored of a content; where it belongs is authenticated with it."""
        return self.sealer.seal(content, self._place(kind, uids))

    def open(self, stored: bytes, kind: str, *uids: bytes) -> bytes:
        """The content.

        Raises:
            DataError: it was changed, moved, or sealed with another key.
        """
        try:
            return self.sealer.open(stored, self._place(kind, uids))
        except (ValueError, TypeError):
            raise DataError(
                f"{self.path}: a {kind} was changed, moved from elsewhere, or sealed with another key; use an export or copy"
            ) from None

    def lookup(self, name: str) -> bytes:
        """A value by which a name is found; with a key it does not reveal the name."""
        return self.sealer.blind(name.encode())

    def _place(self, kind: str, uids: tuple[bytes, ...]) -> bytes:
        return b"/".join([self.uid, kind.encode(), *uids])
