"""The machine for pickles: opcode by opcode as Python's own unpickler, and its message for each thing that it refuses."""

import argparse
import io
import pathlib
import pickle
import pickletools
import struct
from collections import OrderedDict

import pytest

from ppface.core.files.pickle_machine import MAX_OPCODES, Call, DamagedError, Foreign, RefusedError, shown
from ppface.core.files.safe_unpickle import OPCODES, PLAIN, REFUSED, unpickle

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


def test_every_opcode_of_python_is_known_or_refused():
    known = {code.code.encode("latin1") for code in pickletools.opcodes}
    assert set(OPCODES) | set(REFUSED) | {b"."} == known and not set(OPCODES) & set(REFUSED)
    names = {code.code.encode("latin1"): code.name for code in pickletools.opcodes}
    assert all(names[code] == name for code, name in REFUSED.items())


@pytest.mark.parametrize("code", REFUSED, ids=REFUSED.values())
def test_what_no_array_needs_is_refused(code):
    with pytest.raises(RefusedError) as error:
        value_of(b"]]" + code)
    assert str(error.value) == f"uses the pickle opcode {REFUSED[code]}"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"cos\nsystem\n", "refers to os.system"),
        (b"cos\nsystem\x1b[2J\n", "refers to os.system?[2J"),
        (b"c" + b"m" * 200 + b"\nf\n", f"refers to {'m' * 80}.f"),
        (b"\x8c\x02os\x8c\x06system\x93", "refers to os.system"),
        (b"(ios\nsystem\n", "refers to os.system"),
        (b"(icollections\nOrderedDict\n", "uses the pickle opcode INST"),
        (b"]]R", "calls a list"),
        (b"ccollections\nOrderedDict\n]R", "calls a Call"),
        (b"NQ", "refers to an external object"),
        (b"Pabc\n", "refers to an external object"),
        (b"]}b", "sets the state of a list"),
        (b"ccollections\nOrderedDict\n}b", "sets the state of a Call"),
    ],
)
def test_the_message_names_what_a_pickle_refers_to(payload, message):
    with pytest.raises(RefusedError) as error:
        value_of(payload + b".")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "1 bytes are announced, 0 are left"),
        (b"\xfe", "0xfe is not a pickle opcode"),
        (b"B\xff\xff\xff\x7fabc", "2147483647 bytes are announced, 3 are left"),
        (b"\x8e" + struct.pack("<Q", 2**63), f"{2**63} bytes are announced, 0 are left"),
        (b"T\xff\xff\xff\xffabc", "-1 bytes are announced, 3 are left"),
        (b"\x95" + struct.pack("<Q", 9) + b"N.", "9 bytes are announced, 2 are left"),
        (b"I12", "it ends within a line"),
        (b"I" + b"1" * 30 + b"\n", "a number of more than 64 bits"),
        (b"S'abc\n", "a string without quotes"),
        (b".", "it takes a value from an empty stack"),
        (b"q\x00", "it takes a value from an empty stack"),
        (b"2", "it takes a value from an empty stack"),
        (b"h\x07", "memo entry 7 is missing"),
        (b"t", "a mark is missing"),
        (b"}Na", "expected a list on the stack"),
        (b"]NNs", "expected a dict on the stack"),
        (b"}(Nu", "a key without a value"),
        (b"})Ns", "a mapping key that is not allowed, of type tuple"),
        (b"}\x88Ns", "a mapping key that is not allowed, of type bool"),
        (b"}J\xff\xff\xff\xffNs", "a mapping key that is not allowed, of type int"),
        (b"}X\x01\x01\x00\x00" + b"k" * 257 + b"Ns", "a mapping key that is not allowed, of type str"),
        (b"NN\x93", "a global without a name"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R", "bytes in another encoding than latin1"),
        (b"c_codecs\nencode\n\x94X\x32\x00\x00\x00" + b"a" * 50 + b"X\x06\x00\x00\x00latin1\x86\x94R" + b"h\x00h\x01R" * 3,
         "it expands to more bytes than it has"),
        (b"N" * (MAX_OPCODES + 1), "more than 500,000 opcodes"),
    ],
)  # fmt: skip
def test_the_message_names_what_is_wrong_with_a_pickle(payload, message):
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
    assert unpickle(io.BytesIO(b"NQPx\n\x86."), known, persistent_load=lambda reference: [reference]) == ([None], ["x"])


def test_text_of_files_is_shown_on_one_line():
    assert shown("a\nb\x1b\udc80c" * 100, 7) == "a?b??ca"


class Fields(dict):
    """Pickled as pytorch_lightning's AttributeDict: an object that is filled like a mapping."""


@pytest.mark.parametrize("protocol", range(2, 6))
def test_foreign_classes_become_placeholders_where_these_are_wanted(protocol):
    values = [Fields(a=1), {Fields: 0}, pathlib.PurePosixPath("a"), argparse.Namespace(b=2), {1, 2}, frozenset([3]), print, "kept"]
    file = pickle.dumps(values, protocol)
    fields, keyed, *others, kept = unpickle(io.BytesIO(file), PLAIN, placeholders=True)
    assert str(fields) == f"{__name__}.Fields" and [str(key) for key in keyed] == [str(fields)] and kept == "kept"
    assert all(type(value) is Foreign for value in [fields, *keyed, *others])
    with pytest.raises(RefusedError):
        value_of(file)


def test_nothing_happens_to_placeholders_and_to_what_they_are_part_of():
    opcodes = b"(cm\nF\nq\x000h\x00)Rh\x00(NtRh\x00N\x81h\x00N}\x92h\x00}bh\x00Nah\x00(NNeh\x00NNsh\x00(NNul."
    values = unpickle(io.BytesIO(opcodes), PLAIN, placeholders=True)
    assert len(values) == 9 and {str(value) for value in values} == {"m.F"}
    known = {("m", "f"): Call(lambda machine, *arguments: "called")}
    assert str(unpickle(io.BytesIO(b"cm\nf\nNcm\nF\n\x86R."), known, placeholders=True)) == "m.F"
    assert unpickle(io.BytesIO(b"cm\nf\nN\x85R."), known, placeholders=True) == "called"
    assert str(unpickle(io.BytesIO(b"Ncm\nF\n\x86Q."), known, lambda reference: "loaded", placeholders=True)) == "m.F"
    for payload, message in ((b"ccollections\nOrderedDict\n)\x81.", "makes an object of a Call"), (b"]cm\nF\n\x85R.", "calls a list")):
        with pytest.raises(RefusedError, match=message):
            unpickle(io.BytesIO(payload), PLAIN, placeholders=True)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_huge_number_is_a_placeholder_beside_arrays_and_refused_elsewhere(protocol):
    file = pickle.dumps([1 << 2040, -(1 << 100_000), {"seed": 1 << 2032}], protocol)
    first, second, third = unpickle(io.BytesIO(file), PLAIN, placeholders=True)
    assert str(first) == str(second) == "builtins.int" and third == {"seed": 1 << 2032}
    with pytest.raises(RefusedError, match="LONG4"):
        value_of(file)
    for length, message in ((b"\xff\xff\xff\x7f", "2147483647 bytes are announced, 1 are left"), (b"\xff" * 4, "-1 bytes")):
        with pytest.raises(DamagedError, match=message):
            unpickle(io.BytesIO(b"\x8b" + length + b"."), PLAIN, placeholders=True)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_keys_that_no_array_has_are_left_out_beside_placeholders(protocol):
    keyed = {None: 1, -1: 2, 0.5: 3, ("a", 1): 4, True: 5, b"b": 6, 2**40: 7, "x" * 257: 8, "kept": 9}
    file = pickle.dumps([keyed, OrderedDict(keyed)], protocol)
    assert unpickle(io.BytesIO(file), PLAIN, placeholders=True) == [{"kept": 9}] * 2
    with pytest.raises(DamagedError, match="a mapping key that is not allowed, of type NoneType"):
        value_of(file)
