"""Pictures with bright rectangles for faces, a detector that finds them, and ground truth files in the official layout."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from ppface.data.pictures.picture import Picture


def brightest_parts(batch):
    """A detector: bounding boxes of the connected bright parts, the brightness as score. Sees one image at a time, whatever the batch."""
    assert batch["image"].dtype == np.uint8
    boxes, scores, count = [], [], []
    for image in batch["image"]:
        number, _, stats, _ = cv2.connectedComponentsWithStats((image[0] > 60).astype("uint8"))
        for x, y, w, h, _ in stats[1:]:
            boxes.append([x, y, x + w, y + h])
            scores.append(image[0, y : y + h, x : x + w].mean() / 255)
        count.append(number - 1)
    return {"boxes": np.array(boxes, "float32").reshape(-1, 4), "scores": np.array(scores, "float32"), "count": np.array(count, "int32")}


@pytest.fixture
def detector():
    return brightest_parts


@pytest.fixture
def paint():
    """(size, [[x1, y1, x2, y2, brightness], ...]) -> Picture."""

    def painted(size, faces, name="painted"):
        image = np.zeros((*size, 3), "uint8")
        for x1, y1, x2, y2, brightness in faces:
            image[y1:y2, x1:x2] = brightness
        return Picture.of(image, name)

    return painted


@dataclass
class OfficialFiles:
    """Ground truth of three pictures of two events, and how MATLAB lays such things out."""

    folder: Path
    names: list
    faces: list
    by_event: Callable


def cells(rows):
    """A column of MATLAB cells."""
    column = np.empty((len(rows), 1), dtype=object)
    for i, row in enumerate(rows):
        column[i, 0] = row
    return column


def by_event(values):
    return cells([cells(values[:2]), cells(values[2:])])


@pytest.fixture
def official(tmp_path):
    names = [("0--Parade", "a_1"), ("0--Parade", "a_2"), ("1--Handshaking", "b_1")]
    faces = [[[10, 10, 20, 20], [60, 60, 8, 8]], [[5, 5, 30, 30]], [[0, 0, 12, 12], [40, 0, 12, 12]]]
    counted = {"easy": [[1], [], [1]], "medium": [[1], [1], [1, 2]], "hard": [[1, 2], [1], [1, 2]]}
    folder = tmp_path / "ground_truth"
    folder.mkdir()
    labels = {"event_list": cells(["0--Parade", "1--Handshaking"]), "face_bbx_list": by_event([np.array(rows, "int32") for rows in faces])}
    labels["file_list"] = by_event([image for _, image in names])
    savemat(folder / "wider_face_val.mat", labels)
    for subset, numbers in counted.items():
        rows = [np.array(row, dtype="uint8").reshape(-1, 1) for row in numbers]
        savemat(folder / f"wider_{subset}_val.mat", {"gt_list": by_event(rows)})
    return OfficialFiles(folder, names, faces, by_event)
