"""Files of PyTorch, written by hand in both layouts: what is read without torch, and what is refused with one clear line."""

import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest

from ppface.core.errors import WeightsError
from ppface.core.files.arrays import is_torch, read_arrays
from tests.core.files.torch_writer import WRITERS, Global, Parameter, Storage, Tensor, pickled, write_legacy, write_zip

ANY = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def refused(path: Path, part: str | None = None) -> str:
    """The one line, without the file's name."""
    with pytest.raises(WeightsError) as error:
        read_arrays(path, part)
    told = str(error.value)
    assert told.startswith(f"{path}: ") and "\n" not in told
    return told.removeprefix(f"{path}: ")


@ANY
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_every_type_comes_back_equal(tmp_path, rng, write, protocol, kind):
    array = rng.integers(0, 100, (3, 4)).astype(kind)
    path = write(tmp_path / "w.pth", OrderedDict(a=Tensor(array), one=Tensor(array[0, 0, ...]), none=Tensor(array[:0])), protocol)
    got = read_arrays(path)
    assert is_torch(path) and list(got) == ["a", "one", "none"]
    for name, wanted in (("a", array), ("one", array[0, 0]), ("none", array[:0])):
        np.testing.assert_array_equal(got[name], wanted)
        assert got[name].dtype == kind and got[name].shape == wanted.shape and got[name].flags.writeable


@ANY
@pytest.mark.parametrize("ending", [".pth", ".pt", ".pth.tar", ".bin"])
def test_the_ending_says_nothing_of_the_layout(tmp_path, write, ending):
    assert read_arrays(write(tmp_path / f"w{ending}", {"a": Tensor(np.arange(3))}))["a"].tolist() == [0, 1, 2]


@ANY
def test_bfloat16_becomes_float32(tmp_path, write):
    storage = Storage(np.array([0x3F80, 0xC000, 0x7F80, 0x0001], "uint16"), "BFloat16Storage")
    got = read_arrays(write(tmp_path / "w.pth", {"a": Tensor(storage, (4,), (1,)), "one": Tensor(storage, (), (), 1)}))
    assert got["a"].tolist() == [1, -2, np.inf, 2.0**-133]
    assert type(got["one"]) is np.ndarray and got["one"].tolist() == -2
    assert got["a"].dtype == got["one"].dtype == np.float32


@ANY
def test_views_parameters_and_shared_storages(tmp_path, write):
    numbers = np.arange(48, dtype="float32")
    whole, storage = numbers.reshape(6, 8), Storage(numbers)
    content = {
        "turned": Tensor(storage, (8, 6), (1, 8)),
        "steps": Tensor(storage, (2, 2), (16, 3), offset=10),
        "row": Tensor(storage, (8,), (1,), offset=24),
        "spread": Tensor(storage, (3, 2), (0, 1), offset=46),
        "parameter": Parameter(Tensor(storage, (6, 8), (8, 1), function="_rebuild_tensor", last=())),
    }
    got = read_arrays(write(tmp_path / "w.pth", content))
    wanted = {"turned": whole.T, "steps": whole[1:5:2, 2:8:3][:, :2], "row": whole[3], "spread": [[46, 47]] * 3, "parameter": whole}
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].flags.c_contiguous


def test_types_that_came_later(tmp_path):
    storage = Storage(np.arange(8, dtype="uint8"), "UntypedStorage", module="torch.storage")
    later = Tensor(storage, (2, 2), (2, 1), function="_rebuild_tensor_v3", last=(False, OrderedDict(), Global("torch", "uint16")))
    got = read_arrays(write_zip(tmp_path / "w.pth", {"a": later}))["a"]
    assert got.dtype == "uint16" and got.tolist() == [[0x0100, 0x0302], [0x0504, 0x0706]]


def test_the_byte_order_of_a_zip_file(tmp_path):
    got = read_arrays(write_zip(tmp_path / "w.pth", {"a": Tensor(np.arange(3, dtype="float32"))}, big=True))["a"]
    assert got.tolist() == [0, 1, 2]
    told = refused(write_zip(tmp_path / "w.pth", {"a": Tensor(np.arange(3))}, byteorder=b"middle\n"))
    assert told == (
        "not a valid PyTorch weight file (expected the byte order little or big, received b'middle\\n'); copy or download it again"
    )
    del_order = write_zip(tmp_path / "w.pth", {"a": Tensor(np.arange(3))}, byteorder=None)
    assert read_arrays(del_order)["a"].tolist() == [0, 1, 2]


def test_views_of_storages_in_legacy_files(tmp_path):
    numbers = np.arange(10, dtype="int64")
    part = Storage(numbers, key="7", view=("8", 4, 3))
    assert read_arrays(write_legacy(tmp_path / "w.pth", {"a": Tensor(part, (3,), (1,))}))["a"].tolist() == [4, 5, 6]
    for view in (("8", 8, 3), ("8", -1, 3), ("8", 4, -1)):
        part = Storage(numbers, key="7", view=view)
        assert "a view that reaches beyond its storage" in refused(write_legacy(tmp_path / "w.pth", {"a": Tensor(part, (1,), (1,))}))
    part = Storage(numbers, key="7", view=("8",))
    assert "a view of a storage without its offset" in refused(write_legacy(tmp_path / "w.pth", {"a": Tensor(part, (1,), (1,))}))


@ANY
def test_the_arrays_of_a_checkpoint_are_found(tmp_path, write):
    net = {"conv.weight": Tensor(np.ones(2)), "conv.bias": Tensor(np.zeros(2))}
    state = {"state": {0: {"exp_avg": Tensor(np.ones(2))}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
    for content in (
        {"state_dict": net, "optimizer": state, "epoch": 3, "best": (0.5, None), "args": {"lr": 0.1}},
        {"epoch": 1, "model": {f"module.{name}": array for name, array in net.items()}},
        {"checkpoint": {"net": OrderedDict(net)}, "rng": Tensor(np.ones(4, "uint8"))},
        net,
    ):
        got = read_arrays(write(tmp_path / "w.pth", content))
        assert list(got) == ["conv.weight", "conv.bias"] and got["conv.weight"].tolist() == [1, 1]


def test_which_of_several_networks_was_taken_is_reported(tmp_path, caplog):
    content = {"state_dict": {"a": Tensor(np.ones(1))}, "ema": {"a": Tensor(np.zeros(1))}}
    path = write_zip(tmp_path / "w.pth", content)
    with caplog.at_level("INFO", "ppface"):
        assert read_arrays(path)["a"].tolist() == [1]
    assert caplog.messages == [f"{path}: using the arrays at 'state_dict', of 'state_dict' (1 arrays), 'ema' (1 arrays)"]


class AttributeDict(dict):
    """As pytorch_lightning's: a mapping of its own class."""


@ANY
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_checkpoint_of_lightning_is_read_whatever_stands_beside_its_weights(tmp_path, write, protocol, caplog):
    """As pytorch_lightning 1.4 writes it: callbacks under their classes, schedulers with a Counter."""
    moments = {0: {"momentum_buffer": Tensor(np.ones((2, 3)))}}
    checkpoint = Global("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    content = {
        "epoch": 25,
        "pytorch-lightning_version": "1.4.4",
        "state_dict": OrderedDict({"model.fc.weight": Tensor(np.full((2, 3), 5.0)), "head.kernel": Tensor(np.ones((3, 4)))}),
        "callbacks": {checkpoint: {"best_model_score": Tensor(np.array(0.9)), "dirpath": Path("a")}},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "lr_schedulers": [{"milestones": Counter({12: 1, 20: 1}), "_last_lr": [0.1]}],
        "native_amp_scaling_state": {"scale": 65536.0},
        "hparams_name": "kwargs",
        "hyper_parameters": AttributeDict(arch="ir_18", devices={0, 1}),
    }
    got = read_arrays(write(tmp_path / "w.ckpt", content, protocol))
    assert list(got) == ["model.fc.weight", "head.kernel"] and (got["model.fc.weight"] == 5).all()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@ANY
def test_an_object_among_the_arrays_is_left_out_and_named(tmp_path, write, caplog):
    hooks = [Global("os", "system")]  # what a tensor would call is never read
    quantised = Tensor(np.ones(2), function="_rebuild_qtensor")
    content = {"a": Tensor(np.ones(2), last=(False, hooks)), "b": quantised, "note": AttributeDict(by="someone")}
    path = write(tmp_path / "w.ckpt", {"model": content, "config": AttributeDict(), "optimizer": {"a": Global("os", "system")}})
    assert list(read_arrays(path)) == ["a"]
    assert caplog.messages == [
        f"{path}: b: expected an array, received an object of torch._utils._rebuild_qtensor: it was left out",
        f"{path}: note: expected an array, received an object of {__name__}.AttributeDict: it was left out",
    ]


@ANY
def test_huge_numbers_and_arrays_of_text_are_left_out(tmp_path, write, caplog):
    names = np.array(["Ann", "Bob"])
    content = {"a": Tensor(np.ones(2)), "people": names, "raw": names.astype("S3"), "best": np.str_("x"), "seed": 1 << 3000, "epoch": 3}
    path = write(tmp_path / "w.pth", {"net": content, "people": {"names": names}})
    assert list(read_arrays(path)) == ["a"]
    kinds = {
        "people": "numpy.ndarray of text (U3)",
        "raw": "numpy.ndarray of text (S3)",
        "best": "numpy.ndarray of text (U1)",
        "seed": "builtins.int",
    }
    left_out = [f"{path}: {name}: expected an array, received an object of {kind}: it was left out" for name, kind in kinds.items()]
    assert caplog.messages == left_out
    with pytest.raises(WeightsError, match=r"refers to numpy\.ndarray of text \(U3\) at 'names'; it was not loaded"):
        read_arrays(write(tmp_path / "names.pth", {"names": names}))


@ANY
def test_a_prefix_of_some_names_stays(tmp_path, write):
    content = {"module.a": Tensor(np.ones(1)), "b": Tensor(np.ones(1))}
    assert list(read_arrays(write(tmp_path / "w.pth", content))) == ["module.a", "b"]


@ANY
def test_several_networks_are_distinguished_by_a_part(tmp_path, write):
    content = {"backbone": {"a": Tensor(np.ones(1)), "b": Tensor(np.ones(1))}, "head": {"a": Tensor(np.zeros(1))}, "epoch": 4}
    path = write(tmp_path / "w.pth", content)
    assert refused(path) == (
        "expected the arrays of one network, found several: 'backbone' (2 arrays), 'head' (1 arrays); "
        "choose one in a file of names, as `part: 'backbone'`"
    )
    assert read_arrays(path, "head")["a"].tolist() == [0]
    assert refused(path, "tail") == (
        "expected arrays at 'tail', as the file of names sets `part`, found 'backbone' (2 arrays), 'head' (1 arrays)"
    )


@ANY
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Tensor(np.ones(1)), "expected a mapping of names to arrays, received a single array"),
        ([Tensor(np.ones(1))], "expected a mapping of names to arrays, received a list"),
        ({"epoch": 3, "args": {"lr": 1}}, "expected a mapping of names to arrays, received a mapping with epoch, args"),
        ({}, "expected a mapping of names to arrays, received a mapping with no keys"),
        ({"a": Global("models", "Net")}, "expected only arrays, but the file refers to models.Net at 'a'; it was not loaded"),
        (Global("models", "Net"), "expected only arrays, but the file refers to models.Net; it was not loaded"),
    ],
)
def test_other_content_is_named(tmp_path, write, content, message):
    assert refused(write(tmp_path / "w.pth", content)) == message


@ANY
@pytest.mark.parametrize(
    ("sizes", "strides", "offset"),
    [
        ((5,), (1,), 0), ((2, 2), (3, 1), 0), ((1,), (1,), 4), ((4,), (1,), 1), ((2**40,), (1,), 0), ((2,), (2**62,), 0),
        ((1,), (1,), -1), ((2,), (-1,), 1), ((-1,), (1,), 0), ((2, 2), (1,), 0), ((2,), (1, 1), 0), (2, 1, 0), ((2.0,), (1,), 0),
        ((True,), (1,), 0), ((1,), (1,), None), ((1,) * 17, (1,) * 17, 0), ((10**12,), (0,), 0), ((10**6, 10**6), (0, 0), 0),
    ],
)  # fmt: skip
def test_tensors_stay_inside_their_storages(tmp_path, write, sizes, strides, offset):
    tensor = Tensor(Storage(np.arange(4, dtype="float32")), sizes, strides, offset)
    told = refused(write(tmp_path / "w.pth", {"good": Tensor(np.ones(1)), "odd": tensor}))
    reasons = (
        "it reaches beyond its storage", "invalid sizes or strides", "inconsistent sizes, strides and offset",
        "the arrays are far larger than the file",
    )  # fmt: skip
    assert told.removeprefix("odd: ") in reasons


@ANY
def test_many_spread_tensors_are_far_larger_than_the_file(tmp_path, write):
    storage = Storage(np.ones(1, "float32"))
    content = {str(i): Tensor(storage, (100_000,), (0,)) for i in range(100)}
    assert refused(write(tmp_path / "w.pth", content)).endswith(": the arrays are far larger than the file")


@ANY
def test_every_cut_is_one_clear_error(tmp_path, write):
    whole = write(tmp_path / "w.pth", {"a": Tensor(np.arange(9)), "b": Tensor(np.ones(2, "float32"))}).read_bytes()
    for length in range(0, len(whole), 5):
        (tmp_path / "w.pth").write_bytes(whole[:length])
        assert refused(tmp_path / "w.pth").endswith("; copy or download it again") or length >= len(whole) - 100


@ANY
def test_flipped_bytes_are_refused_or_read_but_never_more(tmp_path, rng, write):
    whole = write(tmp_path / "w.pth", {"a": Tensor(np.arange(9)), "model": {"b": Tensor(np.ones(2, "float32"))}}).read_bytes()
    for _ in range(1000):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 2):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "w.pth").write_bytes(damaged)
        try:
            got = read_arrays(tmp_path / "w.pth")
        except WeightsError as error:
            assert str(error).startswith(f"{tmp_path / 'w.pth'}: ") and "\n" not in str(error)
        else:
            assert all(type(array) is np.ndarray for array in got.values())


def test_a_changed_number_in_a_zip_file_is_noticed(tmp_path):
    path = write_zip(tmp_path / "w.pth", {"a": Tensor(np.full(4, 1234567))})
    path.write_bytes(path.read_bytes().replace((1234567).to_bytes(8, "little"), (1234568).to_bytes(8, "little"), 1))
    assert refused(path).startswith("a: damaged array (Bad CRC-32 for file 'archive/data/")


def test_zip_files_of_other_kinds(tmp_path):
    content = {"a": Tensor(np.arange(3))}
    other = "not a valid PyTorch weight file (expected a file of torch.save, with one data.pkl, received another zip file or a TorchScript program)"
    assert refused(write_zip(tmp_path / "w.pt", content, **{"constants.pkl": b"."})).startswith(other)
    assert refused(write_zip(tmp_path / "w.pt", content, **{"data.pkl": None})).startswith(other)
    missing = pickled(content, legacy=False)
    missing.storages.clear()
    assert "damaged array" not in refused(write_zip(tmp_path / "w.pt", missing)) and "is missing" in refused(tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled({}, legacy=False).pickle)
    assert "its entry archive/data.pkl is compressed or encrypted, which PyTorch never does" in refused(tmp_path / "w.pt")
    with zipfile.ZipFile(write_zip(tmp_path / "w.pt", content), "a") as archive:
        archive.writestr("archive/../../w", b"")
    assert "its entry archive/../../w has a path outside the archive" in refused(tmp_path / "w.pt")
    with zipfile.ZipFile(write_zip(tmp_path / "w.pt", content), "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", b"")
    assert "it has two entries of one name" in refused(tmp_path / "w.pt")
    storage = Storage(np.arange(3), key="k")
    path = write_zip(tmp_path / "w.pt", {"a": Tensor(storage, (3,), (1,))}, **{"data/k": bytes(16)})
    assert refused(path) == "a: a storage announces 24 bytes and has 16"


def test_legacy_files_that_do_not_fit_themselves(tmp_path):
    content = {"a": Tensor(Storage(np.arange(3), key="k"), (3,), (1,))}
    for keys in (["k", "k"], ["l"], [1], "k"):
        told = refused(write_legacy(tmp_path / "w.pth", content, keys=keys))
        assert told.startswith("not a valid PyTorch weight file (the list of its storages does not match its tensors)")
    assert refused(write_legacy(tmp_path / "w.pth", content, keys=[])) == "a: a storage is missing"
    told = refused(write_legacy(tmp_path / "w.pth", content, version=1002))
    assert told.startswith("not a valid PyTorch weight file (expected protocol 1001 of torch.save)")
    told = refused(write_legacy(tmp_path / "w.pth", content, tail=struct.pack("<q", 2**50)))
    assert "bytes are announced, 0 are left" in told
    tail = struct.pack("<q", 2) + bytes(16)
    assert refused(write_legacy(tmp_path / "w.pth", content, tail=tail)) == "a: a storage announces 24 bytes and has 16"


@ANY
def test_references_to_anything_but_storages_are_refused(tmp_path, write):
    for reference in (b"(X\x06\x00\x00\x00moduleNNNtQ", b"NQ", b"(X\x07\x00\x00\x00storagetQ", b"Pabc\n"):
        written = pickled({}, legacy=write is write_legacy)
        written.pickle = b"\x80\x02" + reference + b"."
        assert refused(write(tmp_path / "w.pth", written)) == (
            "expected only arrays, but the file refers to an external object other than a storage; it was not loaded"
        )
    written.pickle = b"\x80\x02(X\x07\x00\x00\x00storageNNNNtQ."
    assert "a storage without a type or a key" in refused(write(tmp_path / "w.pth", written)) or write is write_legacy


def test_conjugate_views_and_strange_tensors(tmp_path):
    storage = Storage(np.arange(3))
    path = write_zip(tmp_path / "w.pth", {"a": Tensor(storage, (3,), (1,), last=(False, OrderedDict(), {"neg": True}))})
    assert "a conjugate or negative view" in refused(path)
    assert "a tensor without a storage" in refused(write_zip(tmp_path / "w.pth", {"a": Tensor([1, 2], (2,), (1,))}))
    untyped = Storage(np.arange(8, dtype="uint8"), "UntypedStorage")
    assert refused(write_zip(tmp_path / "w.pth", {"a": Tensor(untyped, (8,), (1,))})) == "a: a tensor without a type"
