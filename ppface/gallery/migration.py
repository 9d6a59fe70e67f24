"""Migration: moves a gallery from one backend to another, and compares both."""

from hashlib import sha256

from ppface.core.errors import DataError
from ppface.gallery.backend import Address, exists
from ppface.gallery.gallery import Gallery


def migrate(source: Gallery, target: Address, key: bytes | None = None, encrypted: bool = True) -> dict[str, int]:
    """Writes all of a gallery to a new one, reads it again from there, and compares every person and image; the source stays as it is.

    Args:
        source: any gallery.
        target: its new address, where there is none; if anything fails, there is none afterwards.
        key: of the new gallery; None: from the environment.
        encrypted: whether the new one is.

    Returns:
        {"people", "images", "removed": ids of people and images that stay away, "audit": entries}
    """
    if exists(target):
        raise DataError(f"{target}: already exists; expected an address without a gallery; `gallery import` adds people to this one")
    with Gallery.create(target, source.model, key, encrypted, source.dtype, source.keep_crops) as copy:
        try:
            with source.database.snapshot():
                source.refresh()
                with copy.database.transaction():
                    entries = source.database.entries()
                    for uid, content in entries:
                        copy.database.enter_entry(uid, content)
                    copy.import_(source)
                    copy.keep_removed(source)
                    if source.calibration:
                        copy.set_calibration(source.calibration)
                return {**_compared(source, copy), "audit": len(entries)}
        except BaseException:
            copy.database.delete()
            raise


def _compared(source: Gallery, copy: Gallery) -> dict[str, int]:
    """Numbers of what both have.

    Raises:
        DataError: they differ.
    """
    there, here = source.list(), copy.list()
    images, copied = _digests(source), _digests(copy)
    expected = {"people": len(there), "images": len(images), "removed": len(source.database.removed())}
    found = {"people": len(here), "images": len(copied), "removed": len(copy.database.removed())}
    if found != expected or there != here or images != copied:
        differ = sum(images[uid] != copied[uid] for uid in images.keys() & copied.keys())
        raise DataError(
            f"{copy.database.path}: expected {expected['people']} people and {expected['images']} images as in {source.database.path}, "
            f"read {found['people']} and {found['images']}, {differ} of them changed; nothing was kept: was the source changed meanwhile?"
        )
    return expected


def _digests(gallery: Gallery) -> dict[bytes, bytes]:
    """Of each image's vector, description and face, with its person, by id."""
    return {
        image.uid: sha256(image.owner + sha256(image.vector).digest() + sha256(image.about).digest() + (image.crop or b"")).digest()
        for image in gallery.database.all_images()
    }
