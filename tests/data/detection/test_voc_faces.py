"""VOC labels as people have them: other frames, other names, other encodings, objects marked difficult."""

import os

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data import VocFaces
from ppface.data.detection.label_frame import Frame, frame, to_upright
from ppface.data.pictures.picture import Picture
from ppface.evaluators import FaceAP

ORIENTATION = 0x0112


def box(*sides: float, more: str = "") -> str:
    corners = "".join(f"<{name}>{side:g}</{name}>" for name, side in zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True))
    return f"<object><name>face</name>{more}<bndbox>{corners}</bndbox></object>"


def xml(file: str, *objects: str, size: tuple[int, int] | None = None) -> str:
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation><filename>{file}</filename>{stated}{''.join(objects)}</annotation>"


@pytest.fixture
def make(tmp_path):
    """Makes a set of pictures (name -> EXIF orientation) and annotations (name -> text) and opens it."""

    def open_set(pictures: dict[str, int], annotations: dict[str, str | bytes], size=(400, 300), **arguments) -> VocFaces:
        for folder in ("images", "annotations"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for name, orientation in pictures.items():
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            Image.new("RGB", size, "grey").save(tmp_path / "images" / name, exif=exif)
        for name, text in annotations.items():
            data = text if isinstance(text, bytes) else text.encode()
            (tmp_path / "annotations" / name).write_bytes(data)
        return VocFaces(str(tmp_path), **arguments)

    return open_set


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_the_pixels_do(tmp_path, orientation):
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[4:11, 3:9] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    picture = Picture.open(tmp_path / "a.png")
    found = to_upright(np.array([[3, 4, 9, 11]], np.float32), Frame((1.0, 1.0), orientation > 4), picture)[0]
    rows, columns = np.nonzero(picture.decode()[..., 0])
    white = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    if orientation in (1, 5, 6, 7, 8):  # mirrored and upside-down pictures have the same size: their labels are taken as upright
        assert found.tolist() == white


def test_boxes_in_the_stored_pixels_of_a_turned_photograph_are_turned(make, caplog):
    data = make({"p.jpg": 6}, {"p.xml": xml("p.jpg", box(30, 40, 90, 110), size=(400, 300))})
    assert data[0]["gt_boxes"].tolist() == [[190, 30, 260, 90]]
    assert "(annotated at another size), rotated in 1 (EXIF orientation)" in caplog.messages[0]


def test_boxes_of_a_picture_that_was_shrunk_later_are_scaled(make, caplog):
    data = make({"e.jpg": 1, "f.jpg": 6}, {f"{name}.xml": xml(f"{name}.jpg", box(200, 150, 360, 290), size=(800, 600)) for name in "ef"})
    assert data[0]["gt_boxes"].tolist() == [[100, 75, 180, 145]]
    assert data[1]["gt_boxes"].tolist() == [[155, 100, 225, 180]]  # scaled, then turned
    assert [message.split(": ", 1)[1] for message in caplog.messages] == [
        "boxes converted to the upright pictures: scaled in 2 (annotated at another size), rotated in 1 (EXIF orientation)"
    ]


@pytest.mark.parametrize("size", [None, (0, 0), (300, 400)], ids=str)
def test_boxes_in_the_upright_picture_stay(make, size, caplog):
    data = make({"p.jpg": 6}, {"p.xml": xml("p.jpg", box(30, 40, 90, 110), size=size)})
    assert data[0]["gt_boxes"].tolist() == [[30, 40, 90, 110]]
    assert not caplog.messages


def test_orientations_that_a_size_cannot_tell_are_counted_where_others_were_labelled_as_stored(make, caplog):
    labels = {f"{name}.xml": xml(f"{name}.jpg", box(30, 40, 90, 110), size=(400, 300)) for name in "ab"}
    assert make({"a.jpg": 3, "b.jpg": 8}, labels)[0]["gt_boxes"].tolist() == [[30, 40, 90, 110]]
    assert caplog.messages[1].endswith(
        "images: 1 more pictures have an EXIF orientation that keeps their size: their boxes are taken as upright"
    )


def test_a_size_of_another_shape_is_refused_with_both_sizes(make):
    with pytest.raises(DataError, match=r"p.xml: size: expected the size of its picture, 400x300, or a multiple, received 640x640: label"):
        make({"p.jpg": 1}, {"p.xml": xml("p.jpg", box(3, 4, 9, 11), size=(640, 640))})


def test_sizes_that_were_rounded_are_one_shape():
    picture = Picture.of(np.zeros((67, 100, 3), np.uint8))
    assert frame((333, 500), picture) == Frame((0.2, 67 / 333), False)
    assert frame((67, 100), picture) == Frame((1.0, 1.0), False)
    assert frame((100, 100), picture) is None
    assert frame((479, 640), Picture("a", (2992, 4000))) == Frame((6.25, 2992 / 479), False)  # labelled in a reduced picture
    assert frame((20, 31), Picture("a", (2992, 4000))) is None


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        ("a.jpg", "a"),
        ("a.JPG", "a.jpg"),
        ("a.png", "a.jpg"),
        ("a.jpg", r"C:\faces\a.jpg"),
        ("a.jpg", "/home/someone/faces/a.jpg"),
        ("a.jpg", "IMG_77.jpg"),
        ("IMG.77.jpeg", "IMG.77"),
        ("A.Jpeg", "renamed.png"),
    ],
)
def test_a_picture_is_found_under_a_changed_name(make, stored, written):
    data = make({stored: 1}, {"a.xml": xml(written, box(3, 4, 9, 11))})
    assert data[0]["picture"].name.endswith(f"images/{stored}") and data[0]["gt_boxes"].tolist() == [[3, 4, 9, 11]]


def test_missing_and_ambiguous_pictures_are_listed_when_the_set_is_opened(make):
    names = [f"{number:02}" for number in range(12)]
    with pytest.raises(DataError) as refusal:
        make({"00.jpg": 1, "00.png": 1}, {f"{name}.xml": xml(f"x{name}.gif", box(3, 4, 9, 11)) for name in names})
    lines = str(refusal.value).splitlines()
    assert len(lines) == 11 and lines[-1] == "... and 2 more"
    assert "annotations/00.xml: filename x00.gif: no such picture in " in lines[0]
    assert lines[0].endswith("images, nor exactly one named as its last part or as the XML file, with any ending")


def test_hidden_files_are_left_out_and_endings_are_read_in_any_case(make):
    data = make({"a.jpg": 1, "b.jpg": 1}, {"a.XML": xml("a.jpg"), "b.xml": xml("b.jpg"), "._b.xml": b"\0\5\x16\7litter"})
    assert [path.name for path in data.annotations] == ["a.XML", "b.xml"]


@pytest.mark.parametrize("encoding", ["GBK", "gb2312", "Big5", "utf-16"])
def test_xml_is_read_in_the_encoding_that_it_declares(make, encoding):
    name = "\u4eba" + ".jpg"
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + xml(name, box(3, 4, 9, 11))
    assert make({name: 1}, {"a.xml": text.encode(encoding)}).files == [name]


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\n "], ids=["byte order mark", "blank line"])
@pytest.mark.parametrize("encoding", ["utf8", "GBK"])
def test_what_editors_put_before_the_declaration_is_no_error(make, start, encoding):
    name = "\u4eba" + ".jpg"
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + xml(name, box(3, 4, 9, 11))
    written = "utf-8" if start.startswith(b"\xef") else encoding  # a byte order mark says more than the declaration
    assert make({name: 1}, {"a.xml": start + text.encode(written)}).files == [name]


@pytest.mark.parametrize("start", ["", '<?xml version="1.0" encoding="utf-8"?>'], ids=["no declaration", "utf-8"])
def test_xml_in_another_encoding_is_refused_with_advice(make, start):
    with pytest.raises(DataError, match=r"a\.xml: expected XML in UTF-8, or in the encoding that it declares: .*; save it as UTF-8"):
        make({"a.jpg": 1}, {"a.xml": (start + xml("\u4eba.jpg", box(3, 4, 9, 11))).encode("gbk")})


def test_an_object_without_a_box_is_no_face_and_is_counted(make, caplog):
    data = make({"a.jpg": 1}, {"a.xml": xml("a.jpg", "<object><name>face</name><polygon/></object>", box(3, 4, 9, 11))})
    assert data[0]["gt_boxes"].tolist() == [[3, 4, 9, 11]]
    assert caplog.messages[0].endswith(
        "annotations: 1 objects without a bndbox, in 1 files, are no faces in training; the first file is a.xml"
    )


def test_classes_that_no_object_has_are_refused(make):
    with pytest.raises(DataError, match=r"annotations: expected objects named 'Face', found none among 'face' \(2\)$"):
        make({"a.jpg": 1}, {"a.xml": xml("a.jpg", box(3, 4, 9, 11), box(3, 4, 9, 11))}, classes=["Face"])


def test_an_annotation_without_filename_belongs_to_the_picture_of_its_own_name(make):
    assert make({"a.jpg": 1}, {"a.xml": xml("", box(3, 4, 9, 11))}).files == ["a.jpg"]


def test_a_picture_whose_name_on_the_disk_has_the_encoding_of_its_xml_is_found(make):
    name = "\u4eba.jpg"
    stored = os.fsdecode(name.encode("gbk"))
    text = '<?xml version="1.0" encoding="GBK"?>' + xml(name, box(3, 4, 9, 11))
    assert make({stored: 1}, {"0001.xml": text.encode("gbk")}).files == [stored]


def test_broken_files_are_listed_and_pictures_that_are_named_twice_are_counted(make, caplog):
    with pytest.raises(DataError) as refusal:
        make({}, {f"{n:02}.xml": "<annotation>" for n in range(11)})
    assert len(str(refusal.value).splitlines()) == 11
    make({"a.jpg": 1}, {f"{n:02}.xml": xml("a.jpg", box(3, 4, 9, 11)) for n in range(11)})
    assert caplog.messages[0].endswith(
        "images: 10 annotations name a picture that another one names too; the first is 01.xml, with 00.xml: a.jpg; is its filename right?"
    )


def test_reversed_corners_are_listed_as_written(make):
    with pytest.raises(DataError) as refusal:
        make({}, {f"{n:02}.xml": xml("a.jpg", box(30, 40, 90, 110), box(150, 120, 120, 60)) for n in range(11)})
    lines = str(refusal.value).splitlines()
    expected = "face 2: expected finite xmin ymin xmax ymax with xmin <= xmax and ymin <= ymax, received 150 120 120 60"
    assert len(lines) == 11 and lines[0].endswith(f"00.xml: {expected}") and lines[-1] == "... and 1 more"


@pytest.mark.parametrize("flag", ["1", " True\n"])
def test_difficult_faces_are_neither_trained_on_nor_counted(make, flag):
    objects = box(30, 40, 90, 110), box(200, 40, 205, 45, more=f"<difficult>{flag}</difficult>")
    pictures, annotations = {"a.jpg": 1}, {"a.xml": xml("a.jpg", *objects)}
    data = make(pictures, annotations)
    assert data[0]["gt_boxes"].tolist() == [[30, 40, 90, 110]] and data[0]["_ignored_boxes"].tolist() == [[200, 40, 205, 45]]

    def finds_one(batch):
        return {"boxes": np.array([[30.0, 40, 90, 110]]), "scores": np.array([0.9]), "count": np.array([1])}

    assert dict(FaceAP(data)(finds_one)) == {"ap": pytest.approx(1.0, abs=0.01), "recall": 1.0}
    everything = make(pictures, annotations, keep_difficult=True)
    assert everything[0]["gt_boxes"].shape == (2, 4) and everything[0]["_ignored_boxes"].shape == (0, 4)
    assert dict(FaceAP(everything)(finds_one))["recall"] == 0.5


def test_a_picture_that_was_replaced_by_one_of_another_size_is_refused(make, tmp_path):
    data = make({"a.jpg": 1, "b.jpg": 1}, {f"{name}.xml": xml(f"{name}.jpg", box(30, 40, 90, 110), size=(800, 600)) for name in "ab"})
    Image.new("RGB", (200, 150)).save(tmp_path / "images" / "b.jpg")
    assert data[0]["gt_boxes"].tolist() == [[15, 20, 45, 55]]
    received = "received 200x150: the file was replaced after the data set was opened"
    with pytest.raises(DataError, match=rf"b\.jpg: expected 400x300 pixels, {received}"):
        data[1]


@pytest.mark.parametrize(("classes", "names"), [(None, None), (["face"], ["face"]), (["head", "face", "head"], ["face or head"])])
def test_classes_are_named_so_that_runs_are_not_resumed_with_others(make, classes, names):
    assert make({"a.jpg": 1}, {"a.xml": xml("a.jpg", box(30, 40, 90, 110))}, classes=classes).class_names == names


def test_a_file_of_a_subfolder_written_by_windows(make, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        Image.new("RGB", (400, 300)).save(tmp_path / "images" / folder / "1.jpg")
    assert make({}, {"x.xml": xml("b\\1.jpg", box(30, 40, 90, 110))}).files == ["b/1.jpg"]
