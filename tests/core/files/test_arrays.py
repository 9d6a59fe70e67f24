"""Weight files: what is read, and what is refused with one clear line."""

import contextlib
import os
import pickle
import pickletools
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest
from safetensors.numpy import save_file

from ppface.core.errors import DataError, UserError, WeightsError
from ppface.core.files.arrays import read_arrays, read_pictures_and_flags

ENDINGS = ".safetensors, .pdparams, .pdopt, .bin, .pth, .pt, .tar, .ckpt or .params"


@pytest.fixture
def arrays(rng):
    return OrderedDict(
        matrix=rng.normal(size=(3, 4)).astype("float32"),
        columns=np.asfortranarray(rng.normal(size=(5, 2))),
        scalar=np.array(7, "int64"),
        empty=np.zeros((0, 2), "float16"),
        bytes=rng.integers(0, 255, 6, dtype=np.uint8),
        flags=np.array([True, False]),
    )


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("spelling", ["numpy.core", "numpy._core"])
def test_pickled_arrays_come_back_equal(tmp_path, arrays, protocol, spelling):
    if protocol == 2:
        del arrays["empty"]  # written there with one more global, and no network has such an array
    names = {"StructuredToParameterName@@": {"matrix": "linear_0.w_0"}}
    path = write(tmp_path / "w.pdparams", OrderedDict(arrays, **names), protocol)
    if protocol < 4:  # text opcodes: the module's name can be exchanged as it stands
        path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", f"c{spelling}.multiarray\n".encode()))
        assert f"{spelling}.multiarray".encode() in path.read_bytes()
    got = read_arrays(path)
    assert list(got) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == array.dtype and got[name].flags.writeable


def test_other_byte_orders_are_turned(tmp_path):
    got = read_arrays(write(tmp_path / "w.pdparams", {"a": np.arange(4, dtype=">f4")}))["a"]
    assert got.dtype == np.dtype("float32") and got.tolist() == [0, 1, 2, 3]


def test_safetensors_come_back_equal(tmp_path, arrays):
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / "w.safetensors")
    got = read_arrays(tmp_path / "w.safetensors")
    assert set(got) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)


class Command:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (os.system, "posix.system at 'a'"),
        (eval, "builtins.eval at 'a'"),
        (tuple, "builtins.tuple, called in a way that no tensor needs"),
        (np.load, "numpy.load at 'a'"),
    ],
)
def test_no_other_global_is_ever_called(tmp_path, function, wanted):
    witness = tmp_path / "witness"
    path = write(tmp_path / "w.pdparams", {"a": Command(function, f"touch {witness}")})
    with pytest.raises(WeightsError) as error:
        read_arrays(path)
    assert str(error.value) == f"{path}: expected only arrays, but the file refers to {wanted}; it was not loaded"
    assert not witness.exists()


def test_persistent_references_are_refused(tmp_path):
    path = tmp_path / "w.pdparams"
    path.write_bytes(b"\x80\x04\x8c\x03abcQ.")
    with pytest.raises(WeightsError, match=r"^.*w\.pdparams: expected only arrays, but the file refers to an external object"):
        read_arrays(path)


def test_an_array_within_itself_is_refused(tmp_path):
    path = tmp_path / "w.pdparams"
    path.write_bytes(b"\x80\x04}\x8c\x01acnumpy.core.multiarray\n_reconstruct\n)R\x94h\x00bs.")
    with pytest.raises(WeightsError, match=r"w\.pdparams: a: damaged array \(.+\); copy or download the file again$"):
        read_arrays(path)


def test_arrays_of_objects_are_refused(tmp_path):
    path = write(tmp_path / "w.pdparams", {"a": np.array([1, "x"], dtype=object)})
    with pytest.raises(WeightsError) as error:
        read_arrays(path)
    assert str(error.value) == f"{path}: a: expected numbers, received the type 'O8'"


def test_every_cut_of_a_pickle_is_one_clear_error(tmp_path, arrays):
    whole = pickle.dumps(dict(arrays), protocol=4)
    assert pickletools.optimize(whole)
    path = tmp_path / "w.pdparams"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"w\.pdparams: not a valid Paddle weight file \(.*\); copy or download it again$"):
            read_arrays(path)


def test_an_array_with_too_few_bytes_is_named(tmp_path, arrays):
    whole = pickle.dumps({"a": np.zeros(16, "uint8")}, protocol=4)
    path = tmp_path / "w.pdparams"
    path.write_bytes(whole.replace(b"K\x10\x85", b"K\x11\x85"))  # says 17 elements
    with pytest.raises(WeightsError, match=r"w\.pdparams: a: damaged array \(.*\); copy or download the file again$"):
        read_arrays(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a mapping of names to arrays, received a list"),
        (np.zeros(2), "expected a mapping of names to arrays, received a single array"),
        ({}, "expected a mapping of names to arrays, received a mapping with no keys"),
        ({"epoch": 3}, "expected a mapping of names to arrays, received a mapping with epoch"),
        ({3: np.zeros(2)}, "expected a mapping of names to arrays, received a mapping with 3"),
        (
            {"detector": {"a": np.zeros(2)}, "embedder": {"b": np.ones(1), "c": np.ones(1)}},
            "expected the arrays of one network, found several: 'detector' (1 arrays), 'embedder' (2 arrays); "
            "choose one in a file of names, as `part: 'embedder'`",
        ),
    ],
)
def test_other_content_is_named(tmp_path, content, message):
    path = write(tmp_path / "w.pdparams", content)
    with pytest.raises(WeightsError) as error:
        read_arrays(path)
    assert str(error.value) == f"{path}: {message}"


def test_the_state_of_an_optimizer_gives_its_arrays(tmp_path):
    content = {
        "linear.weight_moment1_0": np.ones(2),
        "LR_Scheduler": {"last_epoch": 3, "last_lr": 0.1},
        "master_weights": {"linear.weight": np.zeros(2, "float32")},
        "StructuredToParameterName@@": {"a": "b"},
    }
    got = read_arrays(write(tmp_path / "w.pdopt", content))
    assert {name: array.tolist() for name, array in got.items()} == {
        "linear.weight_moment1_0": [1, 1],
        "master_weights.linear.weight": [0, 0],
    }
    with pytest.raises(WeightsError, match=r"w\.pdopt: expected a mapping of names to arrays, received a mapping with LR_Scheduler$"):
        read_arrays(write(tmp_path / "w.pdopt", {"LR_Scheduler": {"last_epoch": 3}}))


def test_paddles_own_files_come_back_equal(tmp_path):
    import paddle

    layer = paddle.nn.Linear(3, 2)
    adam = paddle.optimizer.Adam(parameters=layer.parameters())
    layer(paddle.ones([1, 3])).sum().backward()
    adam.step()
    for state, name in ((layer.state_dict(), "w.pdparams"), (adam.state_dict(), "w.pdopt"), (layer.state_dict(), "w.bin")):
        paddle.save(state, str(tmp_path / name))
        got = read_arrays(tmp_path / name)
        wanted = {key: value.numpy() for key, value in state.items() if isinstance(value, paddle.Tensor)}
        assert wanted and set(got) == set(wanted)
        for key, array in wanted.items():
            np.testing.assert_array_equal(got[key], array)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_whole_checkpoint_of_paddle_gives_the_arrays_of_its_network(tmp_path, protocol):
    import paddle

    layer, other = paddle.nn.Linear(3, 2), paddle.nn.Linear(1, 1)
    state = {f"_layers.{name}": value for name, value in layer.state_dict().items()}  # as of a data-parallel run
    adam = paddle.optimizer.Adam(parameters=layer.parameters())
    layer(paddle.ones([1, 3])).sum().backward()
    adam.step()
    path = tmp_path / "w.pdparams"
    paddle.save({"model": state, "optimizer": adam.state_dict(), "epoch": 3, "best": np.float64(0.5)}, str(path), protocol=protocol)
    for part in (None, "model"):
        got = read_arrays(path, part)
        assert set(got) == {"weight", "bias"}
        np.testing.assert_array_equal(got["weight"], layer.weight.numpy())
    paddle.save({"one": layer.state_dict(), "two": {"deep": other.state_dict()}}, str(path), protocol=protocol)
    np.testing.assert_array_equal(read_arrays(path, "two.deep")["bias"], other.bias.numpy())
    paddle.save(layer.weight, str(path), protocol=protocol)
    with pytest.raises(WeightsError, match=r"w\.pdparams: expected a mapping of names to arrays, received a single array$"):
        read_arrays(path)


def test_safetensors_have_no_parts(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": np.ones(1)}, path)
    with pytest.raises(WeightsError) as error:
        read_arrays(path, "model")
    assert str(error.value) == f"{path}: expected a pickle, as only those hold parts such as 'model'; leave `part` out"


def test_numbers_of_numpy_and_arrays_of_python_2(tmp_path):
    assert read_arrays(write(tmp_path / "w.pdparams", {"a": np.float32(2.5)}))["a"].tolist() == 2.5
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    kind = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    (tmp_path / "w.pdparams").write_bytes(b"(dS'a'\n" + array + b"(I1\n(I1\nt" + kind + b"I00\nS'\\x00\\x00\\xc0\\xbf'\ntbs.")
    assert read_arrays(tmp_path / "w.pdparams")["a"].tolist() == [-1.5]


@pytest.mark.parametrize("shape", [(-1,), (2, -2), [4], (True, 4), (4.0,)])
def test_shapes_that_are_none_are_refused(tmp_path, shape):
    class Forged:
        def __reduce__(self):
            return (*np.zeros(4, "uint8").__reduce__()[:2], (1, shape, np.dtype("uint8"), False, bytes(4)))

    path = write(tmp_path / "w.pdparams", {"a": Forged()})
    with pytest.raises(WeightsError) as error:
        read_arrays(path)
    assert str(error.value) == f"{path}: a: an invalid shape"


def test_one_array_under_many_names_is_far_larger_than_the_file(tmp_path):
    array = np.zeros(1 << 20, "uint8")
    path = write(tmp_path / "w.pdparams", {str(i): array for i in range(20)})
    with pytest.raises(WeightsError, match=r"w\.pdparams: 5: the arrays are far larger than the file$"):
        read_arrays(path)


@pytest.mark.parametrize("name", ["w.pdparams", "w.safetensors"])
def test_pictures_and_text_are_not_weights(tmp_path, name):
    for content in (b"", b"\xff\xd8\xff\xe0" + bytes(100), b"model:\n  name: FaceModel\n"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=rf"{name}: not a valid .*; copy or download it again$"):
            read_arrays(tmp_path / name)


def test_cut_safetensors_are_named(tmp_path, arrays):
    save_file({"matrix": arrays["matrix"]}, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-5])
    with pytest.raises(WeightsError, match=r"w\.safetensors: not a valid safetensors file \(.+\); copy or download it again$"):
        read_arrays(tmp_path / "w.safetensors")


def test_missing_files_and_other_endings_are_named(tmp_path):
    with pytest.raises(WeightsError) as error:
        read_arrays(tmp_path / "no.pdparams")
    assert str(error.value) == f"{tmp_path / 'no.pdparams'}: expected a weight file ({ENDINGS}), found none"
    path = write(tmp_path / "w.pkl", {})
    with pytest.raises(WeightsError) as error:
        read_arrays(path)
    assert str(error.value) == f"{path}: expected a file that ends in {ENDINGS}, received '.pkl'"


PICTURES = [b"\xff\xd8one", b"\x89PNG\r\n", b"3", b"\xff\xd8one"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "flags",
    [[True, False], (True, False), np.array([True, False]), list(np.array([True, False]))],
    ids=["list", "tuple", "array", "numpy bools"],
)
@pytest.mark.parametrize("outer", [tuple, list])
def test_pictures_and_flags_come_back(tmp_path, protocol, flags, outer):
    pictures, got = read_pictures_and_flags(write(tmp_path / "lfw.bin", outer([PICTURES, flags]), protocol))
    assert pictures == PICTURES
    assert got.dtype == bool and got.tolist() == [True, False]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("flags", [[1, 0], (1, False), np.array([1, 0]), np.array([1, 0], "uint8")])
def test_arrays_of_bytes_and_flags_of_0_and_1_come_back(tmp_path, protocol, flags):
    arrays = [np.frombuffer(picture, np.uint8) for picture in PICTURES[:3]]
    given = [arrays[0], PICTURES[1], arrays[2], arrays[0]]
    pictures, got = read_pictures_and_flags(write(tmp_path / "lfw.bin", (given, flags), protocol))
    assert pictures == PICTURES and all(type(picture) is bytes for picture in pictures)
    assert got.dtype == bool and got.tolist() == [True, False]


def test_one_array_at_many_places_is_one_picture(tmp_path):
    array = np.zeros(1 << 20, np.uint8)
    path = write(tmp_path / "lfw.bin", ([array] * 1000, [True] * 500))
    tracemalloc.start()
    pictures, _ = read_pictures_and_flags(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20 and len({id(picture) for picture in pictures}) == 1
    tracemalloc.stop()


def test_many_arrays_of_the_same_bytes_are_far_larger_than_the_file(tmp_path):
    """A file that gives its bytes once and makes a hundred arrays of them."""
    content = b"\x80\x05(](B" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20) + b"q\x010"
    content += b"cnumpy.core.numeric\n_frombuffer\nq\x020cnumpy\ndtype\n(U\x02u1tRq\x030"
    content += b"h\x02(h\x01h\x03(J\x00\x00\x10\x00tU\x01CtR" * 100 + b"e](" + b"\x88" * 50 + b"et."
    path = tmp_path / "lfw.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^.*lfw\.bin: picture 5: the arrays are far larger than the file"):
        read_pictures_and_flags(path)


def test_files_of_python_2_come_back(tmp_path):
    path = tmp_path / "lfw.bin"
    for strings, flags in ((b"U\x03\xff\xd8oU\x013", b"\x88\x89"), (b"S'\\xff\\xd8o'\nS'3'\n", b"I01\nI00\n")):
        path.write_bytes(b"\x80\x02](" + strings + b"e](" + flags + b"e\x86.")
        pictures, got = read_pictures_and_flags(path)
        assert pictures == [b"\xff\xd8o", b"3"] and got.tolist() == [True, False]
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    kind = b"cnumpy\ndtype\n(S'b1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    path.write_bytes(b"(](S'3'\ne" + array + b"(I1\n(I2\nt" + kind + b"I00\nS'\\x01\\x00'\ntbt.")
    assert read_pictures_and_flags(path)[1].tolist() == [True, False]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [(os.system, "posix.system"), (eval, "builtins.eval"), (bytearray, "builtins.bytearray"), (np.load, "numpy.load")],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_set_of_pairs_runs_nothing(tmp_path, function, wanted, protocol):
    witness = tmp_path / "witness"
    path = write(tmp_path / "lfw.bin", ([Command(function, f"touch {witness}")], [True]), protocol)
    with pytest.raises(DataError) as error:
        read_pictures_and_flags(path)
    wanted = wanted.replace("builtins", "__builtin__") if protocol == 2 else wanted
    assert str(error.value) == f"{path}: expected only bytes and bools, but the file refers to {wanted}; it was not loaded"
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2, 3], "expected a pair of lists, encoded pictures and bools, received list"),
        ({"a": 1}, "expected a pair of lists, encoded pictures and bools, received dict"),
        ((b"", [True]), "expected a pair of lists, encoded pictures and bools, received tuple"),
        ((["text"], [True]), "expected only bytes in the first list, received str"),
        ((PICTURES, [1, 2]), "expected only bool in the second list, received int"),
        ((PICTURES, np.array([-1, 0])), "expected only bool in the second list, received int"),
        ((PICTURES, [1.0, 0.0]), "expected only bool in the second list, received float"),
        ((PICTURES, np.array([[True, False]])), "expected only bool in the second list, received list"),
        (([np.zeros((2, 2), "uint8")], [True]), "expected only bytes in the first list, received ndarray"),
        (([np.zeros(2, "int8")], [True]), "expected only bytes in the first list, received ndarray"),
        (([b"1", np.zeros(2, object)], [True]), "picture 1: expected numbers, received the type 'O8'"),
        ((PICTURES, [None, False]), "expected only bool in the second list, received NoneType"),
        (([None, *PICTURES[1:]], [True, False]), "expected only bytes in the first list, received NoneType"),
        ((PICTURES, True), "expected only bool in the second list, received bool"),
        ((PICTURES, np.array([True, "x"], object)), "the second list: expected numbers, received the type 'O8'"),
        (([bytearray(b"abc")], [True]), "expected only bytes and bools, but the file refers to builtins.bytearray; it was not loaded"),
    ],
)
def test_a_set_of_pairs_holds_bytes_and_bools_alone(tmp_path, content, message):
    path = write(tmp_path / "lfw.bin", content)
    with pytest.raises(DataError) as error:
        read_pictures_and_flags(path)
    assert str(error.value) == f"{path}: {message}"


def test_every_cut_of_a_set_of_pairs_is_one_clear_error(tmp_path):
    whole = pickle.dumps((PICTURES, np.array([True, False])))
    path = tmp_path / "lfw.bin"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"lfw\.bin: not a valid \.bin set of pairs \(.*\); copy or download it again$"):
            read_pictures_and_flags(path)


def test_random_bytes_are_refused_or_read_but_never_more(tmp_path, rng):
    whole = bytearray(pickle.dumps((PICTURES, np.array([True, False])), protocol=4))
    path = tmp_path / "lfw.bin"
    for _ in range(1500):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            pictures, flags = read_pictures_and_flags(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert all(type(picture) is bytes for picture in pictures) and flags.dtype == bool


@pytest.mark.parametrize("read", [read_arrays, read_pictures_and_flags])
def test_a_few_bytes_cannot_ask_for_gigabytes(tmp_path, read):
    path = tmp_path / "w.pdparams"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x0f.")  # an empty mapping, remembered under the number 2 ** 28
    tracemalloc.start()
    with contextlib.suppress(UserError):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_a_missing_set_of_pairs_is_named(tmp_path):
    with pytest.raises(DataError) as error:
        read_pictures_and_flags(tmp_path / "no.bin")
    assert str(error.value) == f"{tmp_path / 'no.bin'}: cannot read it (No such file or directory); expected a .bin set of pairs"
