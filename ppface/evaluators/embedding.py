"""Embeds the pictures of an evaluation, in parts that may be kept in a folder, so that an interrupted evaluation continues after them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk, to_bytes
from ppface.core.files.parts import kept
from ppface.core.run.log import log
from ppface.ops.embedding import outputs

PART = 1024  # pictures; at most as many are embedded again after an interruption
WHOLE = "embeddings.npz"


def cache_folder(cache: str, predict: Any, about: Sequence[object]) -> Path:
    """The folder in `cache` for the embeddings of one model and one list of pictures: it is named by a digest of both, so that those of
    another model are never taken.

    Args:
        cache: the parent folder.
        predict: a model with `identity()`, as runs, configs and exports have.
        about: all that the embeddings depend on besides the model.

    Raises:
        DataError: a model without identity, or a folder that cannot be made.
    """
    if not hasattr(predict, "identity"):
        raise DataError(f"cache: {cache}: expected a model with a method identity(), by which its embeddings are found again")
    text = "\n".join([predict.identity(), *map(str, about)])
    folder = Path(on_disk(cache)) / hashlib.sha256(to_bytes(text)).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot write here ({error.strerror}); choose another cache") from None
    log.info("embeddings are kept in %s", folder)
    return folder


def embed_all(
    predict: Callable,
    image: Callable[[int], np.ndarray],
    count: int,
    names: Sequence[str] = ("embedding",),
    flip: bool = False,
    batch_size: int = 64,
    folder: Path | None = None,
) -> Mapping[str, np.ndarray]:
    """Outputs of a model for `count` pictures.

    Args:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...}.
        image: i -> (H, W, 3) uint8, all of one size.
        count: pictures, >= 1.
        names: the outputs.
        flip: also the embedding of the mirrored pictures, as "flipped".
        batch_size: pictures per call of `predict`, > 0.
        folder: of `cache_folder`, where finished parts are kept and at the end all in one file, `embeddings.npz`; None keeps nothing.

    Shape:
        name -> (count, D) float32

    Raises:
        DataError: a model without one of the outputs, a broken picture, or a folder that cannot be written.
    """

    def whole() -> Mapping[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for start in range(0, count, PART):
            stop = min(start + PART, count)
            compute = partial(_part, predict, image, range(start, stop), names, flip, batch_size)
            part = kept(folder / f"{start:09d}.npz", compute, partial(_holds, rows=stop - start)) if folder else compute()
            for name, rows in part.items():
                arrays.setdefault(name, np.empty((count, rows.shape[1]), np.float32))[start:stop] = rows
            if 10 * stop // count > 10 * start // count:
                log.info("%d of %d pictures are embedded", stop, count)
        return arrays

    if folder is None:
        return whole()
    found = kept(folder / WHOLE, whole, partial(_holds, rows=count))
    for part in folder.glob("[0-9]*.npz"):
        part.unlink()
    return found


def _part(
    predict: Callable, image: Callable[[int], np.ndarray], indices: range, names: Sequence[str], flip: bool, batch_size: int
) -> dict[str, np.ndarray]:
    starts = range(0, len(indices), batch_size)
    found = [outputs(predict, [image(i) for i in indices[at : at + batch_size]], names, flip) for at in starts]
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


def _holds(arrays: Mapping[str, np.ndarray], rows: int) -> bool:
    return "embedding" in arrays and all(len(array) == rows for array in arrays.values())


def read_embeddings(path: str, count: int, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Stored embeddings: an .npz file such as `embed_all` writes, or one .npy array (N, D), which is "embedding".

    Raises:
        DataError: a file that cannot be read, lacks one of the names, or has another number of rows.
    """
    try:
        stored = np.load(on_disk(path), allow_pickle=False)
        if isinstance(stored, np.ndarray):
            arrays, inside = {"embedding": stored}, ["embedding"]
        else:
            with stored:
                inside = list(stored)
                arrays = {name: stored[name] for name in names if name in inside}
    except Exception as error:  # a damaged archive can fail in any way
        raise DataError(f"{path}: expected stored embeddings, .npz or .npy ({error})") from None
    if missing := [name for name in names if name not in arrays]:
        raise DataError(
            f"{path}: expected {', '.join(names)}, which these modes and this fusion need, received {', '.join(inside)}: {missing[0]} is "
            "missing: set others, or store the embeddings with these"
        )
    for name, array in arrays.items():
        if array.ndim != 2 or len(array) != count:
            raise DataError(f"{path}: expected {name} of {count} pictures (N, D), in the order of the list, received {array.shape}")
    return arrays
