"""Enrols pictures of people: their names from folders or file names, and a reason for each picture that is left out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.gallery.gallery import Gallery
from ppface.gallery.identity import checked_name

FacesOf = Callable[[Any], Sequence[Any]]  # a picture -> faces with `embedding`, `quality` and, for galleries with crops, `aligned`


@dataclass(frozen=True)
class Enrolled:
    """The result of enrolling one picture.

    Attributes:
        source: its path.
        name: of the person; "" if it has none.
        reason: why it was not enrolled; "" if it was.
    """

    source: str
    name: str
    reason: str = ""


def name_of(file: str) -> str:
    """The person of a picture by its path relative to the folder that is enrolled: the first folder, else the text left of the first `_`.

    Source: `name_anything.jpg` is the layout of https://github.com/bubbliiiing/facenet-retinaface-pytorch.

    Raises:
        DataError: a file without folder and `_`, or a name that cannot be one.
    """
    path = PurePath(file)
    if len(path.parts) > 1:
        return checked_name(path.parts[0])
    name, separator, _ = path.stem.partition("_")
    if not separator:
        raise DataError(f"{file}: expected NAME/{file} or NAME_anything{path.suffix}: whose picture is it?")
    return checked_name(name)


def one_face(faces_of: FacesOf, image: Any, min_quality: float | None = None) -> Any:
    """The only face of a picture.

    Raises:
        DataError: none, several, below this quality, or a picture that cannot be read.
    """
    faces = faces_of(image)
    if len(faces) != 1:
        raise DataError(f"expected one face, found {len(faces) or 'none'}")
    (face,) = faces
    if face.embedding is None:
        raise DataError("expected a model that embeds faces, received one that only finds them")
    if min_quality is not None and (face.quality is None or face.quality < min_quality):
        have = "the model reports none" if face.quality is None else f"received {face.quality:.3g}"
        raise DataError(f"expected a quality of at least {min_quality:g}, {have}")
    return face


def enrol(
    gallery: Gallery, faces_of: FacesOf, pictures: Iterable[tuple[str, Any]], name: str | None = None, min_quality: float | None = None
) -> Iterator[Enrolled]:
    """Enrols picture after picture, each stored when it is yielded.

    Args:
        gallery: receives them.
        faces_of: finds and embeds the faces of a picture, such as a FacePipeline.
        pictures: (path relative to the enrolled folder, what `faces_of` takes).
        name: of all; None: see `name_of`.
        min_quality: lowest quality of a face; None: any.
    """
    for source, image in pictures:
        found = ""
        try:
            found = checked_name(name) if name is not None else name_of(source)
            face = one_face(faces_of, image, min_quality)
            if gallery.keep_crops and getattr(face, "aligned", None) is None:
                raise DataError("expected a pipeline that returns aligned faces, as this gallery keeps them")
            crops = [np.asarray(face.aligned)] if gallery.keep_crops else None
            gallery.add(found, face.embedding, crops, [PurePath(source).name], [face.quality])
            yield Enrolled(source, found)
        except DataError as error:
            yield Enrolled(source, found, str(error))
