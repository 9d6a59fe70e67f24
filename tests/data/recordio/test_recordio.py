"""RecordIO: files that another hand packed, byte by byte; files that are cut, hostile or of another index; and our own writer's."""

import pickle
import struct
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data.recordio import record_file, record_index
from ppface.data.recordio.record_file import RecordFile
from ppface.data.recordio.record_writer import RecordWriter

MAGIC = bytes.fromhex("0a23d7ce")


def part(flag, data):
    return MAGIC + struct.pack("<I", flag << 29 | len(data)) + data + b"\0" * (-len(data) % 4)


def record(label, data, key=0):
    """One record as the format's description says, cut wherever the magic number stands at a multiple of 4."""
    if isinstance(label, list):
        body = struct.pack("<IfQQ", len(label), 0.0, key, 0) + struct.pack(f"<{len(label)}f", *label) + data
    else:
        body = struct.pack("<IfQQ", 0, label, key, 0) + data
    parts, last = [], b""
    for at in range(0, len(body), 4):
        if body[at : at + 4] == MAGIC:
            parts.append(last)
            last = b""
        else:
            last += body[at : at + 4]
    parts.append(last)
    flags = [0] if len(parts) == 1 else [1] + [2] * (len(parts) - 2) + [3]
    return b"".join(part(flag, data) for flag, data in zip(flags, parts, strict=True))


def write(path, records, keys=None, index=True):
    offsets = np.cumsum([0, *map(len, records)])[:-1].tolist()
    path.write_bytes(b"".join(records))
    keys = range(len(records)) if keys is None else keys
    if index:
        path.with_suffix(".idx").write_text("".join(f"{key}\t{offset}\n" for key, offset in zip(keys, offsets, strict=True)))
    return path


@pytest.fixture
def pictures(rng):
    """(bytes, label) of seven pictures of three people; lengths of every remainder by 4, and one that holds the magic number thrice."""
    data = [b"\xff\xd8\xff" + rng.bytes(int(length)) for length in (40, 41, 42, 43, 1, 900, 60)]
    data[3] = b"\xff\xd8\xff\xe0" + MAGIC + b"abcd" + MAGIC + MAGIC + b"xy"
    return list(zip(data, [0, 0, 0, 1, 1, 2, 2], strict=True))


@pytest.fixture
def faces(pictures, tmp_path):
    """The layout of faces_emore."""
    records = [record([8.0, 11.0], b"")] + [record(float(label), data, key) for key, (data, label) in enumerate(pictures, 1)]
    records += [record([float(first), float(last)], b"") for first, last in ((1, 4), (4, 6), (6, 8))]
    return write(tmp_path / "train.rec", records)


def test_the_layout_of_faces_emore(faces, pictures):
    read = RecordFile(str(faces))
    assert len(read) == 7 and [read[i] for i in range(7)] == pictures
    assert read.labels().tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert len(read.identities) == 3 and read.ranges().tolist() == [[0, 3], [3, 5], [5, 7]]
    assert read.name(2) == f"{faces}: record 3"
    for place in (7, -1):
        with pytest.raises(IndexError, match=f"picture {place} of 7"):
            read[place]
    for place in (slice(0, 2), 1.0):
        with pytest.raises(TypeError, match="object cannot be interpreted as an integer"):
            read[place]


def test_without_record_0_every_record_is_a_picture(pictures, tmp_path):
    read = RecordFile(write(tmp_path / "plain.rec", [record(float(label), data) for data, label in pictures]))
    assert [read[i] for i in range(len(read))] == pictures and read.ranges().shape == (0, 2)


def test_labels_may_be_arrays_whose_first_counts(pictures, tmp_path):
    read = RecordFile(write(tmp_path / "arrays.rec", [record([float(label), 7.0, 9.0], data) for data, label in pictures]))
    assert [read[i] for i in range(len(read))] == pictures and read.labels().tolist() == [label for _, label in pictures]


def test_a_folder_is_no_record_file(tmp_path):
    with pytest.raises(DataError) as refusal:
        RecordFile(tmp_path)
    assert str(refusal.value) == f"{tmp_path}: expected a .rec file, received a folder"


def test_numbers_that_float32_cannot_hold_do_not_stop_a_large_file(faces, monkeypatch):
    """Glint360K has 17 million pictures: its ranges are rounded. Here every number from 4 on may be."""
    monkeypatch.setattr(record_file, "EXACT", 4)
    changed(faces, offset_of(faces, 10) + 32, struct.pack("<ff", 8.0, 9.0))
    assert RecordFile(faces).ranges().tolist() == [[0, 3], [3, 5], [7, 8]]
    changed(faces, 32, struct.pack("<f", 9.0))
    assert len(RecordFile(faces)) == 8  # one too many: the first identity, which is a broken picture


def test_a_record_0_that_counts_identities_instead_of_ranges(pictures, tmp_path):
    records = [record([8.0, 3.0], b"")] + [record(float(label), data) for data, label in pictures]
    read = RecordFile(write(tmp_path / "own.rec", records))
    assert [read[i] for i in range(len(read))] == pictures and len(read.identities) == 0


def test_keys_in_any_order_with_gaps(pictures, tmp_path):
    records = [record(float(label), data) for data, label in pictures]
    order = [3, 0, 6, 1, 5, 2, 4]
    read = RecordFile(write(tmp_path / "mixed.rec", [records[i] for i in order], keys=[10 * i + 5 for i in order]))
    assert [read[i] for i in range(7)] == pictures and read.name(6) == f"{tmp_path}/mixed.rec: record 65"


def test_an_index_of_another_hand(faces, pictures):
    lines = faces.with_suffix(".idx").read_text().splitlines()
    faces.with_suffix(".idx").write_text("\r\n".join(line.replace("\t", " ") for line in lines))  # blanks, and no newline at the end
    assert [RecordFile(faces)[i] for i in range(7)] == pictures


def test_an_index_longer_than_a_chunk(faces, pictures, monkeypatch):
    monkeypatch.setattr(record_index, "CHUNK", 5)
    assert [RecordFile(faces)[i] for i in range(7)] == pictures


def test_without_an_index_the_file_is_gone_through(faces, pictures, caplog):
    faces.with_suffix(".idx").unlink()
    with caplog.at_level("WARNING", "ppface"):
        read = RecordFile(faces)
    assert [read[i] for i in range(len(read))] == pictures and len(read.ranges()) == 3


def test_threads_processes_and_pickles_share_one_object(faces, pictures):
    read, indices = RecordFile(faces), list(range(7)) * 20
    again = pickle.loads(pickle.dumps(read))  # our own object, in this process
    assert [again[i] for i in range(7)] == pictures
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read.__getitem__, indices)) == pictures * 20
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(read.__getitem__, indices)) == pictures * 20


# --- what is wrong ------------------------------------------------------------------------------------------------


def opened_and_read(path):
    read = RecordFile(path)
    return [read[i] for i in range(len(read))], read.labels(), read.ranges()


def changed(path, at, data):
    text = path.read_bytes()
    path.write_bytes(text[:at] + data + text[at + len(data) :])


def offset_of(path, key):
    return int(path.with_suffix(".idx").read_text().splitlines()[key].split()[1])


def cut_by_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_in_the_last_record(path):
    path.write_bytes(path.read_bytes()[:-3])


WRONG = {  # case: what is done to the file, and the answer
    "cut": (
        cut_by_half,
        "{idx}: expected multiples of 4 that lie in the {size} bytes of train.rec, received {beyond}: the .rec is truncated, or this index belongs to another file",
    ),
    "cut in the last record": (cut_in_the_last_record, "{rec}: record 10: the file ends within this record: it is truncated"),
    "an index that points outside": (
        lambda path: path.with_suffix(".idx").write_text("0\t0\n1\t4000000000\n"),
        "{idx}: expected multiples of 4 that lie in the {size} bytes of train.rec, received 4000000000 on line 2: the .rec is truncated, or this index belongs to another file",
    ),
    "an index that points between": (
        lambda path: path.with_suffix(".idx").write_text("0\t0\n1\t8\n"),
        "{rec}: record 1: expected the start of a record at byte 8: damaged, or the index of another file",
    ),
    "an index that is cut": (
        lambda path: path.with_suffix(".idx").write_text("".join(path.with_suffix(".idx").read_text().splitlines(True)[:4])),
        "{rec}: record 0: expected 7 pictures according to its labels, received 3 in the index: is it truncated?",
    ),
    "an index of words": (
        lambda path: path.with_suffix(".idx").write_text("0\t0\none\t8\n"),
        "{idx}:2: expected a line 'key offset' of two whole numbers, received 'one\\t8'",
    ),
    "an index of one column": (
        lambda path: path.with_suffix(".idx").write_text("0\t0\n1\n2 4\t4\n"),
        "{idx}:2: expected a line 'key offset' of two whole numbers, received '1'",
    ),
    "an index of large numbers": (
        lambda path: path.with_suffix(".idx").write_text(f"0\t0\n1\t{'9' * 30}\n"),
        None,
    ),
    "a key that is negative": (lambda path: path.with_suffix(".idx").write_text("0\t0\n-1\t0\n"), "{idx}: expected keys of at least 0, received -1"),
    "a key that comes twice": (lambda path: path.with_suffix(".idx").write_text("1\t0\n1\t0\n"), "{idx}: expected each key once, received 1 twice"),
    "an empty index": (lambda path: path.with_suffix(".idx").write_bytes(b""), "{idx}: an empty index"),
    "no file": (lambda path: path.unlink(), "{rec}: cannot read it: No such file or directory"),
    "another magic number": (
        lambda path: changed(path, offset_of(path, 2), b"abcd"),
        "{rec}: record 2: expected the start of a record at byte {second}: damaged, or the index of another file",
    ),
    "a length beyond the file": (
        lambda path: changed(path, offset_of(path, 2) + 4, struct.pack("<I", (1 << 29) - 1)),
        "{rec}: record 2: the file ends within this record: it is truncated",
    ),
    "a part that nothing begins": (
        lambda path: changed(path, offset_of(path, 2) + 4, struct.pack("<I", 2 << 29 | 4)),
        "{rec}: record 2: expected the start of a record at byte {second}: damaged, or the index of another file",
    ),
    "a part that nothing ends": (
        lambda path: changed(path, offset_of(path, 2) + 4, struct.pack("<I", 1 << 29 | 65)),
        "{rec}: record 2: expected the start of a record at byte {third}: damaged, or the index of another file",
    ),
    "no room for a header": (
        lambda path: changed(path, offset_of(path, 2) + 4, struct.pack("<I", 5)),
        "{rec}: record 2: expected a header of 24 bytes, received 5",
    ),
    "more labels than bytes": (
        lambda path: changed(path, offset_of(path, 2) + 8, struct.pack("<I", 1 << 31)),
        "{rec}: record 2: expected 2147483648 labels according to its header, received 68 bytes",
    ),
    "half a label": (
        lambda path: changed(path, offset_of(path, 2) + 12, struct.pack("<f", 1.5)),
        "{rec}: record 2: expected a whole number as label, received 1.5",
    ),
    "no label": (
        lambda path: changed(path, offset_of(path, 2) + 12, struct.pack("<f", float("nan"))),
        "{rec}: record 2: expected a whole number as label, received nan",
    ),
    "a header that counts nothing": (
        lambda path: changed(path, 32, struct.pack("<f", float("-inf"))),
        "{rec}: record 0: expected the number of pictures, received the labels [-inf, 11.0]",
    ),
    "a header of more pictures than float32 counts": (
        lambda path: changed(path, 32, struct.pack("<ff", 2.0**24, 2.0**24 + 8)),
        "{rec}: record 0: expected 16777215 pictures according to its labels, received 10 in the index: is it truncated?",
    ),
    "a header of very many pictures": (
        lambda path: changed(path, 32, struct.pack("<ff", 2.0**100, 2.0**101)),
        f"{{rec}}: record 0: expected {2**100 - 1} pictures according to its labels, received 10 in the index: is it truncated?",
    ),
    "a header of no number": (
        lambda path: changed(path, 32, struct.pack("<f", float("nan"))),
        "{rec}: record 0: expected the number of pictures, received the labels [nan, 11.0]",
    ),
    "a header of half a picture": (
        lambda path: changed(path, 32, struct.pack("<f", 7.5)),
        "{rec}: record 0: expected the number of pictures, received the labels [7.5, 11.0]",
    ),
    "a header of fewer than no identities": (
        lambda path: changed(path, 36, struct.pack("<f", -11.0)),
        "{rec}: record 0: expected the number of pictures, received the labels [8.0, -11.0]",
    ),
    "a header of more identities than there are": (
        lambda path: changed(path, 36, struct.pack("<f", 12.0)),
        "{rec}: record 0: expected 12 records according to its labels, received 11 in the index: is it truncated?",
    ),
    "a header of fewer identities than there are": (
        lambda path: changed(path, 36, struct.pack("<f", 10.0)),
        "{rec}: record 0: expected 10 records according to its labels, received 11 in the index: is it truncated?",
    ),
    "a header of identities that are not there": (
        lambda path: path.with_suffix(".idx").write_text("".join(path.with_suffix(".idx").read_text().splitlines(True)[:8])),
        "{rec}: record 0: expected 11 records according to its labels, received 8 in the index: is it truncated?",
    ),
    "a header that takes an identity for a picture": (
        lambda path: changed(path, 32, struct.pack("<f", 9.0)),
        "{rec}: record 0: expected 8 pictures and then identities according to its labels, received other records",
    ),
    "a header that takes an identity for a picture and knows of none": (
        lambda path: changed(path, 32, struct.pack("<ff", 9.0, 3.0)),
        "{rec}: record 0: expected 8 pictures and then identities according to its labels, received other records",
    ),
    "a header that takes a picture for an identity": (
        lambda path: changed(path, 32, struct.pack("<f", 7.0)),
        "{rec}: record 0: expected 6 pictures and then identities according to its labels, received other records",
    ),
    "identities beyond the pictures": (
        lambda path: changed(path, offset_of(path, 9) + 36, struct.pack("<f", 60.0)),
        "{rec}: record 9: expected the first and last record of an identity, received [4.0, 60.0]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_wrong_is_refused_by_file_and_record(faces, case):
    change, reason = WRONG[case]
    second, third, idx = offset_of(faces, 2), offset_of(faces, 3), faces.with_suffix(".idx")
    starts = [offset_of(faces, key) for key in range(11)]
    change(faces)
    with pytest.raises(DataError) as refusal:
        opened_and_read(faces)
    if reason is not None:
        size = faces.stat().st_size if faces.exists() else 0
        line = next((line for line, start in enumerate(starts) if start > size - 8), 0)
        beyond = f"{starts[line]} on line {line + 1}"
        assert str(refusal.value) == reason.format(idx=idx, rec=faces, size=size, second=second, third=third, beyond=beyond)


def test_a_file_cut_while_it_is_open(faces):
    read = RecordFile(faces)
    cut_by_half(faces)
    with pytest.raises(DataError, match=r"train.rec: record 7: the file ends within this record: it (is|was) truncated"):
        read[6]


def test_whatever_the_bytes_are_the_answer_is_an_error_line_or_data(faces, rng):
    """Two thousand files with some bytes changed, or cut: never another exception."""
    rec, idx = faces.read_bytes(), faces.with_suffix(".idx").read_bytes()
    refused = 0
    for _ in range(2000):
        texts = [bytearray(rec), bytearray(idx)]
        text = texts[int(rng.random() < 0.3)]
        for at in rng.integers(0, len(text), rng.integers(1, 4)):
            text[at] = rng.integers(256)
        if rng.random() < 0.2:
            del text[rng.integers(1, len(text)) :]
        faces.write_bytes(texts[0])
        faces.with_suffix(".idx").write_bytes(texts[1])
        try:
            opened_and_read(faces)
        except DataError as error:
            assert str(error).startswith(str(faces.parent))
            refused += 1
    assert 200 < refused < 2000


def test_a_file_without_index_that_is_no_recordio(tmp_path):
    for data, reason in ((b"", "an empty file, expected records"), (b"plain text", "record 0, byte 0: expected a whole record: .*")):
        (tmp_path / "x.rec").write_bytes(data)
        with pytest.raises(DataError, match=f"x.rec: {reason}"):
            RecordFile(tmp_path / "x.rec")


# --- the writer ---------------------------------------------------------------------------------------------------


def test_the_writers_file_is_the_one_packed_by_hand(faces, pictures, tmp_path):
    with RecordWriter(tmp_path / "made" / "ours.rec") as writer:
        for data, label in pictures:
            writer.add(data, label)
    ours = tmp_path / "made" / "ours.rec"
    assert ours.with_suffix(".idx").read_bytes() == faces.with_suffix(".idx").read_bytes()
    want, got = RecordFile(faces), RecordFile(ours)
    assert [got[i] for i in range(7)] == pictures and got.ranges().tolist() == want.ranges().tolist()
    first = offset_of(faces, 8)  # up to here even the ids are the same
    assert ours.read_bytes()[:first] == faces.read_bytes()[:first]
    assert [path.name for path in sorted(ours.parent.iterdir())] == ["ours.idx", "ours.rec"]


def test_the_writer_refuses_what_the_layout_cannot_say(tmp_path):
    with pytest.raises(DataError) as refusal, RecordWriter(tmp_path / "x.rec") as writer:
        writer.add(b"", 0)
        writer.add(b"", 2)
    assert str(refusal.value) == f"{tmp_path}/x.rec: expected pictures identity by identity, received label 2 after 0"
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/x.rec: cannot write: "):
        RecordWriter(tmp_path / "file" / "x.rec")
