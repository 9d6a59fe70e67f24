"""The machine for pickles: instruction by instruction as Python's own unpickler, and what it says of each thing that it does not do."""

import io
import pickle
import pickletools
import struct

import pytest

from ppface.core.files.pickle_machine import INSTRUCTIONS, Call, DamagedError, RefusedError, shown
from ppface.core.files.safe_unpickle import NEVER, PLAIN, STEPS, unpickle

VALUES = [
    None, True, False, 0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**63, -(2**63), 0.5, float("inf"), "", "a", "é€😀", "x" * 300,
    b"", b"\x00\xff", b"y" * 300, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [[], [1, [2]]], {}, {"a": 1}, {1: {"b": [None]}},
    {"a": ("b", b"c", 2.5), "d": [True, False]}, list(range(3000)), "line\nbreak \\ 'quoted'",
]  # fmt: skip


def value_of(payload: bytes, **options):
    return unpickle(io.BytesIO(payload), PLAIN, **options)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_those_of_python(protocol):
    for value in [*VALUES, VALUES]:
        got = value_of(pickle.dumps(value, protocol))
        assert got == value and repr(got) == repr(value)


def test_shared_values_stay_shared():
    shared = [1]
    one, other = value_of(pickle.dumps([shared, shared]))
    assert one is other


def test_only_one_pickle_is_read():
    file = io.BytesIO(pickle.dumps([1]) + pickle.dumps("next") + b"rest")
    assert unpickle(file, PLAIN) == [1] and unpickle(file, PLAIN) == "next" and file.read() == b"rest"


def test_every_instruction_of_python_is_known_or_refused():
    known = {code.code.encode("latin1") for code in pickletools.opcodes}
    assert set(STEPS) | set(NEVER) | {b"."} == known and not set(STEPS) & set(NEVER)
    names = {code.code.encode("latin1"): code.name for code in pickletools.opcodes}
    assert all(names[code] == name for code, name in NEVER.items())


@pytest.mark.parametrize("code", NEVER, ids=NEVER.values())
def test_what_no_array_needs_is_refused(code):
    with pytest.raises(RefusedError) as error:
        value_of(b"]]" + code)
    assert str(error.value) == f"uses the pickle instruction {NEVER[code]}"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"cos\nsystem\n", "wants os.system"),
        (b"cos\nsystem\x1b[2J\n", "wants os.system?[2J"),
        (b"c" + b"m" * 200 + b"\nf\n", f"wants {'m' * 80}.f"),
        (b"\x8c\x02os\x8c\x06system\x93", "wants os.system"),
        (b"(ios\nsystem\n", "wants os.system"),
        (b"(icollections\nOrderedDict\n", "uses the pickle instruction INST"),
        (b"]]R", "calls a list"),
        (b"ccollections\nOrderedDict\n]R", "calls a Call"),
        (b"NQ", "refers to something outside itself"),
        (b"Pabc\n", "refers to something outside itself"),
        (b"]}b", "sets the inside of a list"),
        (b"ccollections\nOrderedDict\n}b", "sets the inside of a Call"),
    ],
)
def test_what_a_pickle_wants_is_told(payload, message):
    with pytest.raises(RefusedError) as error:
        value_of(payload + b".")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "1 bytes are announced where 0 are left"),
        (b"\xfe", "0xfe is no instruction of a pickle"),
        (b"B\xff\xff\xff\x7fabc", "2147483647 bytes are announced where 3 are left"),
        (b"\x8e" + struct.pack("<Q", 2**63), f"{2**63} bytes are announced where 0 are left"),
        (b"T\xff\xff\xff\xffabc", "-1 bytes are announced where 3 are left"),
        (b"\x95" + struct.pack("<Q", 9) + b"N.", "9 bytes are announced where 2 are left"),
        (b"I12", "it ends within a line"),
        (b"I" + b"1" * 30 + b"\n", "a number of more than 64 bits"),
        (b"S'abc\n", "a string without quotes"),
        (b".", "it takes more values than it has"),
        (b"q\x00", "it takes more values than it has"),
        (b"2", "it takes more values than it has"),
        (b"h\x07", "value 7 is missing"),
        (b"t", "a mark is missing"),
        (b"}Na", "a list is missing"),
        (b"]NNs", "a dict is missing"),
        (b"}(Nu", "a key without a value"),
        (b"})Ns", "a strange key of a mapping, of type tuple"),
        (b"}\x88Ns", "a strange key of a mapping, of type bool"),
        (b"}J\xff\xff\xff\xffNs", "a strange key of a mapping, of type int"),
        (b"}X\x01\x01\x00\x00" + b"k" * 257 + b"Ns", "a strange key of a mapping, of type str"),
        (b"NN\x93", "a global without a name"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R", "bytes in another encoding than latin1"),
        (b"c_codecs\nencode\n\x94X\x32\x00\x00\x00" + b"a" * 50 + b"X\x06\x00\x00\x00latin1\x86\x94R" + b"h\x00h\x01R" * 3,
         "it unfolds to more bytes than it has"),
        (b"N" * (INSTRUCTIONS + 1), "more than 500,000 instructions"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pickle_is_told(payload, message):
    with pytest.raises(DamagedError) as error:
        value_of(payload)
    assert str(error.value) == message


def test_ordered_dicts_of_both_pythons():
    assert value_of(b"ccollections\nOrderedDict\n]]X\x01\x00\x00\x00aaK\x01aa\x85R.") == {"a": 1}
    assert value_of(b"ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb.") == {}  # attributes are left out


def test_strings_of_python_2():
    assert value_of(b"U\x02\xe9a.") == "éa" and value_of(b"U\x02\xe9a.", encoding="bytes") == b"\xe9a"
    assert value_of(b"S'\\xe9a'\n.", encoding="bytes") == b"\xe9a"


def test_only_what_is_listed_is_called():
    known = {("m", "f"): Call(lambda machine, a, b: (b, a)), ("m", "T"): "a type"}
    assert unpickle(io.BytesIO(b"cm\nf\ncm\nT\nN\x86R."), known) == (None, "a type")
    assert unpickle(io.BytesIO(b"NQPx\n\x86."), known, outside=lambda reference: [reference]) == ([None], ["x"])


def test_text_of_files_is_shown_on_one_line():
    assert shown("a\nb\x1b\udc80c" * 100, 7) == "a?b??ca"
