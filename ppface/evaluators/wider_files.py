"""The files of the official WIDER FACE evaluation: ground truth (.mat) and predictions (one text file per picture)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files import mat_file
from ppface.core.files.file_names import on_disk, to_bytes
from ppface.evaluators.ap import checked

ORIGIN = "WIDER FACE's evaluation tools"
SUBSETS = ("easy", "medium", "hard")
Name = tuple[str, str]  # event and picture, such as ("0--Parade", "0_Parade_Parade_0_102")
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The labels of the validation set.

    Args:
        names: event and name of every picture, the name without extension.
        faces: of every picture (G, 4): x, y, w, h in pixels.
        counted: "easy", "medium", "hard" -> which of all faces count, (sum of G,) bool.
    """

    names: list[Name]
    faces: list[np.ndarray]
    counted: dict[str, np.ndarray]


def read_ground_truth(folder: str | Path) -> GroundTruth:
    """Reads wider_face_val.mat and wider_{easy,medium,hard}_val.mat.

    Raises:
        DataError: the folder or one of the files is missing or has unexpected content.
    """
    folder = Path(on_disk(folder))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected WIDER FACE's ground_truth folder with wider_face_val.mat and wider_*_val.mat")
    path = folder / "wider_face_val.mat"
    events, files, boxes = mat_file.read(path, "event_list", "file_list", "face_bbx_list", origin=ORIGIN)
    names, faces = [], []
    for event, images, rows in zip(events[:, 0], files[:, 0], boxes[:, 0], strict=True):
        for image, row in zip(images[:, 0], rows[:, 0], strict=True):
            names.append((str(event[0]), str(image[0])))
            faces.append(row.reshape(-1, 4).astype("float64"))
    return GroundTruth(names, faces, {subset: _read_subset(folder / f"wider_{subset}_val.mat", names, faces) for subset in SUBSETS})


def _read_subset(path: Path, names: list[Name], faces: list[np.ndarray]) -> np.ndarray:
    """Which of all faces count: for each picture the file lists their indices, starting at 1."""
    indices = [rows for event in mat_file.read(path, "gt_list", origin=ORIGIN)[0][:, 0] for rows in event[:, 0]]
    if len(indices) != len(faces):
        raise DataError(f"{path}: lists {len(indices)} pictures, expected the {len(faces)} of wider_face_val.mat")
    counted = [np.zeros(len(boxes), dtype=bool) for boxes in faces]
    for name, mask, rows in zip(names, counted, indices, strict=True):
        rows = rows.ravel().astype("int64")
        if len(rows) and not 1 <= rows.min() <= rows.max() <= len(mask):
            raise DataError(f"{path}: {'/'.join(name)} has {len(mask)} faces, expected their indices from 1, received {rows.tolist()}")
        mask[rows - 1] = True
    return np.concatenate(counted)


def read_predictions(folder: str | Path) -> dict[Name, np.ndarray]:
    """Reads every `event/picture.txt` of a folder as {(event, picture): (N, 5) x, y, w, h, score}.

    Raises:
        DataError: the folder is missing or has no predictions, or a file is malformed.
    """
    folder = Path(on_disk(folder))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected predictions as event/picture.txt")
    predictions = {(path.parent.name, path.stem): read_prediction_file(path) for path in sorted(folder.glob("*/*.txt"))}
    if not predictions:
        raise DataError(f"{folder}: no predictions found; expected files like 0--Parade/0_Parade_Parade_0_102.txt")
    return predictions


def read_prediction_file(path: Path) -> np.ndarray:
    """One text file: the picture's name, the number of predictions, and a line `x y w h score` for each -> (N, 5)."""
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    count = lines[1].strip() if len(lines) > 1 else ""
    if not count.isdecimal():
        raise DataError(f"{path}:2: expected the number of predictions, received {count!r}")
    if int(count) != len(lines) - 2:
        raise DataError(f"{path}:2: states {count} predictions, but {len(lines) - 2} lines follow")
    try:
        rows = np.array([line.split() for line in lines[2:]], dtype="float64")
    except ValueError:
        rows = np.zeros(0)
    if len(lines) > 2 and (rows.ndim != 2 or rows.shape[1] != 5 or not np.isfinite(rows).all()):
        number = next(number for number, line in enumerate(lines[2:], start=3) if not _five_numbers(line))
        raise DataError(f"{path}:{number}: expected 'x y w h score', five finite numbers, received {lines[number - 1]!r}")
    return rows.reshape(-1, 5)


def _five_numbers(line: str) -> bool:
    try:
        numbers = np.array(line.split(), dtype="float64")
    except ValueError:
        return False
    return len(numbers) == 5 and bool(np.isfinite(numbers).all())


def write_predictions(folder: str | Path, predictions: Mapping[Name, np.ndarray]) -> None:
    """Writes {(event, picture): (N, 5) x, y, w, h, score} in the official layout, coordinates to 1/1000 pixel, scores to nine digits."""
    for (event, image), rows in predictions.items():
        path = Path(folder) / on_disk(f"{event}/{image}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{x:.3f} {y:.3f} {w:.3f} {h:.3f} {score:.9g}\n" for x, y, w, h, score in rows.tolist()]
        path.write_bytes(to_bytes("".join([f"{event}/{image}.jpg\n", f"{len(rows)}\n", *lines])))


def in_order(predictions: Mapping[Name, np.ndarray], names: list[Name]) -> list[np.ndarray]:
    """The checked predictions of every picture in `names`; a picture without an entry counts as having no detections.

    Those pictures are logged in one warning, as they are rarely left out on purpose.

    Raises:
        DataError: a key that is not in `names`, or an array that is not (N, 5) of finite numbers.
    """
    known, found = set(names), {}
    for key, array in predictions.items():
        if not (isinstance(key, tuple) and len(key) == 2 and all(isinstance(part, str) for part in key)):
            raise DataError(f"{key!r}: expected predictions under (event, image name), as ('0--Parade', '0_Parade_Parade_0_102')")
        name = (key[0], key[1].removesuffix(".jpg"))
        if name not in known:
            raise DataError(f"{key[0]}/{key[1]}: this picture is not in the ground truth; check the event and the name")
        found[name] = checked(array, f"{key[0]}/{key[1]}")
    missing = ["/".join(name) for name in names if name not in found]
    if missing:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        log.warning("%d of %d pictures have no prediction and count as empty: %s", len(missing), len(names), some)
    return [found.get(name, np.zeros((0, 5))) for name in names]
