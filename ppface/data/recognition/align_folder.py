"""Aligns the faces of a whole folder; what is done already is left alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture


@dataclass
class Tally:
    """What became of the pictures.

    Attributes:
        done: written now.
        there: found written already.
        broken: name -> reason.
    """

    done: int
    there: int
    broken: dict[str, str]


def align_folder(
    images: Path,
    out: Path,
    faces: Iterable[tuple[str, np.ndarray]],
    warp: Callable[[np.ndarray, np.ndarray], np.ndarray],
    suffix: str = ".jpg",
    progress: Callable[[list], Iterable] = iter,
) -> Tally:
    """Warps every picture and writes it under the same name.

    A picture appears whole or not at all, so a run that was stopped can be started again.

    Args:
        images: folder of the pictures.
        out: folder of the results; each keeps its name but for the suffix.
        faces: names relative to `images`, and points.
        warp: pixels and points to pixels, `ops.align.align` or alike.
        suffix: of the results: .png loses nothing, .jpg is written at quality 95.
        progress: given the list of what is to be done, yields it; shows how far it is (`tqdm`).

    Raises:
        DataError: two pictures that would get one name, or a result that cannot be written.
    """
    faces = list(faces)
    targets = [(out / name).with_suffix(suffix) for name, _ in faces]
    if len(set(targets)) < len(targets):
        twice = next(target for at, target in enumerate(targets) if target in targets[:at])
        raise DataError(f"{twice}: two pictures would get this name; rename one")
    tally = Tally(0, 0, {})
    for (name, points), target in progress(list(zip(faces, targets, strict=True))):
        if target.is_file():
            tally.there += 1
        else:
            try:
                pixels = warp(Picture.open(images / name).decode(), points)
            except DataError as error:
                tally.broken[name] = str(error)
            except ValueError as error:
                tally.broken[name] = f"{images / name}: {error}"
            else:
                _write(pixels, target)
                tally.done += 1
    return tally


def _write(pixels: np.ndarray, target: Path) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if target.suffix == ".jpg" else []
    _, code = cv2.imencode(target.suffix, pixels[:, :, ::-1], options)
    aside = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(code.tobytes())
        aside.replace(target)
    except OSError as error:
        raise DataError(f"{target}: cannot write: {error.strerror}") from None
