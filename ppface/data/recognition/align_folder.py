"""Aligns the faces of a whole folder; existing results are kept."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture


@dataclass
class Tally:
    """Counts of the pictures.

    Attributes:
        done: aligned and written.
        there: already written by an earlier run.
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

    Each file is written completely or not at all, so that an interrupted run can be started again.

    Args:
        images: folder of the pictures.
        out: folder of the results; each keeps its name except for the suffix.
        faces: names relative to `images`, and points.
        warp: pixels and points to pixels, as `ops.align.align`.
        suffix: of the results: .png is lossless, .jpg is written with quality 95.
        progress: iterates over the given list and shows progress (`tqdm`).

    Raises:
        DataError: two pictures that would get the same name, or a result that cannot be written.
    """
    faces = list(faces)
    targets = [(out / name).with_suffix(suffix) for name, _ in faces]
    if len(set(targets)) < len(targets):
        twice = next(target for at, target in enumerate(targets) if target in targets[:at])
        raise DataError(f"{twice}: two pictures of the landmark file would be written to this file; rename one")
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
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(code.tobytes())
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"{target}: cannot write: {error.strerror}") from None
