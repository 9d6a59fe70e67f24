"""Data sets of label files: what they read, and the line they give for each mistake in them."""

import gzip
import pickle
import time

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data import RetinaFaceLabels, Subset, VocFaces, WiderFace
from ppface.data.detection import retinaface_labels, wider_face
from ppface.data.loading import label_files

WIDER = """0--Parade/a.jpg
2
10 20 30 40 2 1 0 0 1 1
5.5 6.5 7 8 0 0 0 1 0 0
0--Parade/empty.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Hall/b.jpg
3
0 0 0 0 0 0 0 0 0 0
90 70 20 20 0 0 1 0 2 0
1 1 3 3 0 0 0 0 0 0
"""


@pytest.fixture
def root(tmp_path):
    """A folder in the official layout, with three pictures of 100x80."""
    pictures = tmp_path / "WIDER_train" / "images"
    for name in ("0--Parade/a.jpg", "0--Parade/empty.jpg", "1--Hall/b.jpg"):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 80), (90, 80, 70)).save(pictures / name)
    (tmp_path / "wider_face_split").mkdir()
    return tmp_path


def labelled(root, text):
    path = root / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    path.write_text(text)
    return path


def test_wider_face_reads_the_official_layout(root):
    labelled(root, WIDER)
    data = WiderFace(str(root))
    assert len(data) == 3 and data.name(0).endswith("WIDER_train/images/0--Parade/a.jpg")
    first, empty, last = (data[i] for i in range(3))
    assert first["gt_boxes"].dtype == np.float32 and first["gt_boxes"].tolist() == [[10, 20, 40, 60]]
    assert {key: value.tolist() for key, value in first.items() if key.startswith("_")} == {
        "_blur": [2], "_expression": [1], "_illumination": [0], "_invalid": [0], "_occlusion": [1], "_pose": [1],
    }  # fmt: skip
    assert empty["gt_boxes"].shape == (0, 4) and empty["picture"].size == (80, 100)
    assert last["gt_boxes"].tolist() == [[90, 70, 100, 80], [1, 1, 4, 4]]  # cut at the border; the face of no size is gone


def test_invalid_and_small_faces(root):
    labelled(root, WIDER)
    assert WiderFace(str(root), keep_invalid=True)[0]["gt_boxes"].tolist() == [[10, 20, 40, 60], [5.5, 6.5, 12.5, 14.5]]
    assert WiderFace(str(root), min_size=4)[2]["gt_boxes"].tolist() == [[90, 70, 100, 80]]


def test_lines_of_four_columns_files_of_own_names_and_gz(root):
    (root / "own.txt.gz").write_bytes(gzip.compress(b"0--Parade/a.jpg\n1\n1 2 3 4\n\n1--Hall/b.jpg\n1\n5 6 7 8 1 1 1 0 1 1\n"))
    data = WiderFace(str(root), images="WIDER_train/images", labels="own.txt.gz")
    assert data[0]["gt_boxes"].tolist() == [[1, 2, 4, 6]] and data[1]["_blur"].tolist() == [1]


def test_a_data_set_of_no_face_at_all(root):
    labelled(root, "0--Parade/a.jpg\n0\n")
    assert WiderFace(str(root))[0]["gt_boxes"].shape == (0, 4)


def test_wrong_boxes_are_listed_and_the_rest_counted(root):
    labelled(root, "0--Parade/a.jpg\n13\n" + "10 20 30 40\n" + "50 60 -30 40\n" * 12)
    with pytest.raises(DataError) as refusal:
        WiderFace(str(root))
    lines = str(refusal.value).splitlines()
    assert len(lines) == 11 and lines[0].endswith(f":4: {A_BOX} 50 60 -30 40") and lines[-1] == "... and 2 more"


def test_a_data_set_can_be_sent_to_a_worker(root):
    labelled(root, WIDER)
    again = pickle.loads(pickle.dumps(WiderFace(str(root))))  # our own object, in this process
    assert again[0]["gt_boxes"].tolist() == [[10, 20, 40, 60]]


A_FACE = "expected a face, x y w h with 6 attributes or without, received"
A_BOX = "expected a box x y w h of finite numbers with w, h >= 0, received"
WRONG = {  # case: what is replaced in WIDER, by what, and the answer
    "count too large": ("jpg\n2", "jpg\n3", f":5: {A_FACE} '0--Parade/empty.jpg': is the count of 3 on line 2 right?"),
    "count too small": (
        "jpg\n2",
        "jpg\n1",
        ":4: expected the path of a picture, received a face: the picture before has more than its count of 1",
    ),
    "count too large at the end": ("jpg\n3", "jpg\n4", ":9: expected 4 faces according to this count, but the file ends after 3"),
    "no count": ("jpg\n2", "jpg", ":2: expected the number of faces of 0--Parade/a.jpg, received '10 20 30 40 2 1 0 0 1 1'"),
    "count at the end": (WIDER, "a.jpg\n", ":2: expected the number of faces of a.jpg, received 'the end of the file'"),
    "count of 0 with a face": (WIDER, "a.jpg\n0\n1 2 3 4\n", ":3: expected a line of zeros after a count of 0, received '1 2 3 4'"),
    "columns": ("30 40 2", "30", f":3: {A_FACE} '10 20 30 1 0 0 1 1': is the count of 2 on line 2 right?"),
    "not a number": ("10 20 30 40", "10 nan 30 40", f":3: {A_BOX} 10 nan 30 40"),
    "infinite": ("10 20 30 40", "10 20 inf 40", f":3: {A_BOX} 10 20 inf 40"),
    "negative": ("90 70 20 20", "90 70 20 -20", f":11: {A_BOX} 90 70 20 -20"),
    "empty": (WIDER, "\n", ": an empty label file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_label_file_that_is_wrong_is_refused_at_its_line(root, case):
    old, new, reason = WRONG[case]
    path = labelled(root, WIDER.replace(old, new, 1))
    with pytest.raises(DataError) as refusal:
        WiderFace(str(root))
    assert str(refusal.value) == f"{path}{reason}"


def test_a_box_outside_its_picture_is_refused_when_it_is_read(root):
    path = labelled(root, WIDER.replace("90 70 20 20", "130 70 20 20"))
    data = WiderFace(str(root))
    assert len(data[0]["gt_boxes"]) == 1
    with pytest.raises(DataError) as refusal:
        data[2]
    assert str(refusal.value) == f"{path}:11: box x1 y1 x2 y2 = 130 70 150 90 lies outside its picture {data.name(2)} of 100x80 pixels"


def test_what_is_missing_is_named_with_what_to_do(root):
    labelled(root, WIDER)
    (root / "a file").touch()
    cases = [
        (lambda: WiderFace(f"{root}/nowhere"), f"WiderFace: expected a folder, but {root}/nowhere does not exist: unpack "),
        (lambda: WiderFace(f"{root}/a file"), f"WiderFace: expected a folder, but {root}/a file is a file: unpack "),
        (lambda: WiderFace(str(root), split="val"), f"WiderFace: expected a folder, but {root}/WIDER_val/images does not exist: unpack "),
        (lambda: WiderFace(str(root), labels="x.txt"), f"WiderFace: no label file {root}/x.txt: unpack "),
        (
            lambda: RetinaFaceLabels(f"{root}/nowhere"),
            f"RetinaFaceLabels: expected a folder, but {root}/nowhere does not exist: give the folder ",
        ),
        (lambda: RetinaFaceLabels(str(root), images="WIDER_train"), f"RetinaFaceLabels: no label file {root}/label.txt: give the folder "),
        (lambda: VocFaces(str(root)), f"VocFaces: expected a folder, but {root}/images does not exist: give the folder "),
        (lambda: VocFaces(str(root), "WIDER_train", "WIDER_train"), f"VocFaces: no XML file in {root}/WIDER_train: give the folder "),
    ]
    for make, start in cases:
        with pytest.raises(DataError) as refusal:
            make()
        assert str(refusal.value).startswith(start), refusal.value
    (root / "WIDER_train/images/0--Parade/a.jpg").unlink()
    with pytest.raises(DataError, match=r"0--Parade/a.jpg: no such picture file$"):
        WiderFace(str(root))[0]
    (root / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"bytes.txt: expected a label file in UTF-8 text: .*save it as UTF-8"):
        WiderFace(str(root), labels="bytes.txt")


def test_negative_sides_as_in_the_official_files_are_dropped_only_if_they_are_rare():
    faces = ["1 2 3 4"] * 20_000 + ["1026 474 -2 23"]
    lines = ["a.jpg", str(len(faces)), *faces]
    assert len(wider_face.parse(lines, "large.txt").rows) == 20_000
    with pytest.raises(DataError, match=r"^small.txt:103: expected a box .* received 1026 474 -2 23$"):
        wider_face.parse(["a.jpg", "101", *faces[-101:]], "small.txt")


# --- landmarks --------------------------------------------------------------------------------------------------

FACE = "10 20 30 40 15 30 0.0 30 31 0.0 22 40 1.0 16 50 0.0 29 51 0.0 0.82"
RETINA = f"# 0--Parade/a.jpg\n{FACE}\n50 20 9 9{' -1.0 -1.0 -1.0' * 5} 0.5\n# 0--Parade/empty.jpg\n# 1--Hall/b.jpg\n1 2 3 4\n"


def retina(root, text):
    (root / "label.txt").write_text(text)
    return RetinaFaceLabels(str(root), images="WIDER_train/images")


def test_landmarks_far_outside_their_picture_are_named_with_their_line(root):
    data = retina(root, RETINA.replace("15 30", "15 -3000", 1))
    with pytest.raises(DataError) as error:
        data[0]
    assert str(error.value) == (
        f"{root}/label.txt:2: expected landmarks inside the picture of 100x80 pixels, received x from 15 to 30, y from -3000 to 51"
    )


def test_landmarks_of_retinaface_labels(root):
    data = retina(root, RETINA)
    assert len(data) == 3
    first = data[0]
    assert first["gt_boxes"].tolist() == [[10, 20, 40, 60], [50, 20, 59, 29]] and first["gt_has_landmarks"].tolist() == [True, False]
    assert first["gt_landmarks"].tolist() == [[[15, 30], [30, 31], [22, 40], [16, 50], [29, 51]], [[0, 0]] * 5]
    assert data[1]["gt_landmarks"].shape == (0, 5, 2) and data[1]["gt_has_landmarks"].shape == (0,)
    assert data[2]["gt_boxes"].tolist() == [[1, 2, 4, 6]] and not data[2]["gt_has_landmarks"].any()
    assert retina(root, "# 0--Parade/a.jpg\n")[0]["gt_landmarks"].shape == (0, 5, 2)
    assert list(retina(root, "# 0--Parade/a.jpg\n10 20 30 40\n")[0]) == ["picture", "gt_boxes"]  # no face has any landmarks
    assert retina(root, RETINA.replace("/", "\\")).name(2) == data.name(2)  # written by Windows


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FACE, ":1: expected '# path' of a picture before its first face"),
        (RETINA.replace(" 0.82", " 1 2 3"), f":2: expected '# path', or a face of 4, 19 or 20 numbers, received '{FACE[:60]}'"),
        (RETINA.replace("1 2 3 4", "one 2 3 4"), ":6: expected '# path', or a face of 4, 19 or 20 numbers, received 'one 2 3 4'"),
        (
            RETINA.replace("10 20 30 40", "10 20 -30 40"),
            ":2: expected a box x y w h of finite numbers with w, h >= 0, received 10 20 -30 40",
        ),
        (RETINA.replace("22 40 1.0", "nan 40 1.0"), ":2: expected landmarks of finite numbers"),
    ],
)
def test_a_landmark_file_that_is_wrong_is_refused_at_its_line(root, text, reason):
    with pytest.raises(DataError) as refusal:
        retina(root, text)
    assert str(refusal.value) == f"{root}/label.txt{reason}"


# --- VOC --------------------------------------------------------------------------------------------------------

XML = """<annotation><filename>a.jpg</filename>
<object><name>face</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>40</xmax><ymax>60</ymax></bndbox></object>
<object><name>dog</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>105</xmax><ymax>15.5</ymax></bndbox></object></annotation>"""


def voc(root, text, **arguments):
    (root / "xml").mkdir(exist_ok=True)
    (root / "xml" / "a.xml").write_text(text)
    return VocFaces(str(root), "WIDER_train/images/0--Parade", "xml", **arguments)


def test_voc_faces(root):
    assert voc(root, XML)[0]["gt_boxes"].tolist() == [[10, 20, 40, 60], [5, 5, 100, 15.5]]
    assert voc(root, XML, classes=["face"])[0]["gt_boxes"].tolist() == [[10, 20, 40, 60]]
    assert voc(root, "<annotation><filename>a.jpg</filename></annotation>")[0]["gt_boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (XML[:-13], ": expected Pascal VOC XML: no element found: line 3, column 111"),
        ("<annotation><filename/></annotation>", ": expected the name of the picture as 'filename'"),
        (
            XML.replace("<xmin>10</xmin>", ""),
            ": face 1: expected numbers as xmin, ymin, xmax, ymax, received xmin '', ymin '20', xmax '40', ymax '60'",
        ),
        (
            XML.replace("<object>", "<size><width>4,5</width></size><object>", 1),
            ": size: expected numbers as height, width, received height '0', width '4,5'",
        ),
        (
            XML.replace("<xmax>40", "<xmax>4"),
            ": face 1: expected finite xmin ymin xmax ymax with xmin <= xmax and ymin <= ymax, received 10 20 4 60",
        ),
        (
            '<?xml version="1.0" encoding="klingon"?>' + XML,
            ": expected XML in UTF-8, or in the encoding that it declares: unknown encoding: klingon; save it as UTF-8",
        ),
    ],
)
def test_an_annotation_that_is_wrong_is_refused(root, text, reason):
    with pytest.raises(DataError) as refusal:
        voc(root, text)
    assert str(refusal.value) == f"{root}/xml/a.xml{reason}"


def test_a_voc_box_outside_its_picture_is_refused(root):
    data = voc(root, XML.replace("<ymin>20</ymin><xmax>40</xmax><ymax>60", "<ymin>120</ymin><xmax>40</xmax><ymax>160"))
    with pytest.raises(
        DataError, match=r"a.xml: face 1: box x1 y1 x2 y2 = 10 120 40 160 lies outside its picture .*a.jpg of 100x80 pixels$"
    ):
        data[0]


# --- slices -----------------------------------------------------------------------------------------------------


def test_subset_and_its_rest_share_nothing_and_lose_nothing(root):
    labelled(root, WIDER)
    data = WiderFace(str(root))
    for cut in ({"stop": 1}, {"start": -1}, {"every": 2}, {"start": 1, "every": 5}):
        held, rest = Subset(data, **cut), Subset(data, **cut, rest=True)
        assert (
            sorted(held.indices + rest.indices) == [0, 1, 2]
            and held.indices == list(range(3))[cut.get("start") : cut.get("stop") : cut.get("every")]
        )
        assert rest.name(0) == data.name(rest.indices[0]) and rest[0]["picture"].name == rest.name(0)
    with pytest.raises(ValueError, match=r"^Subset: expected every >= 1, received 0$"):
        Subset(data, every=0)
    with pytest.raises(
        DataError,
        match=r"^Subset: expected at least one of 3 samples, received start=3, stop=None, every=1, rest=False, which select none$",
    ):
        Subset(data, start=3)


# --- the real files ---------------------------------------------------------------------------------------------


def test_the_official_labels_as_they_are(shared_data):
    source = shared_data / "wider" / "wider_face_val_bbx_gt.txt"
    start = time.process_time()
    faces = wider_face.parse(label_files.lines(source, "", ""), str(source))
    assert time.process_time() - start < 2
    assert len(faces.names) == 3226 and len(faces.rows) == 39_708 - 11  # 10 have no width or height and one a width of -2
    sizes = dict(
        line.rsplit(" ", 2)[:1] + [line.rsplit(" ", 2)[1:]] for line in (source.parent / "val_image_sizes.txt").read_text().splitlines()
    )
    limits = np.repeat([[float(side) for side in sizes[name]] for name in faces.names], np.diff(faces.first), axis=0)
    assert (faces.rows[:, :2] < limits).all() and (faces.rows[:, :2] + faces.rows[:, 2:4] > 0).all()


def test_the_real_landmark_labels(shared_data):
    source = shared_data / "wider" / "train_labels" / "label.txt.gz"
    faces = retinaface_labels.parse(label_files.lines(source, "", ""), str(source))
    assert len(faces.names) == 12_859 and len(faces.rows) == 115_438
    assert (faces.rows[:, 6] != -1).sum() == 72_921


def test_real_photographs_with_their_boxes(shared_data):
    for data, faces in (
        (WiderFace(str(shared_data / "wider" / "val200"), images="images", labels="bbx_gt_416.txt"), 2881),
        (VocFaces(str(shared_data / "facemask")), 2935),
    ):
        assert sum(len(data[i]["gt_boxes"]) for i in range(len(data))) == faces
        for i in range(0, len(data), 20):
            sample = data[i]
            assert sample["picture"].decode().shape == (*sample["picture"].size, 3)
