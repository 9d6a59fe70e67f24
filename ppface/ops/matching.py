"""SSD's matching of anchors to faces, in time proportional to the number of candidate pairs instead of all pairs.

Anchors of one width and height lie on a grid, so the overlap of a face with all of them is an outer product of overlaps along x and y.
This gives the best anchor of a face directly, and limits the anchors that can reach the threshold to a few rows and columns.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Anchors of one width and height.

    Args:
        width, height: of these anchors, pixels.
        x, y: (C,), (R,) centres of its columns and rows, ascending, pixels.
        index: (R, C) positions in the list of all anchors.
    """

    width: float
    height: float
    x: np.ndarray
    y: np.ndarray
    index: np.ndarray


IGNORED = -2  # an anchor that is neither positive nor background


def match(
    anchors: np.ndarray,
    size: tuple[int, int],
    boxes: np.ndarray,
    counts: np.ndarray,
    threshold: float,
    best_anchor_floor: float = 0.0,
    background_threshold: float | None = None,
) -> np.ndarray:
    """The face of every anchor, SSD, https://arxiv.org/abs/1512.02325, section 2.2.

    An anchor is assigned the face of the highest IoU (the first of equals) if that reaches `threshold`. Then every face is assigned to
    its best anchor, whatever the IoU, replacing an earlier assignment: of equal anchors the one nearest to the face's centre; of faces
    with the same best anchor the last one wins. A face without area, that overlaps no anchor, or whose best anchor has an IoU under
    `best_anchor_floor`, gets none.

    Args:
        anchors: centre x, y, width, height relative to `size`, all different.
        size: (height, width) in pixels.
        boxes: x1, y1, x2, y2 in pixels; rows from `counts` on are padding.
        counts: number of faces per image.
        threshold: IoU, > 0.
        best_anchor_floor: least IoU of a face with its best anchor, >= 0.
        background_threshold: anchors without a face whose highest IoU is at least this, at most `threshold`, are IGNORED; None: none is.

    Shape:
        anchors (A, 4), boxes (N, G, 4), counts (N,) -> (N, A) int64 row of the face in `boxes`, -1 for background, or IGNORED
    """
    anchors = np.ascontiguousarray(anchors, dtype="float32")
    image, row = _faces(boxes, counts)
    matched = np.full((len(boxes), len(anchors)), -1, dtype="int64")
    if not len(image):
        return matched
    x1, y1, x2, y2 = boxes[image, row].astype("float64").T
    best_iou, best = np.zeros(len(image)), np.zeros(len(image), dtype="int64")
    best_apart = np.full((2, len(image)), np.inf)  # distance from the face's centre, along y and x
    highest = np.zeros(matched.shape)
    lowest = background_threshold or threshold
    for grid in _grids(anchors.tobytes(), *size):
        along_x = _overlap(x1[:, None], x2[:, None], grid.x, grid.width)
        along_y = _overlap(y1[:, None], y2[:, None], grid.y, grid.height)
        areas = grid.width * grid.height + (x2 - x1) * (y2 - y1)
        column, line = _nearest(grid.x, (x1 + x2) / 2), _nearest(grid.y, (y1 + y2) / 2)
        face = np.arange(len(image))
        overlap = _iou(along_x[face, column], along_y[face, line], areas)
        apart = np.stack([np.abs(grid.y[line] - (y1 + y2) / 2), np.abs(grid.x[column] - (x1 + x2) / 2)])
        nearer = (apart[0] < best_apart[0]) | ((apart[0] == best_apart[0]) & (apart[1] < best_apart[1]))
        better = (overlap > best_iou) | ((overlap == best_iou) & (overlap > 0) & nearer)
        best_iou[better], best[better], best_apart[:, better] = overlap[better], grid.index[line, column][better], apart[:, better]
        face, line, column = _candidates(along_x, along_y, areas * lowest / (1 + lowest))
        overlap, anchor = _iou(along_x[face, column], along_y[face, line], areas[face]), grid.index[line, column]
        near, good = overlap >= lowest, overlap >= threshold
        matched[image[face[near]], anchor[near]] = IGNORED
        face, anchor, overlap = face[good], anchor[good], overlap[good]
        np.maximum.at(highest, (image[face], anchor), overlap)
        first = (overlap == highest[image[face], anchor]).nonzero()[0][::-1]  # written last: the first of equal faces
        matched[image[face[first]], anchor[first]] = row[face[first]]
    touched = (best_iou > 0) & (best_iou >= best_anchor_floor)
    matched[image[touched], best[touched]] = row[touched]
    return matched


def _faces(boxes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(image, row) of the boxes that are no padding and have an area."""
    real = (np.arange(boxes.shape[1]) < counts[:, None]) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    image, row = np.nonzero(real)
    return image, row


@lru_cache(maxsize=8)
def _grids(anchors: bytes, height: int, width: int) -> list[Grid]:
    """Groups anchors by width and height, and those of each group into rows and columns."""
    pixels = np.frombuffer(anchors, dtype="float32").reshape(-1, 4) * np.array([width, height, width, height], dtype="float64")
    pixels = np.round(pixels * 1024) / 1024  # so that rounding of the relative coordinates does not decide between equal anchors
    shapes, which = np.unique(pixels[:, 2:], axis=0, return_inverse=True)
    grids = []
    for i, (anchor_width, anchor_height) in enumerate(shapes):
        mine = np.flatnonzero(which.reshape(-1) == i)
        x, column = np.unique(pixels[mine, 0], return_inverse=True)
        y, line = np.unique(pixels[mine, 1], return_inverse=True)
        index = np.full((len(y), len(x)), -1, dtype="int64")
        index[line, column] = mine
        assert (index >= 0).sum() == len(mine), "two anchors are equal"
        # anchors of this size on two feature maps interleave: rows with the same columns make a grid without holes
        patterns, kind = np.unique(index >= 0, axis=0, return_inverse=True)
        for j, columns in enumerate(patterns):
            lines = np.flatnonzero(kind.reshape(-1) == j)
            grids.append(Grid(anchor_width, anchor_height, x[columns], y[lines], index[np.ix_(lines, columns)]))
    return grids


def _overlap(start: np.ndarray, end: np.ndarray, centre: np.ndarray, length: float) -> np.ndarray:
    """Length of the overlap of every face with every column (or row) of anchors."""
    return np.clip(np.minimum(end, centre + length / 2) - np.maximum(start, centre - length / 2), 0, None)


def _iou(along_x: np.ndarray, along_y: np.ndarray, areas: np.ndarray) -> np.ndarray:
    common = along_x * along_y
    return common / (areas - common)


def _nearest(centres: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Index of the centre nearest to each point, the first of equals; its overlap is the largest."""
    return np.abs(points[:, None] - centres).argmin(axis=1)


def _candidates(along_x: np.ndarray, along_y: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(face, row, column) of all pairs whose row and whose column could reach the `least` common area, face by face.

    Along an axis the overlap has one maximum, so these are one contiguous range of columns and one of rows.
    """
    columns = along_x * along_y.max(axis=1, keepdims=True) >= least[:, None]
    lines = along_y * along_x.max(axis=1, keepdims=True) >= least[:, None]
    wide, tall = columns.sum(axis=1), lines.sum(axis=1)
    count = wide * tall
    face = np.repeat(np.arange(len(count)), count)
    position = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return face, lines.argmax(axis=1)[face] + position // wide[face], columns.argmax(axis=1)[face] + position % wide[face]
