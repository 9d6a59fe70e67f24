"""Data sets of identities: what they read of folders, lists, records and nothing; and the line they give for each mistake."""

import pickle
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data import IdentityFolder, IdentityList, IdentitySubset, RecordIdentities, Subset, SyntheticFaces, SyntheticIdentities
from ppface.data.loading.pipeline import Pipeline
from ppface.data.recordio.record_writer import RecordWriter

PEOPLE = {"ann": ["1.jpg", "2.png"], "bo": ["deep/1.JPG"], "cy cy": ["1.jpg", "2.jpg", "3.jpg"]}
LABELS = [0, 0, 1, 2, 2, 2]


@pytest.fixture
def root(tmp_path, rng):
    """Three people with two, one and three pictures of 112x112."""
    for person, files in PEOPLE.items():
        for file in files:
            path = tmp_path / "faces" / person / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)).save(path)
    return tmp_path / "faces"


@pytest.fixture
def record(root):
    source = IdentityFolder(str(root))
    with RecordWriter(root.parent / "faces.rec") as writer:
        for i, label in enumerate(source.labels):
            writer.add(source.encoded(i), int(label))
    return root.parent / "faces.rec"


def listed(root, text):
    (root / "list.txt").write_text(text)
    return root / "list.txt"


LIST = "ann/1.jpg 0\nann/2.png 0\nbo/deep/1.JPG\t1\n\ncy cy/1.jpg 2\ncy cy/2.jpg 2\ncy cy/3.jpg 2\n"


def test_folder_list_and_record_hold_the_same(root, record):
    listed(root, LIST)
    folder, lines, records = IdentityFolder(str(root)), IdentityList(str(root), "list.txt"), RecordIdentities(str(record))
    assert folder.class_names == list(PEOPLE)
    for data in (folder, lines, records):
        assert len(data) == 6 and data.facts() == {"class_num": 3} and data.labels.tolist() == LABELS
        assert data.labels.dtype == np.int64
        for i, label in enumerate(LABELS):
            sample = data[i]
            assert set(sample) == {"picture", "label"} and sample["label"] == label and sample["picture"].name == data.name(i)
            np.testing.assert_array_equal(sample["picture"].decode(), folder[i]["picture"].decode())
            assert data.encoded(i) == folder.encoded(i)
    assert folder.name(2) == f"{root}/bo/deep/1.JPG" == lines.name(2) and records.name(2) == f"{record}: record 3"


def test_they_can_be_sent_to_workers(root, record):
    for data in (IdentityFolder(str(root)), RecordIdentities(str(record)), SyntheticIdentities(2, 2)):
        again = pickle.loads(pickle.dumps(data))  # our own object, in this process
        np.testing.assert_array_equal(again[1]["picture"].decode(), data[1]["picture"].decode())
        assert again.labels.tolist() == data.labels.tolist()


def test_other_sizes_are_refused_or_resized(root):
    Image.new("RGB", (250, 200), (9, 90, 200)).save(root / "bo" / "deep" / "1.JPG")
    with pytest.raises(DataError) as refusal:
        IdentityFolder(str(root))[2]
    advice = "align the faces with ppface align, or set resize: true"
    assert str(refusal.value) == f"{root}/bo/deep/1.JPG: expected 112x112 pixels, received 250x200: {advice}"
    arrays = Pipeline([])(IdentityFolder(str(root), resize=True)[2], np.random.default_rng(0))
    assert arrays["image"].shape == (3, 112, 112) and arrays["label"] == 1 and abs(int(arrays["image"][2].mean()) - 200) < 3
    assert IdentityFolder(str(root), size=(200, 250))[2]["picture"].size == (200, 250)


def test_a_slice_keeps_labels_and_facts(root):
    part = Subset(IdentityFolder(str(root)), start=2)
    assert part.labels.tolist() == [1, 2, 2, 2] and part.facts() == {"class_num": 3} and part[0]["label"] == 1


def test_people_held_out_are_counted_anew_and_nobody_is_on_both_sides(root):
    data = IdentityFolder(str(root))
    for cut in ({"stop": 1}, {"start": -1}, {"every": 2}, {"start": 1, "every": 5}):
        held, rest = IdentitySubset(data, **cut), IdentitySubset(data, **cut, rest=True)
        assert sorted(held.class_names + rest.class_names) == data.class_names and len(held) + len(rest) == 6
        for part in (held, rest):
            assert part.facts() == {"class_num": len(part.class_names)} == {"class_num": len(set(part.labels.tolist()))}
            for i in range(len(part)):
                sample = part[i]
                assert f"/{part.class_names[sample['label']]}/" in part.name(i) == sample["picture"].name
                assert sample["label"] == part.labels[i]
    with pytest.raises(
        DataError,
        match=r"^IdentitySubset: expected at least one of 3 identities, received start=3, stop=None, every=1, rest=False, which select none$",
    ):
        IdentitySubset(data, start=3)
    with pytest.raises(ValueError, match=r"^IdentitySubset: expected every >= 1, received 0$"):
        IdentitySubset(data, every=0)
    with pytest.raises(
        ValueError, match=r"^IdentitySubset: expected a data set of identities, received SyntheticFaces, which has no labels$"
    ):
        IdentitySubset(SyntheticFaces(2))


@pytest.mark.parametrize(
    ("line", "names"),  # the names of Ann, Bo and Cy
    [
        (lambda file, label: f"{file} {label + 1}", ["1", "2", "3"]),
        (lambda file, label: f"{file} {label * 7}", ["0", "7", "14"]),
        (lambda file, label: f"{file}\t{label:06.2f}", ["0", "1", "2"]),
        (lambda file, label: f"{file} {['x', 'y9', 'y10'][label]}", ["x", "y9", "y10"]),
        (lambda file, label: f"{file} {['2', 'nan', '10'][label]}", ["2", "nan", "10"]),
        (lambda file, label: f"{file}\t{['Bo Li', 'Ann Li', 'Cy Li'][label]}", ["Bo Li", "Ann Li", "Cy Li"]),
        (lambda file, label: f"{file},{label}", ["0", "1", "2"]),
        (lambda file, label: f"{file}; {label}", ["0", "1", "2"]),
        (lambda file, label: f"{label} {file}", ["0", "1", "2"]),
        (lambda file, label: f"{label}\t{file}", ["0", "1", "2"]),
        (lambda file, label: f"{label};{file}", ["0", "1", "2"]),
        (lambda file, label: f"Li, {'abc'[label]}\t{file}", ["Li, a", "Li, b", "Li, c"]),
        (lambda file, label: f"{label + 17}\t{label:.6f}\t{file}", ["0", "1", "2"]),  # im2rec.py's
        (lambda file, label: f"1\t{file}\t{label}", ["0", "1", "2"]),  # InsightFace's
        (lambda file, label: f"{file} {label}".replace("/", "\\"), ["0", "1", "2"]),
        (lambda file, label: f".\\{file},{label}\r", ["0", "1", "2"]),
    ],
)
def test_lists_in_other_layouts_and_with_other_labels(root, caplog, line, names):
    caplog.set_level("INFO", "ppface")
    folder = IdentityFolder(str(root))
    listed(root, "\ufeff" + "".join(line(file, label) + "\n" for file, label in zip(folder.files, LABELS, strict=True)))
    data = IdentityList(str(root), "list.txt", class_num=3)
    assert data.class_names == (names if names[0].isdecimal() and names[2] != "10" else sorted(names)) and data.class_num == 3
    for i, label in enumerate(LABELS):
        assert data.encoded(i) == folder.encoded(i)
        assert data.class_names[data[i]["label"]] == names[label] and data.labels[i] == data[i]["label"]
    shown = ", ".join(data.class_names)
    told = f"{root}/list.txt: the labels {shown} are renumbered as classes 0..2; the classes.json of a run lists the label of each class"
    assert [record.message for record in caplog.records if record.levelname == "INFO"] == ([] if names == ["0", "1", "2"] else [told])


@pytest.mark.parametrize(
    "file", ["backslash.txt", "comma.csv", "floats.txt", "from1.txt", "gaps.txt", "good.txt", "label_first.txt", "mxnet.lst", "names.txt"]
)
def test_lists_as_people_write_them(shared_data, file):
    data = IdentityList(str(shared_data / "field" / "09_identity_list"), file, resize=True)
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for i in range(9):
        assert f"/people/{('an na', 'bo', 'chi')[data[i]['label']]}/" in data.name(i)


@pytest.mark.parametrize("layout", [True, False])
@pytest.mark.parametrize("kinds", [[1, 2, 3], [0, 7, 14]])
def test_records_whose_labels_are_from_1_or_have_gaps_are_renumbered(record, caplog, layout, kinds):
    caplog.set_level("INFO", "ppface")
    offsets = [int(line.split()[1]) for line in record.with_suffix(".idx").read_text().splitlines()]
    data = bytearray(record.read_bytes())
    for offset, label in zip(offsets[1:], LABELS, strict=False):
        struct.pack_into("<f", data, offset + 12, kinds[label])
    if not layout:
        data = data[offsets[1] : offsets[7]]
        record.with_suffix(".idx").write_text("".join(f"{i}\t{offset - offsets[1]}\n" for i, offset in enumerate(offsets[1:7])))
    record.write_bytes(data)
    read = RecordIdentities(str(record), class_num=3)
    again = pickle.loads(pickle.dumps(read))  # as a worker receives it
    for one in (read, again):
        assert one.class_names == [str(kind) for kind in kinds] and one.facts() == {"class_num": 3}
        assert [one[i]["label"] for i in range(6)] == one.labels.tolist() == LABELS
    shown = ", ".join(read.class_names)
    assert caplog.messages == [
        f"{record}: the labels {shown} are renumbered as classes 0..2; the classes.json of a run lists the label of each class"
    ]


def test_records_renumbered_name_the_labels_that_they_have(record):
    read = RecordIdentities(str(record))
    read._kinds = np.array([3, 7, 9])
    with pytest.raises(DataError) as caught:
        read._classes(np.array([3, 8]), lambda at: f"record {at}")
    assert str(caught.value) == "record 1: expected one of the 3 labels of the records, 3 to 9, received 8"


def test_a_word_among_numbers_is_reported(root, caplog):
    lines = [f"{file} {label}" for file, label in zip(IdentityFolder(str(root)).files, ["1", "2", "2", "10", "1O", "x"], strict=True)]
    (root / "list.txt").write_text("\n".join(lines))
    data = IdentityList(str(root), "list.txt")
    assert data.class_names == ["1", "10", "1O", "2", "x"]
    effect = "so the 3 labels that are numbers are words too, in the order of the alphabet (10 before 2)"
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"{root}/list.txt:5: the label '1O' is no number, {effect}: correct it if it should be one"]


def test_every_data_set_of_people_names_its_classes(root, record):
    folder, records, drawn = IdentityFolder(str(root)), RecordIdentities(str(record)), SyntheticIdentities(3, 2, seed=5)
    assert records.class_names == ["0", "1", "2"] and drawn.class_names == ["synthetic-5-0", "synthetic-5-1", "synthetic-5-2"]
    assert Subset(folder, stop=1).class_names == list(PEOPLE) and Subset(SyntheticFaces(2)).class_names is None
    for data in (folder, records, drawn):
        assert IdentitySubset(data, start=1).class_names == data.class_names[1:]
        assert IdentitySubset(Subset(data, stop=3), stop=2).class_names == data.class_names[:2]
    nameless = SimpleNamespace(labels=np.array([0, 1, 2]), facts=lambda: {"class_num": 3})  # a data set of a user
    assert IdentitySubset(nameless, start=1).class_names == ["1", "2"]


def test_records_without_record_0_say_their_identities_by_their_labels(record):
    data = IdentityFolder(str(record.with_name("faces")))
    head = struct.Struct("<II")
    text = b""
    offsets = []
    for i, label in enumerate(LABELS):
        body = struct.pack("<IfQQ", 0, label, i, 0) + data.encoded(i)
        offsets.append(len(text))
        text += head.pack(0xCED7230A, len(body)) + body + bytes(-len(body) % 4)
    record.write_bytes(text)
    record.with_suffix(".idx").write_text("".join(f"{key}\t{offset}\n" for key, offset in enumerate(offsets)))
    read = RecordIdentities(str(record))
    assert read.facts() == {"class_num": 3} and len(read) == 6 and read[5]["label"] == 2


# --- drawn people ---------------------------------------------------------------------------------------------------


def test_drawn_people_are_the_same_for_the_same_seed_and_others_for_another():
    data = SyntheticIdentities(3, 4, seed=5)
    assert len(data) == 12 and data.facts() == {"class_num": 3} and data.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.name(6) == "synthetic-5-1-2" and data[6]["label"] == 1 and data[6]["picture"].size == (112, 112)
    pixels = data[6]["picture"].decode()
    np.testing.assert_array_equal(pixels, SyntheticIdentities(2, 4, seed=5)[6]["picture"].decode())
    for other in (data[7], SyntheticIdentities(3, 4, seed=6)[6]):
        assert np.abs(pixels.astype(int) - other["picture"].decode()).mean() > 10


def test_drawn_eyes_lie_on_the_template():
    """Without difficulty the mean over many people is dark where the template has eyes, and lighter between them."""
    data = SyntheticIdentities(40, 1, difficulty=0)
    mean = np.mean([data[i]["picture"].decode() for i in range(40)], axis=(0, 3))
    eyes = [mean[49:55, 35:42].mean(), mean[49:55, 70:77].mean()]
    assert max(eyes) < mean[49:55, 50:62].mean() - 15 and SyntheticIdentities(1, 1, size=(112, 96))[0]["picture"].size == (112, 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identities": 0, "images": 1}, "identities and images of at least 1, received 0 and 1"),
        ({"identities": 1, "images": 1, "size": (16, 112)}, "height and width of at least 32, received size=[16, 112]"),
        ({"identities": 1, "images": 1, "seed": -1}, "a seed of at least 0, received seed=-1"),
        ({"identities": 1, "images": 1, "difficulty": 2}, "difficulty in 0..1, received difficulty=2"),
    ],
)
def test_arguments_outside_their_range(arguments, message):
    with pytest.raises(ValueError) as refusal:
        SyntheticIdentities(**arguments)
    assert str(refusal.value) == f"SyntheticIdentities: expected {message}"


# --- what is wrong ---------------------------------------------------------------------------------------------------


def refused(make) -> str:
    with pytest.raises(DataError) as refusal:
        make()
    return str(refusal.value)


def test_folders_that_hold_no_people(root, tmp_path):
    layout = "expected root/person/pictures, one folder per person"
    (tmp_path / "empty").mkdir()
    assert refused(lambda: IdentityFolder(f"{tmp_path}/empty")) == f"IdentityFolder: no folder in {tmp_path}/empty: {layout}"
    missing = f"IdentityFolder: expected a folder, but {tmp_path}/no does not exist: {layout}"
    assert refused(lambda: IdentityFolder(f"{tmp_path}/no")) == missing
    (root / "dan").mkdir()
    (root / "dan" / "notes.txt").touch()
    assert refused(lambda: IdentityFolder(str(root))) == f"IdentityFolder: no picture in {root}/dan: remove the folder, or add pictures"
    (root / "eve").mkdir()
    assert refused(lambda: IdentityFolder(str(root))).endswith("/dan (nor in 1 other folders): remove the folder, or add pictures")
    with pytest.raises(ValueError, match=r"^IdentityFolder: expected a size of at least \[1, 1\], received \[0, 1\]$"):
        IdentityFolder(str(root), size=(0, 1))


ODD = "expected a line 'path label', 'path,label' or 'path;label', the label before or after the path, or a .lst of mxnet; no header line"


@pytest.mark.parametrize(
    ("text", "class_num", "reason"),
    [
        ("ann/1.jpg\n", None, ":1: expected 'path label', received 'ann/1.jpg'"),
        ("\nann/9.jpg 0\n", None, ":2: no such picture under ROOT, received 'ann/9.jpg 0': " + ODD),
        ("path,label\nann/1.jpg,0\n", None, ":1: no such picture under ROOT, received 'path,label': " + ODD),
        ("ann/1.jpg bo/deep/1.JPG 1\n", None, ":1: no such picture under ROOT, received 'ann/1.jpg bo/deep/1.JPG 1': " + ODD),
        ("x" * 5000 + " 0\n", None, ":1: no such picture under ROOT, received '" + "x" * 100 + "': " + ODD),
        ("ann/1.jpg 0\nb.jpg\n", None, ":2: expected a path and a label as on the first line, received 'b.jpg'"),
        ("ann/1.jpg 0\nb b/2.jpg\n", None, ":2: expected a path and a label as on the first line, received 'b b/2.jpg'"),
        ("ann/1.jpg,0\nb.jpg 0\n", None, ":2: expected a path and a label as on the first line, received 'b.jpg 0'"),
        ("ann/1.jpg,0\nb.jpg,\n", None, ":2: expected a path and a label as on the first line, received 'b.jpg,'"),
        ("ann/1.jpg 0\nb.jpg -1\n", None, ":2: expected a label that is a whole number of at least 0, or a word, received -1"),
        ("ann/1.jpg 0\nb.jpg 1.5\n", None, ":2: expected a label that is a whole number of at least 0, or a word, received 1.5"),
        ("ann/1.jpg 0\nb.jpg 3\n", 3, ": expected class_num=3 identities, received 2, with the labels 0, 3"),
        ("ann/1.jpg 0\n" * 2, 2, ": expected class_num=2 identities, received 1, with the labels 0"),
        ("".join(f"ann/1.jpg p{i}\n" for i in range(7)), 4, ": expected class_num=4 identities, received 7, with the labels p0, p1, p2, ..., p6"),
        ("\n \n", None, ": an empty label file"),
    ],
)  # fmt: skip
def test_lists_that_are_wrong_are_refused_at_their_line(root, text, class_num, reason):
    path = listed(root, text)
    assert refused(lambda: IdentityList(str(root), "list.txt", class_num)) == f"{path}{reason.replace('ROOT', str(root))}"


def test_a_line_that_could_be_read_in_two_ways_is_refused(root):
    (root / "7").write_bytes((root / "ann" / "1.jpg").read_bytes())
    (root / "8").write_bytes(b"")
    path = listed(root, "7,8\n")
    reason = "expected one path and one label, received '7,8': several parts are paths of pictures; separate path and label by a tab"
    assert refused(lambda: IdentityList(str(root), "list.txt")) == f"{path}:1: {reason}"
    listed(root, "7 ann/1.jpg\n")
    assert IdentityList(str(root), "list.txt").class_names == ["7"]


def test_a_list_in_another_encoding_says_what_to_do(root):
    (root / "list.txt").write_bytes("ann/1.jpg Jürgen\n".encode("latin-1"))
    expected = r"list.txt:1: expected a label in UTF-8, received J\udcfcrgen: save the list as UTF-8"
    assert refused(lambda: IdentityList(str(root), "list.txt")).endswith(expected)
    (root / "list.txt").write_bytes("ann/1.jpg ann\n".encode("utf-16"))
    assert refused(lambda: IdentityList(str(root), "list.txt")).endswith("as UTF-16 and binary files do: save it as UTF-8")


def test_what_a_list_names_must_be_there(root):
    listed(root, "ann/1.jpg 0\nann/9.jpg 1\n")
    assert refused(lambda: IdentityList(str(root), "list.txt")[1]) == f"{root}/ann/9.jpg: no such picture file"
    assert refused(lambda: IdentityList(str(root), "no.txt")).startswith(f"IdentityList: no label file {root}/no.txt: expected a text")


def test_records_that_are_wrong(root, record):
    text, idx = record.read_bytes(), record.with_suffix(".idx").read_text()
    offsets = [int(line.split()[1]) for line in idx.splitlines()]

    def changed(at, data):
        record.write_bytes(text[:at] + data + text[at + len(data) :])
        return RecordIdentities(str(record))

    beyond = changed(offsets[3] + 12, struct.pack("<f", 3.0))  # the third picture
    assert refused(lambda: beyond[2]) == f"{record}: record 3: expected a label under class_num=3, received 3"
    assert beyond[1]["label"] == 0
    for _ in range(2):  # whoever asks for all labels
        assert refused(lambda: beyond.labels) == f"{record}: record 3: expected a label under class_num=3, received 3"
    huge = changed(offsets[3] + 12, struct.pack("<f", 2**31 - 128))
    assert refused(lambda: huge.labels) == f"{record}: record 3: expected a label under class_num=3, received 2147483520"
    empty = struct.pack("<ff", 4.0, 4.0)  # of the second identity
    assert (
        refused(lambda: changed(offsets[8] + 32, empty))
        == f"{record}: expected at least one picture of each identity 0..2, found none of 1"
    )
    torn = changed(offsets[3] + 50, b"\0" * 900)
    assert refused(lambda: torn[2]["picture"].decode()).startswith(f"{record}: record 3: ")
    record.write_bytes(text[:-1])
    assert refused(lambda: RecordIdentities(str(record))) == f"{record}: record 9: the file ends within this record: it is truncated"
    record.write_bytes(text)
    assert refused(lambda: RecordIdentities(str(record), class_num=4)) == f"{record}: expected class_num=4 identities, received 3"


# --- real people ------------------------------------------------------------------------------------------------------


def test_real_people(shared_data):
    for folder, pictures, people, arguments in (
        ("lfw/images", 7701, 4281, {}),
        ("cfp/aligned112", 5600, 400, {}),
        ("orl/images", 400, 40, {"size": (112, 92)}),
    ):
        data = IdentityFolder(str(shared_data / folder), **arguments)
        assert len(data) == pictures and data.facts() == {"class_num": people} and np.unique(data.labels).size == people
        for i in range(0, pictures, pictures // 7):
            assert data[i]["picture"].decode().shape == (*data.size, 3)
    orl = IdentityFolder(str(shared_data / "orl/images"))
    assert "expected 112x112 pixels, received 92x112: align" in refused(lambda: orl[0])


def test_drawn_pictures_that_are_kept_are_drawn_once_and_equal_the_others(monkeypatch):
    drawn, draw = [], SyntheticIdentities._draw
    monkeypatch.setattr(SyntheticIdentities, "_draw", lambda self, i: drawn.append(i) or draw(self, i))
    kept, other = (SyntheticIdentities(2, 2, (32, 32), keep=keep) for keep in (True, False))
    for _ in range(2):
        for i in (0, 3):
            np.testing.assert_array_equal(kept[i]["picture"].decode(), other[i]["picture"].decode())
            assert not kept[i]["picture"].decode().flags.writeable and kept[i]["label"] == i // 2
    assert sorted(drawn) == [0, 0, 0, 3, 3, 3]
