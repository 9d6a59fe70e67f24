"""What the routes do with the gallery of people; each runs in the gallery's thread."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.gallery import Gallery, Match
from ppface.gallery.gallery import By
from ppface.gallery.identity import checked_name, kept_name
from ppface.predict.face import Face
from ppface.serve.service_error import ServiceError


def named(text: str) -> str:
    """The name of somebody in the gallery, as galleries keep it; errors as of `new_name`."""
    return _name(text, kept_name)


def new_name(text: str) -> str:
    """The name of somebody who may be new, as galleries keep it.

    Raises:
        ServiceError: none that a gallery takes, or one that no address of this service can hold.
    """
    return _name(text, checked_name)


def _name(text: str, rule: Callable[[str], str]) -> str:
    try:
        name = rule(text)
    except DataError as error:
        raise ServiceError("invalid", str(error)) from None
    if "\ufffd" in name or name in (".", ".."):
        raise ServiceError("invalid", f"{name!r}: expected a person's name in UTF-8 other than . and ..")
    return name


def known(gallery: Gallery, name: str) -> None:
    gallery.refresh()  # under another key than the file has now, nobody would be found
    if gallery.person(name) is None:
        raise ServiceError("not_found", f"there is no person {name!r}")


def lowest(gallery: Gallery, by: By, threshold: float | None) -> float:
    """The threshold of a search: the given or the calibrated one."""
    if threshold is not None:
        return threshold
    gallery.refresh()
    try:
        return gallery.threshold(by)
    except DataError:
        raise ServiceError(
            "invalid", f"by={by}: expected a threshold, as the gallery has none for it; `ppface gallery calibrate` sets it"
        ) from None


def about(gallery: Gallery) -> dict[str, Any]:
    """Encryption, threshold and calibration."""
    gallery.refresh()
    found = gallery.calibration
    points = [
        {"false_match_rate": point["rate"], "threshold": point["threshold"], "low": point["fmr_95"][0], "high": point["fmr_95"][1]}
        for point in (found.points if found else [])
    ]
    return {
        "encrypted": gallery.encrypted,
        "threshold": found.threshold if found else None,
        "false_match_rate": found.rate if found else None,
        "calibration": points,
    }


def search(gallery: Gallery, faces: list[Face], k: int, by: By, threshold: float | None) -> tuple[float, list[list[Match]]]:
    """(threshold, matches of each face)."""
    least = lowest(gallery, by, threshold)
    if not faces:
        return least, []
    return least, gallery.search(np.stack([face.embedding for face in faces if face.embedding is not None]), k, by, least)


def verify(gallery: Gallery, name: str, face: Face, threshold: float | None) -> dict[str, Any]:
    known(gallery, name)
    assert face.embedding is not None
    least = lowest(gallery, "image", threshold)
    same, score = gallery.verify(name, face.embedding, least)
    return {"same": same, "score": score, "threshold": least}


def everybody(gallery: Gallery) -> dict[str, Any]:
    people = [{"name": name, "images": images} for name, images in gallery.list().items()]
    return {"people": people, "count": len(people)}


def create(gallery: Gallery, name: str) -> dict[str, Any]:
    """Enters a person without images."""
    with gallery.writing():
        if gallery.person(name) is not None:
            raise ServiceError("invalid", f"the person {name!r} exists already", 409)
        gallery.audit("add", gallery.enter_person(name), images=0)
    return {"name": name, "images": 0}


def enrol(gallery: Gallery, name: str, face: Face) -> dict[str, Any]:
    assert face.embedding is not None
    if gallery.keep_crops and face.aligned is None:
        raise ServiceError("invalid", "this gallery keeps faces, and this one could not be aligned")
    crops = [face.aligned] if gallery.keep_crops and face.aligned is not None else None
    (image,) = gallery.add(name, face.embedding, crops, qualities=[face.quality])
    return {"name": name, "image": image, "images": len(gallery.show(name)["images"])}


def forget(gallery: Gallery, name: str) -> dict[str, Any]:
    known(gallery, name)
    return gallery.forget(name)


def remove_image(gallery: Gallery, name: str, image: str) -> dict[str, Any]:
    known(gallery, name)
    images = [one["id"] for one in gallery.show(name)["images"]]
    if image not in images:
        raise ServiceError("not_found", f"{name!r} has no such image")
    gallery.remove(name, image=image)
    return {"name": name, "images": len(images) - 1}
