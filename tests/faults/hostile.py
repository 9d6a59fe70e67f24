"""Hostile pickles and PyTorch files, one attack each. `command` is a shell command that leaves a witness file."""

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from tests.core.files.torch_writer import SYSTEM, Global, Storage, Tensor, Written, pickled, write_legacy, write_zip

PROTOCOL = b"\x80\x04"
MEGABYTE = 1 << 20
HARMLESS = ("hooks that are called",)  # attacks on what is never read, beside arrays that are sound


def text(content: str) -> bytes:
    raw = content.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def calls(module: str, name: str, *arguments: str) -> bytes:
    """module.name(*arguments)"""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(map(text, arguments)) + b"tR"


def named(value: bytes) -> bytes:
    """A complete pickle: a dict with one weight of this value."""
    return PROTOCOL + b"}" + text("conv.weight") + value + b"s."


def stacked(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def array(shape: bytes, kind: str, data: bytes) -> bytes:
    """A pickled NumPy array: shape as opcodes, dtype, data as opcodes."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    order = b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return made + b"(K\x01" + shape + b"cnumpy\ndtype\n" + text(kind) + b"K\x00K\x01\x87R" + order + b"\x89" + data + b"tb"


def data(raw: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(raw)) + raw


def executing(command: str) -> dict[str, bytes]:
    """Pickles that execute code in Python's own unpickler."""
    python = f"__import__('os').system({command!r})"
    return {
        "reduce of os.system": named(calls("os", "system", command)),
        "reduce of posix.system by STACK_GLOBAL": named(stacked("posix", "system") + text(command) + b"\x85R"),
        "reduce of subprocess.getoutput": named(calls("subprocess", "getoutput", command)),
        "eval": named(calls("builtins", "eval", python)),
        "eval of Python 2": b"\x80\x02" + calls("__builtin__", "eval", python) + b".",
        "exec": named(calls("builtins", "exec", python)),
        "getattr of an imported module": named(
            b"cbuiltins\ngetattr\n(" + calls("builtins", "__import__", "os") + text("system") + b"tR(" + text(command) + b"tR"
        ),
        "dotted name": named(stacked("shutil", "os.system") + text(command) + b"\x85R"),
        "dotted name of an allowed module": named(
            stacked("collections", "_sys.modules.get") + text("posix") + b"\x85R0" + calls("os", "system", command)
        ),
        "numpy's runstring": named(calls("numpy.f2py.crackfortran", "myeval", python)),
        "INST": b"(" + text(command) + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + text(command) + b"o.",
        "extension code": named(b"\x82\xf0" + text(command) + b"\x85R"),
        "BUILD that sets __setstate__": named(
            b"ctypes\nSimpleNamespace\n)R}" + text("__setstate__") + b"cos\nsystem\nsb" + text(command) + b"b"
        ),
        "reduce within a key": PROTOCOL + b"}" + calls("os", "system", command) + b"Ns.",
        "reduce within the state of an array": named(
            array(b"K\x01\x85", "f4", data(bytes(4)))[:-2] + calls("os", "system", command) + b"tb"
        ),
        "thrown away before the weights": PROTOCOL + calls("os", "system", command) + b"0}.",
        "map over a list": named(
            b"cbuiltins\nlist\n(cbuiltins\nmap\n(cos\nsystem\n]" + text(command) + b"atRtR"
        ),
        "partial": named(b"cfunctools\npartial\n(cos\nsystem\n" + text(command) + b"tR)R"),
        "runpy": named(calls("runpy", "_run_code", python)[:-2] + b"}tR"),
        "a debugger": named(calls("profile", "run", python)),
    }  # fmt: skip


def abusing() -> dict[str, bytes]:
    """Misuse of names and opcodes that are allowed or similar to allowed ones."""
    ordered = b"ccollections\nOrderedDict\n"
    return {
        "array of objects": named(array(b"K\x01\x85", "O8", b"]ccollections\nOrderedDict\na")),
        "array of pointers": named(array(b"K\x01\x85", "O8", data(b"A" * 8))),
        "array of records": named(array(b"K\x01\x85", "V16", data(bytes(16)))),
        "type with a forged order": named(array(b"K\x01\x85", "f4", data(bytes(4))).replace(text("<"), text("%s%s"))),
        "numpy.load": named(calls("numpy", "load", "/etc/passwd")),
        "numpy.memmap": named(calls("numpy", "memmap", "/etc/passwd")),
        "numpy.core.multiarray.fromfile": named(calls("numpy.core.multiarray", "fromfile", "/etc/passwd")),
        "namedtuple": named(calls("collections", "namedtuple", "a", "b")),
        "_codecs.lookup": named(calls("_codecs", "lookup", "idna")),
        "another codec": named(calls("_codecs", "encode", "abc", "idna")),
        "NEWOBJ": named(ordered + b")\x81"),
        "NEWOBJ_EX": named(ordered + b")}\x92"),
        "call of a type that is none": named(b"cnumpy\nndarray\nK\x04\x85R"),
        "call of a text": named(text("os.system") + b")R"),
        "call without a tuple": named(ordered + b"]R"),
        "BUILD of a class": named(ordered + b"}" + text("__init__") + b"Nsb"),
        "BUILD of a list": named(b"]}" + text("append") + b"Nsb"),
        "BUILD of slots": named(ordered + b")RN}" + text("__class__") + b"cnumpy\nndarray\ns\x86b"),
        "BUILD of an array with itself": named(b"cnumpy.core.multiarray\n_reconstruct\n)R\x94h\x00b"),
        "persistent id as text": PROTOCOL + b"Pos.system\n.",
        "persistent id": PROTOCOL + text("../../etc/passwd") + b"Q.",
        "persistent id of a persistent id": PROTOCOL + b"NQQ.",
        "set": named(b"\x8f"), "frozen set": named(b"(K\x01\x91"), "out-of-band buffer": named(b"\x97"),
        "name with line breaks": named(stacked("os\nerror: all is well", "x\x1b[2J" * 50)),
        "endless name": named(stacked("a" * MEGABYTE, "b" * MEGABYTE)),
        "surrogates": PROTOCOL + b"}X\x03\x00\x00\x00\xed\xb2\x80Ns.",
        "items of an OrderedDict that are none": named(ordered + text("abcd") + b"\x85R"),
    }  # fmt: skip


def claiming() -> dict[str, bytes]:
    """A few bytes that claim a large size."""
    size = struct.pack("<Q", 1 << 62)
    return {
        "BINBYTES8 of 2^62": named(b"\x8e" + size),
        "BINBYTES8 of 8 GB": named(b"\x8e" + struct.pack("<Q", 8 << 30)),
        "BINUNICODE8 of 2^62": named(b"\x8d" + size),
        "BYTEARRAY8 of 2^62": named(b"\x96" + size),
        "BINBYTES of 4 GB": named(b"B\xff\xff\xff\xff"),
        "BINUNICODE of 4 GB": named(b"X\xff\xff\xff\xff"),
        "BINSTRING of -1": named(b"T\xff\xff\xff\xff"),
        "LONG4 of 2 GB": named(b"\x8b\xff\xff\xff\x7f"),
        "FRAME of 2^62": PROTOCOL + b"\x95" + size + b"}.",
        "memo number of 2^32": named(b"Nr\xff\xff\xff\xff"),
        "memo number as text": named(b"Np" + b"9" * 5000 + b"\n"),
        "number of a million digits": named(b"I" + b"9" * MEGABYTE + b"\n"),
        "long of a million digits": named(b"L" + b"9" * MEGABYTE + b"L\n"),
        "float of a million digits": named(b"F" + b"9" * MEGABYTE + b"e\n"),
        "array of 10^12": named(array(number(10**12) + b"\x85", "f4", data(bytes(4)))),
        "array of 2^62 x 2^62": named(array(number(2**62) + number(2**62) + b"\x86", "f4", data(bytes(4)))),
        "array of -1": named(array(number(-2) + b"\x85", "f4", data(bytes(4)))),
        "array of 100,000 axes": named(array(b"(" + b"K\x01" * 100_000 + b"t", "f4", data(bytes(4)))),
        "protocol alone": PROTOCOL, "nothing": b"", "stop alone": b".", "cut in a number": PROTOCOL + b"J\x01",
        "cut in a name": PROTOCOL + b"cos\nsys", "no such instruction": PROTOCOL + b"\xfe.",
    }  # fmt: skip


def growing() -> dict[str, bytes]:
    """Small pickles that expand to large objects or take very long."""
    doubled = b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(60))
    lists = b"]\x940" + b"".join(b"]h" + bytes([i]) + b"ah" + bytes([i]) + b"a\x940" for i in range(60)) + b"h\x3c"
    collisions = b"".join(number(i * (2**61 - 1)) + b"N" for i in range(50_000))
    megabyte = text("a" * MEGABYTE)
    return {
        "lists in lists, 900,000 deep": named(b"]" * 450_000 + b"a" * 449_999),
        "tuples in tuples, 900,000 deep": named(b")" + b"\x85" * 900_000),
        "deep tuple as a key": PROTOCOL + b"})" + b"\x85" * 900_000 + b"Ns.",
        "mappings in mappings": PROTOCOL + (b"}" + text("a")) * 200_000 + b"N" + b"s" * 200_000 + b".",
        "placeholders as keys": PROTOCOL + b"}(" + b"cos\nsystem\nN" * 200_000 + b"u.",
        "one call with 100,000 arguments, 90,000 times": PROTOCOL + b"ccollections\nOrderedDict\n\x94(" + b"N" * 100_000 + b"t\x94"
        + b"0cos\nsystem\n\x94" + b"h\x02h\x01R0" * 90_000 + b".",
        "two million marks": PROTOCOL + b"(" * 2_000_000,
        "five million lists": PROTOCOL + b"]" * 5_000_000 + b".",
        "five million mappings": PROTOCOL + b"}" * 5_000_000 + b".",
        "five million mappings in the memo": PROTOCOL + b"}\x94" * 2_500_000 + b".",
        "two million OrderedDicts": PROTOCOL + b"ccollections\nOrderedDict\n\x940" + b"h\x00)R" * 2_000_000 + b".",
        "a list of itself": named(b"]\x94h\x00a"),
        "a mapping of itself": PROTOCOL + b"}\x94" + text("a") + b"h\x00s.",
        "a list within its own tuple": named(b"]\x94h\x00\x85a"),
        "2^60 laughs, tuples": named(b"N" + doubled),
        "2^60 laughs, as a key": PROTOCOL + b"}N" + doubled + b"Ns.",
        "2^60 laughs, lists": named(lists),
        "keys that collide": PROTOCOL + b"(" + collisions + b"d.",
        "one text encoded 5,000 times": named(
            b"](c_codecs\nencode\n\x94" + megabyte + text("latin1") + b"\x86\x94R" + b"h\x00h\x01R" * 5_000 + b"e"
        ),
        "one list made 20,000 mappings": named(
            b"](ccollections\nOrderedDict\n\x94(" + b"".join(text(f"{i:05}") + b"N\x86" for i in range(20_000))
            + b"l\x85\x94R" + b"h\x00h\x01R" * 20_000 + b"e"
        ),
        "one array under 5,000 names": PROTOCOL + b"}(" + text("a") + array(number(MEGABYTE) + b"\x85", "u1", data(bytes(MEGABYTE)))
        + b"\x94" + b"".join(text(f"{i}") + b"h\x00" for i in range(5_000)) + b"u.",
        "bytes of one array in 5,000": PROTOCOL + b"}(" + text("a") + data(bytes(MEGABYTE)) + b"\x94"
        + b"".join(text(f"{i}") + array(number(MEGABYTE) + b"\x85", "u1", b"h\x00") for i in range(5_000)) + b"u.",
        "long keys": PROTOCOL + b"}" + text("k" * MEGABYTE) + b"Ns.",
    }  # fmt: skip


def tensors() -> dict[str, object]:
    """Values that both PyTorch formats can store."""
    four = Storage(np.arange(4, dtype="float32"), key="4")
    twice: dict = {"a": Tensor(four, (4,), (1,))}
    for _ in range(60):
        twice = {"left": twice, "right": twice}
    system = Storage(np.arange(4, dtype="float32"), "system", key="4", module="os")
    return {
        "storage of the type os.system": {"a": Tensor(system, (4,), (1,))},
        "10^12 elements with stride 0": {"a": Tensor(four, (10**12,), (0,))},
        "10^12 elements in rows": {"a": Tensor(four, (10**6, 10**6), (0, 1))},
        "offset beyond the storage": {"a": Tensor(four, (4,), (1,), offset=2**40)},
        "stride beyond the storage": {"a": Tensor(four, (2,), (2**60,))},
        "negative stride": {"a": Tensor(four, (4,), (-1,), offset=3)},
        "negative offset": {"a": Tensor(four, (4,), (1,), offset=-2)},
        "sizes that overflow": {"a": Tensor(four, (2**62, 4), (0, 0))},
        "tensor of a tensor": {"a": Tensor(Tensor(four, (4,), (1,)), (4,), (1,))},  # type: ignore[arg-type]
        "5,000 spread tensors": {str(i): Tensor(four, (MEGABYTE,), (0,)) for i in range(5_000)},
        "5,000 networks": {str(i): {"a": Tensor(four, (4,), (1,))} for i in range(5_000)},
        "2^60 networks": twice,
        "class of a model": Global("models", "Net"),
        "a quantised tensor": {"a": Tensor(four, (4,), (1,), function="_rebuild_qtensor")},
        HARMLESS[0]: {"a": Tensor(four, (4,), (1,), last=(False, [Global("os", "system")]))},
    }


def zips(folder: Path) -> dict[str, Callable[[Path], object]]:
    """Damaged or forged zip files: write(path)."""
    four = Storage(np.arange(4, dtype="float32"), key="4")
    good = {"a": Tensor(four, (4,), (1,))}

    def added(path: Path, *names: str, kind: int = zipfile.ZIP_STORED, content: bytes = b"") -> None:
        stream = BytesIO(write_zip(path, good).read_bytes())
        with zipfile.ZipFile(stream, "a", kind) as archive:
            for name in names:
                archive.NameToInfo.pop(name, None)  # else zipfile warns of the duplicate name
                archive.writestr(name, content)
        path.write_bytes(stream.getvalue())

    def bomb(path: Path) -> None:
        stream = BytesIO()
        with (
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("archive/data.pkl", "w", force_zip64=True) as entry,
        ):
            for _ in range(400):
                entry.write(bytes(MEGABYTE))
        path.write_bytes(stream.getvalue())

    def replaced(path: Path, old: bytes, new: bytes, last: bool = False) -> None:
        whole = write_zip(path, good).read_bytes()
        assert old in whole
        place = whole.rindex(old) if last else whole.index(old)
        path.write_bytes(whole[:place] + new + whole[place + len(old) :])

    def lengthened(path: Path) -> None:
        """Every entry of the central directory claims 2 GB."""
        whole = bytearray(write_zip(path, good).read_bytes())
        place = whole.find(b"PK\x01\x02")
        while place >= 0:
            whole[place + 20 : place + 28] = struct.pack("<II", 2**31 - 1, 2**31 - 1)
            place = whole.find(b"PK\x01\x02", place + 1)
        path.write_bytes(whole)

    def crowded(path: Path) -> None:
        added(path, *(f"archive/{i}" for i in range(60_000)))

    def overlapping(path: Path) -> None:
        """3,000 storages of one megabyte each at the same offset of the file."""
        shared = Storage(np.zeros(MEGABYTE, "uint8"), key="0")
        names = {f"s{i:04}": Storage(shared.numbers, key=f"{i:04}") for i in range(3_000)}
        written = pickled({name: Tensor(storage, (MEGABYTE,), (1,)) for name, storage in names.items()}, legacy=False)
        written.storages.clear()
        stream = BytesIO(write_zip(path, written, **{"data/0000": bytes(MEGABYTE)}).read_bytes())
        with zipfile.ZipFile(stream, "a") as archive:
            entry = archive.getinfo("archive/data/0000")
            for i in range(1, 3_000):
                other = zipfile.ZipInfo(f"archive/data/{i:04}")
                other.header_offset, other.CRC = entry.header_offset, entry.CRC
                other.file_size = other.compress_size = MEGABYTE
                archive.filelist.append(other)
                archive.NameToInfo[other.filename] = other
            archive._didModify = True
        path.write_bytes(stream.getvalue())

    return {
        "zip bomb": bomb,
        "compressed entry": lambda path: added(path, "archive/x", kind=zipfile.ZIP_DEFLATED, content=bytes(MEGABYTE)),
        "entry that leads out": lambda path: added(path, "../../../../tmp/witness"),
        "entry with an absolute path": lambda path: added(path, "/tmp/witness"),
        "key that leads out": lambda path: write_zip(path, {"a": Tensor(Storage(four.numbers, key="../../x"), (4,), (1,))}),
        "two pickles of one name": lambda path: added(path, "archive/data.pkl", content=named(calls("os", "system", "true"))),
        "two pickles": lambda path: added(path, "other/data.pkl", content=named(calls("os", "system", "true"))),
        "storage missing": lambda path: write_zip(path, good, **{"data/4": None}),
        "storage too short": lambda path: write_zip(path, good, **{"data/4": bytes(8)}),
        "wrong byte order": lambda path: write_zip(path, good, byteorder=b"little; big"),
        "changed number": lambda path: replaced(path, np.float32(3).tobytes(), np.float32(5).tobytes()),
        "2 GB announced": lengthened,
        "60,000 entries": crowded,
        "3,000 entries at one place": overlapping,
        "list of entries cut": lambda path: path.write_bytes(write_zip(path, good).read_bytes()[:-30]),
        "list of entries elsewhere": lambda path: replaced(path, b"PK\x05\x06", b"PK\x05\x07", last=True),
        "head alone": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(60)),
        "a program of TorchScript": lambda path: write_zip(path, good, **{"constants.pkl": named(calls("os", "system", "true"))}),
    }  # fmt: skip


def legacies() -> dict[str, Callable[[Path], object]]:
    """Damaged or forged files of PyTorch's legacy format: write(path)."""
    four = Storage(np.arange(4, dtype="float32"), key="4")
    good = {"a": Tensor(four, (4,), (1,))}

    def head(*parts: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + b"".join(parts))

    laughs = b"\x80\x02N" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60)) + b"."
    return {
        "magic number alone": head(),
        "laughs for a protocol": head(laughs),
        "system in the system's description": head(pickle.dumps(1001, protocol=2), named(calls("os", "system", "true"))),
        "another protocol": lambda path: write_legacy(path, good, version=7),
        "keys that nothing has": lambda path: write_legacy(path, good, keys=["9"]),
        "no keys": lambda path: write_legacy(path, good, keys=[]),
        "one key twice": lambda path: write_legacy(path, good, keys=["4", "4"]),
        "keys that are none": lambda path: write_legacy(path, good, keys=[OrderedDict(), 3]),
        "storage of 2^60": lambda path: write_legacy(path, good, tail=struct.pack("<q", 1 << 60)),
        "storage of -1": lambda path: write_legacy(path, good, tail=struct.pack("<q", -1)),
        "storage cut": lambda path: write_legacy(path, good, tail=struct.pack("<q", 4) + bytes(7)),
        "storage of another size": lambda path: write_legacy(path, good, tail=struct.pack("<q", 3) + bytes(12)),
        "view beyond its storage": lambda path: write_legacy(
            path, {"a": Tensor(Storage(four.numbers, key="4", view=("5", 2, 2**40)), (4,), (1,))}
        ),
        "system in the keys": lambda path: path.write_bytes(
            write_legacy(path, good, tail=b"").read_bytes().replace(pickle.dumps(["4"], protocol=2), named(calls("os", "system", "true")))
        ),
        "description that is none": head(pickle.dumps(1001, protocol=2), pickle.dumps(list(SYSTEM), protocol=2)),
    }  # fmt: skip


def wrapped(payload: bytes) -> Written:
    """A pickle as the content of a PyTorch file."""
    return Written(payload)
