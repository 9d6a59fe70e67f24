"""Reads pickles into plain values without running their code: a pickle machine that implements a subset of the opcodes.

Python's unpickler imports and calls what a file names, allocates what a file announces, and hashes what a file nests. This one calls only
the functions that its caller lists, and the length of the file and `MAX_OPCODES` limit its time and memory.

Source of the opcodes: https://github.com/python/cpython/blob/3.12/Lib/pickletools.py.
"""

import codecs
from collections.abc import Callable
from typing import IO, Any

from ppface.core.files.pickle_machine import Call, DamagedError, Foreign, Globals, Machine, RefusedError, fill


def unpickle(
    file: IO[bytes],
    allowed: Globals,
    persistent_load: Callable[[Any], Any] | None = None,
    encoding: str = "latin1",
    placeholders: bool = False,
) -> Any:
    """The value of one pickle; nothing after its last byte is read.

    Args:
        file: at the pickle's first byte.
        allowed: (module, name) -> the replacement of this global; only a `Call` can be called.
        persistent_load: persistent id -> its value; None: such ids are refused.
        encoding: of the strings of Python 2; "bytes" keeps them as bytes.
        placeholders: globals that are not allowed, objects made with them, sets and huge numbers become a `Foreign`, which does nothing,
            and values under keys that are neither text nor small numbers are left out: checkpoints hold them beside the weights; otherwise
            they are refused.

    Raises:
        RefusedError: an opcode, a global or a persistent id that is not allowed.
        Exception: a damaged pickle can fail in any way.
    """
    machine = Machine(file, allowed, persistent_load, encoding, placeholders)
    known = OPCODES | PLACEHOLDERS if placeholders else OPCODES
    while (code := machine.take(1)) != b".":
        machine.opcodes.spend(1)
        execute = known.get(code)
        if execute is None:
            if code in REFUSED:
                raise RefusedError(f"uses the pickle opcode {REFUSED[code]}")
            raise DamagedError(f"0x{code.hex()} is not a pickle opcode")
        execute(machine)
    return machine.pop()


def _ordered(machine: Machine, items: Any = ()) -> dict:
    """OrderedDict, which Python 2 calls with all items."""
    machine.opcodes.spend(len(items))
    return fill({}, [value for key, item in items for value in (key, item)], machine.placeholders)


def _encode(machine: Machine, text: str, encoding: str) -> bytes:
    """`_codecs.encode`, by which protocols below 3 write bytes."""
    machine.copies.spend(len(text))
    if encoding != "latin1":
        raise DamagedError("bytes in another encoding than latin1")
    return text.encode("latin1")


PLAIN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Call(_ordered),
    ("_codecs", "encode"): Call(_encode),
    ("__builtin__", "bytes"): Call(lambda machine: b""),  # how protocols below 3 write empty bytes
}


def _integer(text: bytes) -> int:
    if len(text) > 24:
        raise DamagedError("a number of more than 64 bits")
    return int(text.removesuffix(b"L"))


def _integer_or_bool(text: bytes) -> int | bool:
    return text == b"01" if text in (b"00", b"01") else _integer(text)


def _quoted(text: bytes) -> bytes:
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in b"'\"":
        raise DamagedError("a string without quotes")
    return codecs.escape_decode(text[1:-1])[0]  # type: ignore[attr-defined]


def _instance(machine: Machine) -> None:
    """INST would call a global: it is always refused."""
    machine.push_global(machine.line().decode(), machine.line().decode())
    raise RefusedError("uses the pickle opcode INST")


def _frame(machine: Machine) -> None:
    """Skips the length of a frame, after checking that the file has as many bytes."""
    if (announced := machine.number("<Q")) > machine.left:
        raise DamagedError(f"{announced} bytes are announced, {machine.left} are left")


def _sized(form: str, make: Callable[[Machine, bytes], Any]) -> Callable[[Machine], object]:
    """An opcode followed by a length and as many bytes."""
    return lambda m: m.push(make(m, m.take(m.number(form))))


def _plain(_: Machine, raw: bytes) -> bytes:
    return raw


def _unicode(_: Machine, raw: bytes) -> str:
    return raw.decode()


def _long(_: Machine, raw: bytes) -> int:
    return int.from_bytes(raw, "little", signed=True)


def _large_number(machine: Machine) -> None:
    machine.take(machine.number("<i"))
    machine.push(Foreign("builtins", "int"))


def _frozen_set(machine: Machine) -> None:
    machine.marked()
    machine.push(Foreign("builtins", "frozenset"))


REFUSED = {  # no array needs these
    b"o": "OBJ", b"\x81": "NEWOBJ", b"\x92": "NEWOBJ_EX", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"\x8b": "LONG4",
    b"\x8f": "EMPTY_SET", b"\x90": "ADDITEMS", b"\x91": "FROZENSET", b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER",
}  # fmt: skip
PLACEHOLDERS: dict[bytes, Callable[[Machine], object]] = {  # those of REFUSED that push a placeholder, if the caller wants them
    b"\x81": lambda m: m.make(2),
    b"\x92": lambda m: m.make(3),
    b"\x8b": _large_number,  # of more than 255 bytes
    b"\x8f": lambda m: m.push(Foreign("builtins", "set")),
    b"\x90": lambda m: m.append(m.marked()),
    b"\x91": _frozen_set,
}
OPCODES: dict[bytes, Callable[[Machine], object]] = {
    b"\x80": lambda m: m.take(1),  # the protocol
    b"\x95": _frame,
    # single values
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"G": lambda m: m.push(m.number(">d")),
    b"\x8a": _sized("<B", _long),
    b"I": lambda m: m.push(_integer_or_bool(m.line())),
    b"L": lambda m: m.push(_integer(m.line())),
    b"F": lambda m: m.push(float(m.line())),
    # bytes and text
    b"C": _sized("<B", _plain),
    b"B": _sized("<I", _plain),
    b"\x8e": _sized("<Q", _plain),
    b"\x96": _sized("<Q", _plain),
    b"U": _sized("<B", Machine.text),
    b"T": _sized("<i", Machine.text),
    b"S": lambda m: m.push(m.text(_quoted(m.line()))),
    b"\x8c": _sized("<B", _unicode),
    b"X": _sized("<I", _unicode),
    b"\x8d": _sized("<Q", _unicode),
    b"V": lambda m: m.push(str(m.line(), "raw-unicode-escape")),
    # the stack
    b"(": Machine.mark,
    b"0": Machine.drop,
    b"1": Machine.marked,
    b"2": lambda m: m.push(m.peek()),
    # containers
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"\x85": lambda m: m.push(tuple(m.last(1))),
    b"\x86": lambda m: m.push(tuple(m.last(2))),
    b"\x87": lambda m: m.push(tuple(m.last(3))),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.marked()),
    b"a": lambda m: m.append(m.last(1)),
    b"e": lambda m: m.append(m.marked()),
    b"}": lambda m: m.push({}),
    b"d": lambda m: m.push(fill({}, m.marked(), m.placeholders)),
    b"s": lambda m: m.fill(m.last(2)),
    b"u": lambda m: m.fill(m.marked()),
    # the memo
    b"p": lambda m: m.remember(_integer(m.line())),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.recall(_integer(m.line())),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    # globals, calls and persistent ids
    b"c": lambda m: m.push_global(m.line().decode(), m.line().decode()),
    b"\x93": lambda m: m.push_global(*m.last(2)),
    b"i": _instance,
    b"R": Machine.call,
    b"b": Machine.build,
    b"Q": lambda m: m.push_persistent(m.pop()),
    b"P": lambda m: m.push_persistent(m.line().decode()),
}
