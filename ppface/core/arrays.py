"""Reads weight files, and pictures in pickles, without running anything that a file might hold."""

import pickle
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError, WeightsError

PADDLE_NAMES = "StructuredToParameterName@@"  # a table that paddle.save adds to a state dict
PLAIN_TYPE = re.compile(r"b1|[iu][1248]|f[248]")


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Every array of a `.safetensors` or `.pdparams` file by name.

    A `.pdparams` file is a pickle. It may name OrderedDict and NumPy's array and type, for which plain records stand in here;
    nothing else.

    Raises:
        WeightsError: a file that is missing, cut, of another kind, or that wants anything but arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: expected a weight file (.safetensors or .pdparams), but there is none")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".pdparams":
        return _read_pickle(path)
    raise WeightsError(f"{path}: expected a file that ends in .safetensors or .pdparams, received {path.suffix or 'no ending'!r}")


def read_pictures_and_flags(path: str | Path) -> tuple[list[bytes], np.ndarray]:
    """The content of a `.bin` set of pairs: encoded pictures, two a pair, and for each pair whether they show one person.

    The file is a pickle, of Python 2 or 3, of (list of bytes, list or NumPy array of bool). It may name what NumPy's arrays need, for
    which plain records stand in; nothing else.

    Raises:
        DataError: a file that is missing, cut, of another kind, or that wants anything but bytes and bools.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = _Reader(file, path, "bytes and bools", "bytes").load()
        if not isinstance(content, tuple | list) or len(content) != 2 or not isinstance(content[0], tuple | list):
            raise DataError(f"{path}: expected a pair of lists, encoded pictures and bools, received {type(content).__name__}")
        pictures, flags = content
        if isinstance(flags, _Array):
            flags = flags.array(path, "the second list").tolist()
    except DataError:
        raise
    except WeightsError as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot read it ({error.strerror}); expected a .bin set of pairs") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path}: not a whole .bin set of pairs ({error}); copy or download it again") from error
    for values, kind, name in ((pictures, bytes, "first"), (flags, bool, "second")):
        strange = next((value for value in values if type(value) is not kind), None) if isinstance(values, tuple | list) else values
        if strange is not None:
            raise DataError(f"{path}: expected {kind.__name__} alone in the {name} list, received {type(strange).__name__}")
    return list(pictures), np.array(flags, dtype=bool)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:  # Key and Type: element types NumPy does not have
        raise WeightsError(f"{path}: not a whole safetensors file of NumPy types ({error}); copy or download it again") from error


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        try:
            content = _Reader(file, path, "arrays").load()
        except WeightsError:
            raise
        except Exception as error:  # a damaged pickle can fail in any way
            raise WeightsError(f"{path}: not a whole Paddle weight file ({error}); copy or download it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a mapping of names to arrays, received {type(content).__name__}")
    content.pop(PADDLE_NAMES, None)
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, _Array):
            raise WeightsError(f"{path}: expected an array for every name, received {type(value).__name__} for {name!r}")
    return {name: value.array(path, name) for name, value in content.items()}


class _Type:
    """Stands for numpy.dtype: remembers the code and the byte order."""

    def __init__(self, code: str | bytes, *_: object):
        self.code, self.order = code if isinstance(code, str) else code.decode("latin1"), "|"  # Python 2 writes bytes

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1] if isinstance(state[1], str) else state[1].decode("latin1")


class _Array:
    """Stands for numpy.ndarray: remembers shape, type and bytes."""

    def __init__(self, *_: object):
        self.state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    @classmethod
    def from_buffer(cls, data: bytes, kind: _Type, shape: tuple, order: str) -> "_Array":
        made = cls()
        made.state = (1, shape, kind, order == "F", data)
        return made

    def array(self, path: Path, name: str) -> np.ndarray:
        try:
            _, shape, kind, columns_first, data = self.state
            if not PLAIN_TYPE.fullmatch(kind.code) or kind.order not in "<>|=":
                raise WeightsError(f"{path}: {name}: expected numbers, received the type {kind.code!r}")
            flat = np.frombuffer(data, dtype=np.dtype(kind.order + kind.code))
            return flat.reshape(shape, order="F" if columns_first else "C").astype(flat.dtype.newbyteorder("="), order="C")
        except (TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"{path}: {name}: damaged array ({error}); copy or download the file again") from error


class _Reader(pickle._Unpickler):
    """An unpickler that knows the globals below and no others.

    It is the one in Python: the one in C makes room for any memo number that a file names, so that ten bytes take 30 GB.
    """

    allowed = {
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),  # how protocol 2 writes bytes
    }
    for package in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
        allowed |= {(package, "ndarray"): _Array, (package, "dtype"): _Type, (package, "_reconstruct"): _Array}
    for package in ("numpy.core.numeric", "numpy._core.numeric"):
        allowed |= {(package, "_frombuffer"): _Array.from_buffer}  # how protocol 5 writes arrays

    def __init__(self, file, path: Path, expected: str, encoding: str = "ASCII"):
        super().__init__(file, encoding=encoding)
        self.path, self.expected = path, expected

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.allowed:
            raise WeightsError(f"{self.path}: expected {self.expected} alone, but the file wants {module}.{name}; it was not loaded")
        return self.allowed[module, name]

    def persistent_load(self, pid: object) -> object:
        raise WeightsError(
            f"{self.path}: expected {self.expected} alone, but the file refers to something outside itself; it was not loaded"
        )
