"""Ids of templates: whole numbers in any order and with gaps, and the rows in which they are."""

from collections.abc import Sequence

import numpy as np

from ppface.core.errors import DataError
from ppface.core.run.log import log

TABLE = 10_000_000  # ids that differ by less are looked up in a table


def whole(ids: np.ndarray, where: str) -> np.ndarray:
    """The ids as an array of integers, also of floats without fraction, as numpy.loadtxt gives them.

    Raises:
        DataError: anything else; `where` names the argument.
    """
    found = np.asarray(ids)
    if found.dtype.kind == "f" and (np.mod(found, 1) == 0).all():
        return found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise DataError(f"{where}: expected whole numbers as ids, received an array of {found.dtype}")
    return found


def rows_of(ids: np.ndarray, wanted: np.ndarray, where: str) -> np.ndarray:
    """The rows of ids, which are sorted; looked up in a table where they are dense, as a search takes 20 times as long.

    Raises:
        DataError: an id that is not there; `where` names the argument.
    """
    spread = int(ids[-1]) - int(ids[0]) + 1
    if spread <= TABLE:
        table = np.searchsorted(ids, np.arange(spread) + ids[0])
        rows = table[np.clip(wanted, ids[0], ids[-1]) - ids[0]]
    else:
        rows = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    if (missing := ids[rows] != wanted).any():
        raise DataError(f"{where}: template {wanted[missing][0]} has no images ({int(missing.sum())} such entries)")
    return rows


def warn_of_strangers(subjects: np.ndarray, galleries: Sequence[np.ndarray], where: str = "") -> None:
    """Warns of probes whose people are in no gallery."""
    if count := int((~np.isin(subjects, np.concatenate(galleries))).sum()):
        log.warning("%s%d of %d probes are of people in no gallery: they count as not enrolled", where, count, len(subjects))
