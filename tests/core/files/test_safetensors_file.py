"""Files that are laid out here, read by the library of the format; and the other way round."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from ppface.core.errors import WeightsError
from ppface.core.files.safetensors_file import HEADER, TYPES, pieces, unpack

FILE = Path("w.safetensors")


def content(arrays) -> bytes:
    return b"".join(pieces(arrays))


@pytest.fixture
def arrays(rng):
    return {
        "weight": rng.normal(size=(3, 5)).astype("float32"),
        "half": rng.normal(size=7).astype("float16"),
        "double": rng.normal(size=(2, 1, 2)),
        "step": np.array(7, "int64"),
        "one": np.float32(0.5),
        "flags": np.array([True, False, True]),
        "nothing": np.zeros((0, 4), "float32"),
        "bytes": np.arange(5, dtype="uint8"),
        "brain": np.arange(4, dtype="uint16"),  # how Paddle gives bfloat16 away
        "ümlaut/moment1": np.ones((1, 1), "int32"),
    }


def test_the_library_reads_every_type_and_shape_back(arrays):
    read = load(content(arrays))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(read[name], array, err_msg=name)


def test_it_is_as_long_as_the_library_makes_it_and_aligned(arrays):
    ours = content(arrays)
    assert len(ours) == len(save({name: np.asarray(array) for name, array in arrays.items()}))
    assert int.from_bytes(ours[:8], "little") % 8 == 0


def test_arrays_that_lie_otherwise_in_memory_are_the_same_in_the_file(rng):
    array = rng.normal(size=(6, 4)).astype("float32")
    odd = {"fortran": np.asfortranarray(array), "steps": array[::2, ::-1], "big": array.astype(">f4"), "turned": array.T}
    read = load(content(odd))
    for name, expected in odd.items():
        np.testing.assert_array_equal(read[name], expected, err_msg=name)


def test_no_arrays_are_a_file_too():
    assert load(content({})) == {}


def test_contiguous_arrays_are_not_copied(rng):
    array = rng.normal(size=(4, 4)).astype("float32")
    assert np.shares_memory(np.frombuffer(pieces({"a": array})[1], "float32"), array)


def test_a_type_that_the_format_lacks_is_a_mistake_of_the_program():
    with pytest.raises(AssertionError, match="x: safetensors has no type for complex128"):
        pieces({"x": np.zeros(2, "complex128")})


def test_what_the_library_writes_is_read_back(arrays):
    got = unpack(FILE, save({name: np.asarray(array) for name, array in arrays.items()}, {"format": "np"}))
    assert got.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (got[name].dtype, got[name].shape, got[name].flags.writeable) == (array.dtype, array.shape, True), name
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def file_of(kind: str, data: bytes, shape: list[int]) -> bytes:
    header = json.dumps({"x": {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_bfloat16_is_read_as_the_float32_of_the_same_value():
    values = np.array([[1.0, -2.5], [3e38, np.inf], [1e-30, -0.0]], "float32")
    halves = values.view("uint16").reshape(3, 2, 2)[..., 1]  # the upper half of each
    got = unpack(FILE, file_of("BF16", halves.tobytes(), [3, 2]))["x"]
    assert got.dtype == np.float32 and np.isinf(got[1, 1]) and np.signbit(got[2, 1])
    np.testing.assert_allclose(got, values, rtol=2**-7)


def test_types_that_nothing_here_can_hold_are_reported():
    with pytest.raises(WeightsError) as error:
        unpack(FILE, file_of("F8_E4M3", bytes(4), [2, 2]))
    assert str(error.value) == f"{FILE}: x: expected {', '.join(TYPES.values())}, received F8_E4M3; convert it to float32"


@pytest.mark.parametrize("shape", [[1] * 100, [2**62, 0, 2**62]])
def test_shapes_beyond_numpy_are_reported(shape):
    with pytest.raises(WeightsError, match=r"^w\.safetensors: not a valid safetensors file \(.+\); copy or download it again$"):
        unpack(FILE, file_of("U8", b"" if 0 in shape else b"\0", shape))


def test_a_header_of_a_million_arrays_is_refused_before_it_is_parsed():
    with pytest.raises(WeightsError) as error:
        unpack(FILE, (HEADER + 8).to_bytes(8, "little") + b" " * (HEADER + 8))
    assert str(error.value) == f"{FILE}: expected a safetensors file with a header of at most 4,194,304 bytes, received 4,194,312"
