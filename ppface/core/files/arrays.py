"""Reads weight files, and pictures in pickles, without running any code that a file may contain."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ppface.core.errors import DataError, WeightsError
from ppface.core.files import mxnet_file, safetensors_file, state_dict, torch_file
from ppface.core.files.file_names import on_disk
from ppface.core.files.numpy_pickle import NUMPY, Array
from ppface.core.files.pickle_machine import Call, Machine, RefusedError, shown
from ppface.core.files.safe_unpickle import unpickle

PICKLES = (".pdparams", ".pdopt", ".bin", ".pth", ".pt", ".tar", ".ckpt")  # of Paddle or of PyTorch, told apart by their first bytes
MXNET = ".params"
ENDINGS = (".safetensors", *PICKLES, MXNET)


def read_arrays(path: str | Path, part: str | None = None, content: bytes | None = None) -> dict[str, np.ndarray]:
    """Every array of a weight file by name.

    `.safetensors`, MXNet's `.params`, and pickles of Paddle (`.pdparams`, `.pdopt`) and PyTorch (`.pth`, `.pt`, `.pth.tar`, `.ckpt`,
    `.bin`; no torch is needed). OrderedDict and the types that arrays consist of become plain records; all other classes and functions
    that a pickle refers to are neither imported nor called, and what stands for them is left out. Of a full checkpoint, only the arrays
    of the network are read; bfloat16 becomes float32.

    Args:
        path: the file.
        part: which arrays of a checkpoint that holds several networks, as "model.backbone".
        content: of a safetensors file that was already read and compared with its digest.

    Raises:
        WeightsError: a file that is missing, truncated, of another kind, or without arrays.
    """
    path = Path(on_disk(path))
    if content is None and not path.is_file():
        raise WeightsError(f"{path}: expected a weight file ({_either(ENDINGS)}), found none")
    if path.suffix not in ENDINGS:
        raise WeightsError(f"{path}: expected a file that ends in {_either(ENDINGS)}, received {path.suffix or 'no ending'!r}")
    if path.suffix in (".safetensors", MXNET) and part is not None:
        raise WeightsError(f"{path}: expected a pickle, as only those hold parts such as {part!r}; leave `part` out")
    if path.suffix == ".safetensors":
        return safetensors_file.unpack(path, path.read_bytes() if content is None else content)
    if path.suffix == MXNET:
        with path.open("rb") as file:
            return _checked(path, "not a valid MXNet weight file", "dense, named arrays", mxnet_file.read_mxnet, file)
    torch, length = is_torch(path), path.stat().st_size
    with path.open("rb") as file:
        kind = "PyTorch" if torch else "Paddle"
        content = _checked(path, f"not a valid {kind} weight file", "arrays", torch_file.read_torch if torch else _read_paddle, file)
        optimizer = path.suffix == ".pdopt" and part is None
        arrays = state_dict.optimizer_arrays(path, content) if optimizer else state_dict.network_arrays(path, content, part)
        return state_dict.to_numpy(path, arrays, length)


def is_torch(path: str | Path) -> bool:
    """Whether a weight file was written by `torch.save`, or by MXNet, which has the same layout of linear layers."""
    if Path(path).suffix == MXNET:
        return True
    with Path(path).open("rb") as file:
        return Path(path).suffix in PICKLES and torch_file.is_torch(file.read(64))


def _either(endings: tuple[str, ...]) -> str:
    return f"{', '.join(endings[:-1])} or {endings[-1]}"


def _read_paddle(file: IO[bytes]) -> Any:
    """Paddle writes a tensor as an array, or, in nested containers, as tuple((its name, the array))."""
    return unpickle(file, NUMPY | {(package, "tuple"): Call(_tensor) for package in ("builtins", "__builtin__")}, placeholders=True)


def _tensor(machine: Machine, pair: Any) -> Array:
    if type(pair) is not tuple or [type(value) for value in pair] != [str, Array]:
        raise RefusedError("refers to builtins.tuple, called in a way that no tensor needs")
    return pair[1]


def _checked(path: Path, broken: str, expected: str, read: Callable[[IO[bytes]], Any], file: IO[bytes]) -> Any:
    """What `read` returns for the file; any error becomes a WeightsError of one line."""
    try:
        return read(file)
    except RefusedError as error:
        raise WeightsError(f"{path}: expected only {expected}, but the file {error}; it was not loaded") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise WeightsError(f"{path}: {broken} ({shown(str(error), 200)}); copy or download it again") from error


def read_pictures_and_flags(path: str | Path) -> tuple[list[bytes], np.ndarray]:
    """The content of a `.bin` set of pairs: encoded pictures, two for each pair, and whether they show the same person.

    The file is a pickle, of Python 2 or 3, of (list of bytes, list or NumPy array of bool); old files hold arrays (n,) of uint8 instead
    of bytes, and 0 and 1 instead of bools. It may refer to the types of NumPy's arrays, which become plain records, and to nothing else.

    Raises:
        DataError: a file that is missing, truncated, of another kind, or that refers to anything but bytes and bools.
    """
    path = Path(on_disk(path))
    try:
        with path.open("rb") as file:
            content = _checked(path, "not a valid .bin set of pairs", "bytes and bools", _read_pairs, file)
        if not isinstance(content, tuple | list) or len(content) != 2 or not isinstance(content[0], tuple | list):
            raise DataError(f"{path}: expected a pair of lists, encoded pictures and bools, received {type(content).__name__}")
        pictures, flags = _without_arrays(path, content[0]), content[1]
        if isinstance(flags, Array):
            flags = state_dict.to_numpy(path, {"the second list": flags}, path.stat().st_size)["the second list"].tolist()
        if isinstance(flags, tuple | list):
            single = {str(i): flag for i, flag in enumerate(flags) if isinstance(flag, Array)}  # bools of NumPy
            converted = state_dict.to_numpy(path, single, path.stat().st_size)
            flags = [converted[str(i)].tolist() if str(i) in converted else flag for i, flag in enumerate(flags)]
            flags = [bool(flag) if type(flag) is int and flag in (0, 1) else flag for flag in flags]
    except WeightsError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot read it ({error.strerror}); expected a .bin set of pairs") from None
    for values, kind, name in ((pictures, bytes, "first"), (flags, bool, "second")):
        unexpected = [value for value in values if type(value) is not kind] if isinstance(values, tuple | list) else [values]
        if unexpected:
            raise DataError(f"{path}: expected only {kind.__name__} in the {name} list, received {type(unexpected[0]).__name__}")
    return list(pictures), np.array(flags, dtype=bool)


def _without_arrays(path: Path, pictures: tuple | list) -> list:
    """Bytes for every array (n,) of uint8; everything else unchanged. An array that occurs several times is converted once."""
    first = {id(value): i for i, value in reversed(list(enumerate(pictures))) if isinstance(value, Array)}
    records = {f"picture {i}": pictures[i] for i in sorted(first.values())}
    converted = {
        name: array.tobytes() if array.dtype == np.uint8 and array.ndim == 1 else array
        for name, array in state_dict.to_numpy(path, records, path.stat().st_size).items()
    }
    return [converted[f"picture {first[id(value)]}"] if id(value) in first else value for value in pictures]


def _read_pairs(file: IO[bytes]) -> Any:
    return unpickle(file, NUMPY, encoding="bytes")
