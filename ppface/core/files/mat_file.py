"""Reads variables of MATLAB's .mat files, in which several data sets keep their lists."""

from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk


def read(path: Path, *variables: str, origin: str) -> list[np.ndarray]:
    """The variables, as scipy lays them out: cells are arrays of objects.

    Args:
        path: the file.
        variables: their names.
        origin: where the file comes from, for messages.

    Raises:
        DataError: no such file, not a .mat file, or one without one of the variables.
    """
    from scipy.io import loadmat  # 0.3 s, so only when needed

    if not Path(on_disk(path)).is_file():
        raise DataError(f"{path}: no such file; expected it next to the other .mat files of {origin}")
    try:
        content = loadmat(on_disk(path), variable_names=variables)
        return [content[name] for name in variables]
    except KeyError as error:
        raise DataError(f"{path}: expected a variable {error}; take the file from {origin}") from error
    except Exception as error:  # a damaged file can fail in any way
        raise DataError(f"{path}: not a readable .mat file ({error}); take it from {origin} again") from error
