"""MXNet's `.params`: files written here byte by byte in each of the format's versions, and damaged ones."""

import struct

import numpy as np
import pytest

from ppface.core.errors import WeightsError
from ppface.core.files.arrays import read_arrays

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
CODES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7}


def one(array, version=V2, storage=0, kind=None):
    """An array as MXNet saves it; version None is the layout before versions."""
    axes = struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}{'I' if version is None else 'q'}", *array.shape)
    head = b"" if version is None else struct.pack("<I", version)
    head += struct.pack("<i", storage) if version in (V2, V3) else b""
    device = struct.pack("<ii", 2, 0)  # as saved from a GPU
    return head + axes + device + struct.pack("<i", CODES[array.dtype.name] if kind is None else kind) + array.tobytes()


def listed(parts, names, start=(0x112, 0)):
    words = [name.encode() if isinstance(name, str) else name for name in names]
    text = b"".join(struct.pack("<Q", len(word)) + word for word in words)
    return struct.pack("<QQQ", *start, len(parts)) + b"".join(parts) + struct.pack("<Q", len(words)) + text


def write(tmp_path, content):
    path = tmp_path / "model-0000.params"
    path.write_bytes(content)
    return path


def failure(path) -> str:
    with pytest.raises(WeightsError) as error:
        read_arrays(path)
    return str(error.value)


@pytest.mark.parametrize("version", [None, V1, V2, V3])
def test_every_version_and_type_is_read(version, rng, tmp_path):
    arrays = {f"arg:{name}": (rng.normal(size=(2, 3)) * 50).astype(name) for name in CODES}
    arrays["aux:bn_moving_mean"] = rng.normal(size=4).astype("float32")
    read = read_arrays(write(tmp_path, listed([one(array, version) for array in arrays.values()], arrays)))
    assert list(read) == [*CODES, "bn_moving_mean"]
    for name, array in zip(read, arrays.values(), strict=True):
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_plain_names_scalars_and_bfloat16(tmp_path):
    halves = np.array([0x3F80, 0xC000], "<u2")  # 1 and -2
    brain = struct.pack("<IiIqiii", V2, 0, 1, 2, 1, 0, 12) + halves.tobytes()
    read = read_arrays(write(tmp_path, listed([one(np.float32(7).reshape(()), V3), brain], ["weight", "brain"])))
    assert read["weight"].shape == () and read["weight"] == 7
    assert read["brain"].dtype == np.float32 and read["brain"].tolist() == [1, -2]


def test_a_file_cut_anywhere_gives_one_clear_line(tmp_path):
    content = listed([one(np.arange(6, dtype="float32").reshape(2, 3)), one(np.arange(3, dtype="int8"))], ["arg:a", "aux:b"])
    read_arrays(write(tmp_path, content))
    for length in range(len(content)):
        path = write(tmp_path, content[:length])
        message = failure(path)
        assert message.startswith(f"{path}: not a valid MXNet weight file (") and message.endswith("); copy or download it again")
        assert "\n" not in message and "is cut off" in message


A = np.zeros(2, "float32")
DAMAGED = [
    (listed([one(A)], ["a"], start=(0x113, 0)), "expected the start of an MXNet file, 0x112"),
    (listed([one(A)], ["a", "b"]), "expected a name for each of its 1 arrays, received 2"),
    (listed([one(A), one(A)], ["arg:a", "aux:a"]), "it has two arrays of the name 'a'"),
    (listed([one(A)], ["a"]) + b"xyz", "3 bytes follow the last name"),
    (listed([one(A, storage=3)], ["a"]), "array 0: expected storage type 0, received 3"),
    (
        listed([one(A, kind=99)], ["a"]),
        "array 0: expected a shape and a type of MXNet, received [2] and type 99",
    ),
    (
        listed([struct.pack("<IiIqiii", V2, 0, 1, -1, 1, 0, 0)], ["a"]),
        "array 0: expected a shape and a type of MXNet, received [-1] and type 0",
    ),
    (
        listed([struct.pack("<I", 0xF993FACB)], ["a"]),
        "array 0: expected 0xf993fac9, with which MXNet's arrays begin, received 0xf993facb",
    ),
    (listed([struct.pack("<IiI", V2, 0, 17)], ["a"]), "array 0: expected at most 16 axes, received 17"),
    (listed([one(A)], ["n" * 5000]), "expected names of at most 4096 bytes, received 5000"),
]


@pytest.mark.parametrize(("content", "reason"), DAMAGED)
def test_damaged_files_are_refused(content, reason, tmp_path):
    path = write(tmp_path, content)
    assert failure(path) == f"{path}: not a valid MXNet weight file ({reason}); copy or download it again"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (listed([], []), "has none"),
        (listed([one(A), one(A)], []), "has no names for its 2 arrays: save a dict of arrays with mxnet.nd.save"),
        (listed([one(A, storage=1)], ["a"]), "has a sparse one (array 0, row_sparse): save it as array.tostype('default') in MXNet"),
        (
            listed([one(A), struct.pack("<IiI", V2, 0, 0)], ["a", "b"]),
            "has an empty one (array 1): save a model whose parameters have their values",
        ),
    ],
)
def test_sound_files_with_other_arrays_say_what_to_do(content, reason, tmp_path):
    path = write(tmp_path, content)
    assert failure(path) == f"{path}: expected only dense, named arrays, but the file {reason}; it was not loaded"


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<QQQ", 0x112, 0, 1 << 60),
        listed([struct.pack("<IiIqqqiii", V2, 0, 3, 1 << 30, 1 << 30, 4, 1, 0, 0)], ["a"]),
        listed([one(A)], ["a"])[:-9] + struct.pack("<Q", 4000),
    ],
)
def test_nothing_is_reserved_for_what_a_file_only_announces(content, tmp_path):
    assert "are expected" in failure(write(tmp_path, content))


def test_only_a_pickle_has_parts(tmp_path):
    path = write(tmp_path, listed([one(A)], ["a"]))
    with pytest.raises(WeightsError, match=r"expected a pickle, as only those hold parts such as 'model'; leave `part` out"):
        read_arrays(path, part="model")
