"""The embeddings of a gallery in memory, and exact search among them."""

from typing import Any

import numpy as np

from ppface.ops.cpu.half import widen

BLOCK = 2048  # rows that are multiplied at a time: 4 MB of float32 for 512 numbers
GROUP = 512  # scores of which one maximum bounds the best ones
FIRST_ROWS = 1024


class Vectors:
    """Rows of unit vectors in one array that grows, in the order of enrolment.

    Args:
        size: numbers of a vector.
        dtype: "float32" or "float16".
    """

    def __init__(self, size: int, dtype: str):
        self.count = 0
        self._rows = np.zeros((FIRST_ROWS, size), dtype)
        self._owner = np.zeros(FIRST_ROWS, np.int64)
        self._image = np.zeros(FIRST_ROWS, np.int64)

    @property
    def rows(self) -> np.ndarray:
        return self._rows[: self.count]

    @property
    def owner(self) -> np.ndarray:
        """The person's number of each row."""
        return self._owner[: self.count]

    @property
    def image(self) -> np.ndarray:
        """The image's number of each row."""
        return self._image[: self.count]

    def extend(self, rows: list[bytes], owners: list[int], images: list[int]) -> None:
        """Adds rows by their bytes."""
        end = self.count + len(rows)
        if end > len(self._rows):
            length = max(end, 2 * len(self._rows) if self.count else 0)
            self._rows, self._owner, self._image = (_longer(array, length) for array in (self._rows, self._owner, self._image))
        self._rows[self.count : end] = np.frombuffer(b"".join(rows), self._rows.dtype).reshape(len(rows), self._rows.shape[1])
        self._owner[self.count : end], self._image[self.count : end] = owners, images
        self.count = end

    def keep(self, images: np.ndarray) -> None:
        """Drops the rows of other images, and overwrites them in memory."""
        stays = np.isin(self.image, images)
        left = int(stays.sum())
        for array in (self._rows, self._owner, self._image):
            array[:left] = array[: self.count][stays]
            array[left : self.count] = 0
        self.count = left


def is_unit(stored: bytes, size: int, dtype: str) -> bool:
    """Whether these bytes are a vector of length 1, but for the rounding of float16."""
    if len(stored) != size * np.dtype(dtype).itemsize:
        return False
    return abs(float(np.linalg.norm(np.frombuffer(stored, dtype).astype(np.float64))) - 1) < 0.01  # False for NaN too


def mean(sums: np.ndarray) -> np.ndarray:
    """(P, D) float64 sums of people's unit vectors -> their directions, float32; vectors that cancel have none and stay zero."""
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(length > 0, length, 1)).astype(np.float32)


def _longer(array: np.ndarray, length: int) -> np.ndarray:
    longer = np.zeros((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def scores(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(N, D), (Q, D) float32 -> (Q, N) float32 cosines of unit vectors."""
    if rows.dtype == np.float32 and len(queries) == 1:
        return (rows @ queries[0])[None]  # several times as fast as a product with a single column
    found, block = np.empty((len(queries), len(rows)), np.float32), np.empty((BLOCK, rows.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        if rows.dtype == np.float16:
            widen(part, block[: len(part)])
            part = block[: len(part)]
        if len(queries) == 1:
            np.matmul(part, queries[0], out=found[0, start : start + len(part)])
        else:
            found[:, start : start + len(part)] = queries @ part.T
    return found


def best(rows: np.ndarray, owner: np.ndarray, queries: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each query the rows of the k most similar people, the best row of each, and its scores; of equal scores the earlier row.

    Scores of the candidates are computed again in float64, one row at a time, so that they depend neither on the number of queries nor
    on threads, and equal vectors have equal scores. A sum of D float32 products of unit vectors is wrong by less than D * 2^-24 (Higham
    2002, Accuracy and Stability of Numerical Algorithms, section 3.1): candidates are taken from twice that below, so none is missed.

    Shape:
        (N, D), (N,), (Q, D) float32 -> Q times (K,), (K,) float64, K = min(k, people)
    """
    if not len(rows):
        return [(np.zeros(0, np.int64), np.zeros(0))] * len(queries)
    return [_best_people(rows, owner, query, rough, k) for query, rough in zip(queries, scores(rows, queries), strict=True)]


def _best_people(rows: np.ndarray, owner: np.ndarray, query: np.ndarray, rough: np.ndarray, k: int) -> Any:
    wanted, margin = k, 2 * rows.shape[1] * 2.0**-24
    while True:
        found = np.flatnonzero(rough >= _bound(rough, wanted) - margin)
        exact = (rows[found].astype(np.float64) * query).sum(axis=1)
        order = np.lexsort((found, -exact))
        found, exact = found[order], exact[order]
        _, first = np.unique(owner[found], return_index=True)
        if len(first) >= k or len(found) == len(rows):
            chosen = np.sort(first)[:k]
            return found[chosen], exact[chosen]
        wanted *= 4


def _bound(rough: np.ndarray, wanted: int) -> float:
    """A number that at least so many scores reach: the maxima of groups are searched, as there are fewer of them."""
    values = np.maximum.reduceat(rough, np.arange(0, len(rough), GROUP))
    if wanted > len(values):
        values = rough
    return float(np.partition(values, len(values) - wanted)[len(values) - wanted]) if wanted <= len(values) else -np.inf
