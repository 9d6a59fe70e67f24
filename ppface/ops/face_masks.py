"""Masks over the cells of faces: which of n x n cells are hidden, and where each cell lies on a feature map. Pure NumPy."""

import numpy as np

FEATURES = {5: ([0, 1], [2], [3, 4]), 6: ([0, 1], [2], [3])}  # number of landmarks -> those of the eyes, the nose, the mouth
NEAR = 0.15  # of the face's width and height: cells as near as this to a landmark are hidden with it
UNKNOWN = -1


def hide_lowest(scores: np.ndarray, candidates: int, dropped: int, rng: np.random.Generator) -> np.ndarray:
    """Hides `dropped` cells, drawn from the `candidates` cells with the lowest scores of each face.

    Shape:
        (R, n, n) -> (R, n, n) float32, 0 where hidden, else 1
    """
    flat = scores.reshape(len(scores), -1)
    mask = np.ones(flat.shape, "float32")
    lowest = np.argsort(flat, axis=1, kind="stable")[:, :candidates]
    np.put_along_axis(mask, rng.permuted(lowest, axis=1)[:, :dropped], 0, axis=1)
    return mask.reshape(scores.shape)


def hide_halves(count: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Hides the left, right, upper or lower half of each face; of an odd number of rows or columns the middle one stays.

    Shape:
        -> (count, cells, cells) float32
    """
    half = cells // 2
    mask = np.ones((4, cells, cells), "float32")
    mask[0, :, :half] = mask[1, :, cells - half :] = mask[2, :half] = mask[3, cells - half :] = 0
    return mask[rng.integers(0, 4, count)]


def hide_landmarks(boxes: np.ndarray, points: np.ndarray, labelled: np.ndarray, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Hides the cells around the eyes, the nose or the mouth of each face; nothing of a face without labelled landmarks.

    Args:
        points: five or six landmarks of each face, in pixels, as in ppface/data/batch.py.

    Shape:
        (R, 4), (R, K, 2), (R,) bool -> (R, cells, cells) float32
    """
    mask = np.ones((len(boxes), cells, cells), "float32")
    middle = (np.arange(cells) + 0.5) / cells
    for row, (box, landmarks) in enumerate(zip(boxes, points, strict=True)):
        feature = FEATURES[points.shape[1]][rng.integers(3)]
        if not labelled[row]:
            continue
        for x, y in (landmarks[feature] - box[:2]) / (box[2:] - box[:2]):
            mask[row][np.hypot(middle[None] - x, middle[:, None] - y) <= NEAR] = 0
    return mask


def paste(masks: np.ndarray, image: np.ndarray, boxes: np.ndarray, step: int, size: tuple[int, int, int]) -> np.ndarray:
    """For every cell of a feature map the nearest entry of the mask of the face that it lies in, as an index into `masks.ravel()`.

    A cell lies in a face if its centre does. Where faces overlap, the entry with the lower value is taken, of equal ones the first.

    Args:
        masks: of each face.
        image: the row of each face's picture in the batch.
        boxes: the faces in pixels.
        step: pixels of a cell.
        size: (pictures, rows, columns) of the map.

    Shape:
        (R, n, n), (R,), (R, 4) -> (N, H, W) int64, `masks.size` outside of all faces
    """
    cells, none = masks.shape[1], masks.size
    values = np.append(masks.ravel(), np.inf)
    index = np.full(size, none, "int64")
    for row, (at, (x1, y1, x2, y2)) in enumerate(zip(image, boxes.astype("float64"), strict=True)):
        if x2 <= x1 or y2 <= y1:
            continue
        (top, bottom), (left, right) = _covered(y1, y2, step, size[1]), _covered(x1, x2, step, size[2])
        line = _nearest(np.arange(top, bottom), y1, y2, step, cells)
        column = _nearest(np.arange(left, right), x1, x2, step, cells)
        mine = row * cells * cells + line[:, None] * cells + column[None]
        there = index[at, top:bottom, left:right]
        lower = values[mine] < values[there]
        there[lower] = mine[lower]
    return index


def _covered(start: float, stop: float, step: int, count: int) -> tuple[int, int]:
    """First cell whose centre is in start..stop, and the first one after them."""
    first, last = (int(np.clip(np.ceil(edge / step - 0.5), 0, count)) for edge in (start, stop))
    return first, last


def _nearest(cells: np.ndarray, start: float, stop: float, step: int, parts: int) -> np.ndarray:
    """Which of the equal parts of start..stop the centre of each cell lies in."""
    return np.clip(((cells + 0.5) * step - start) / (stop - start) * parts, 0, parts - 1).astype(int)


def cell_labels(occlusion: np.ndarray, step: int, size: tuple[int, int]) -> np.ndarray:
    """Whether at least half of the known pixels of a cell are occluded.

    Args:
        occlusion: 1 for occluded pixels, 0 for others, 255 for unknown ones.
        step: pixels of a cell.
        size: (rows, columns) of the feature map; what reaches beyond the picture is unknown.

    Shape:
        (N, H, W) uint8 -> (N, rows, columns) int64: 0, 1, or UNKNOWN where more than half of the pixels are unknown
    """
    height, width = size[0] * step, size[1] * step
    padded = np.full((len(occlusion), height, width), 255, "uint8")
    part = occlusion[:, :height, :width]
    padded[:, : part.shape[1], : part.shape[2]] = part
    tiles = padded.reshape(len(occlusion), size[0], step, size[1], step)
    known, covered = (tiles != 255).sum(axis=(2, 4)), (tiles == 1).sum(axis=(2, 4))
    return np.where(2 * known < step * step, UNKNOWN, 2 * covered >= np.maximum(known, 1)).astype("int64")
