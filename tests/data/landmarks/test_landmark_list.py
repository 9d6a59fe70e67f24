"""Lists of landmarks as a data set, and the crop of a face by its landmarks."""

import cv2
import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data import WFLW, LandmarkList, PtsLandmarks
from ppface.data.batch import collate
from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import Flip, LandmarkCrop, geometry


@pytest.fixture
def root(tmp_path, rng):
    (tmp_path / "images").mkdir()
    for name in ("a", "b c"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    (tmp_path / "list.txt").write_text(
        "a.png\t10 20 30 20 20 30 12 40 28 40\nb c.png\t10.5 20 30 20 20 30 12 40 28 40\n".replace(" 2", "\t2")
    )
    return tmp_path


def listed(root, line):
    (root / "list.txt").write_text(f"{line}\n")
    return LandmarkList(str(root), "list.txt")


def test_a_list_gives_one_face_a_picture(root):
    (root / "list.txt").write_text("a.png 10 20 30 20 20 30 12 40 28 40\n")
    sample = LandmarkList(str(root), "list.txt")[0]
    np.testing.assert_array_equal(sample["gt_landmarks"], [[[10, 20], [30, 20], [20, 30], [12, 40], [28, 40]]])
    np.testing.assert_array_equal(sample["gt_boxes"], [[10, 20, 30, 40]])
    assert sample["picture"].size == (60, 80)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png 1 2 3", "list.txt:1: expected one line per picture: its path, then x y of its points"),
        ("a.png 1 2 3 4 5 nan", "received 'nan' as column 7 in 'a.png 1 2 3 4 5 nan'"),
        ("a.png 1 2 3 4 five 6", "received 'five' as column 6 in "),
        ("a.png 1 2 3 4 5", "received 5 numbers in "),
        ("a.png 1 2 nan 4", "list.txt:1: expected one line per picture"),
        ("a.png 1 2 x 4\na.png 1 2 3 4", "list.txt:1: expected one line per picture"),  # no header: it has numbers
        ("b c.png 1 2 3 4", "list.txt:1: expected one line per picture"),
        (",0,1,2,3\na.png,1,2,3,4", "list.txt:1: expected one line per picture"),
        ("a.png 1 2 300 4", "a.png: expected landmarks inside the picture of 80x60 pixels, received x from 1 to 300, y from 2 to 4"),
        ("gone.png 1 2 3 4", "gone.png: no such picture file"),
    ],
)
def test_lines_that_are_wrong_are_named(root, line, message):
    with pytest.raises(DataError) as error:
        listed(root, line)[0]
    assert message in str(error.value)


def test_a_first_line_without_any_number_is_a_header(root):
    assert listed(root, "name x1 y1\na.png 10 20").names == ["a.png"]


def test_another_number_of_points_is_named(root):
    (root / "list.txt").write_text("a.png 1 2 3 4\n")
    with pytest.raises(DataError, match=r"list.txt: expected 68 landmarks a line, received 2"):
        LandmarkList(str(root), "list.txt", points=68)
    (root / "list.txt").write_text("a.png 1 2 3 4\nb.png 1 2\n")
    with pytest.raises(DataError, match=r"list.txt:2: expected 2 points as in the lines before, received 1"):
        LandmarkList(str(root), "list.txt")


def test_the_plain_crop_is_a_square_around_the_landmarks(root, rng):
    sample = LandmarkCrop((50, 50), margin=1.25)(listed(root, "a.png 10 20 30 20 20 36")[0], rng)
    corners = geometry.points(np.linalg.inv(sample["_matrix"]), np.array([[0, 0], [50, 50]]))
    np.testing.assert_allclose(corners, [[20 - 12.5, 28 - 12.5], [20 + 12.5, 28 + 12.5]], atol=1e-9)
    np.testing.assert_allclose(sample["gt_landmarks"][0, 0], [5, 9], atol=1e-5)


def test_random_crops_hold_all_landmarks_and_move_pixels_and_landmarks_alike(root):
    """A white dot under every landmark is white in the crop at the landmark's place."""
    image = np.zeros((60, 80, 3), np.uint8)
    for x, y in ((10, 20), (30, 20), (20, 36)):
        cv2.circle(image, (x, y), 2, (255, 255, 255), -1)
    cv2.imwrite(str(root / "images" / "a.png"), image)
    data = listed(root, "a.png 10.5 20.5 30.5 20.5 20.5 36.5")
    crop = Pipeline([LandmarkCrop((100, 100), rotate=40, shift=0.1, scale=(0.9, 1.3))])
    places = []
    for seed in range(40):
        made = crop(data[0], np.random.default_rng(seed))
        points = made["gt_landmarks"][0]
        assert (points >= -0.5).all() and (points <= 100.5).all()
        for x, y in points.round().astype(int).clip(0, 99):
            assert made["image"][:, y, x].min() > 128
        places.append(points[0])
    assert np.std(places, axis=0).min() > 2


@pytest.mark.parametrize("count", [68, 98])
def test_mirrored_landmarks_of_a_symmetric_face_are_the_same_face(count, rng):
    """A face whose mirror pairs are placed symmetrically is its own mirror image."""
    from ppface.data.transforms.flip import SIDES

    sides, half = np.array(SIDES[count]), rng.uniform(0, 50, (count, 2)).astype("float32")
    points = np.where((np.arange(count) <= sides)[:, None], half, 0)
    points[sides == np.arange(count), 0] = 50
    later = np.arange(count) > sides
    points[later] = points[sides[later]] * [-1, 1] + [100, 0]
    sample = {"picture": Picture("none", (100, 100)), "gt_landmarks": points[None].astype("float32")}
    mirrored = Flip(p=1.0)(sample, rng)["gt_landmarks"][0]
    np.testing.assert_allclose(mirrored, points, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LandmarkCrop(margin=0),
            "LandmarkCrop: expected size and trials of at least 1 and margin above 0, received [112, 112], 10 and 0",
        ),
        (
            lambda: LandmarkCrop(shift=2),
            "LandmarkCrop: expected rotate in 0..180, shift in 0..1 and a scale [from, to] above 0, received 0.0, 2 and [1.0, 1.0]",
        ),
    ],
)
def test_arguments_out_of_range_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


def wflw_line(path, points, attributes=(0, 1, 0, 0, 0, 1)):
    return " ".join([*(f"{value:g}" for value in points.ravel()), "3 4 50 60", *map(str, attributes), path])


def test_wflw_lists_give_landmarks_box_and_attributes(root, rng):
    points = rng.uniform(0, 60, (2, 98, 2)).round(2)
    (root / "wflw.txt").write_text("\n".join(wflw_line("b c.png", one) for one in points))
    data = WFLW(str(root), "wflw.txt", images="images")
    sample = data[1]
    assert len(data) == 2 and data.name(1) == str(root / "images" / "b c.png")
    np.testing.assert_allclose(sample["gt_landmarks"][0], points[1], rtol=1e-6)
    np.testing.assert_array_equal(sample["gt_boxes"], [[3, 4, 50, 60]])
    assert dict(zip(data.attribute_names, sample["attributes"], strict=True))["expression"]
    assert sample["attributes"].tolist() == [False, True, False, False, False, True]
    batch = collate([Pipeline([LandmarkCrop((32, 32))])(data[i], np.random.default_rng(0)) for i in range(2)])
    assert batch["attributes"].shape == (2, 6) and batch["gt_landmarks"].shape == (2, 1, 98, 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 a.png", "wflw.txt:1: expected 206 numbers (98 landmarks, box, 6 attributes) and a path, received '1 2 3 a.png'"),
        (
            wflw_line("a.png", np.full((98, 2), 9.0), (0, 0, 2, 0, 0, 0)),
            "wflw.txt: a.png: expected attributes of 0 or 1, received [0.0, 0.0,",
        ),
        (
            wflw_line("x/../../a.png", np.full((98, 2), 9.0)),
            "wflw.txt:1: expected a path inside the folder, received x/../../a.png",
        ),
        (wflw_line("/a.png", np.full((98, 2), 9.0)), "wflw.txt:1: expected a path inside the folder, received /a.png"),
        (wflw_line(r"..\a.png", np.full((98, 2), 9.0)), r"wflw.txt:1: expected a path inside the folder, received ..\a.png"),
    ],
)
def test_wflw_lines_that_are_wrong_are_named(root, line, message):
    (root / "wflw.txt").write_text(line)
    with pytest.raises(DataError) as error:
        WFLW(str(root), "wflw.txt", images="images")
    assert message in str(error.value)


@pytest.mark.parametrize("kind", ["wflw", "list"])
def test_lists_of_a_windows_machine_are_read(root, kind):
    (root / "images" / "sub").mkdir()
    (root / "images" / "b c.png").rename(root / "images" / "sub" / "a.png")
    line = wflw_line(r"sub\a.png", np.linspace([20, 30], [40, 50], 98)) if kind == "wflw" else r"sub\a.png 20 30 40 50"
    (root / "l.txt").write_text(line)
    data = WFLW(str(root), "l.txt", images="images") if kind == "wflw" else LandmarkList(str(root), "l.txt")
    assert data.name(0) == str(root / "images" / "sub" / "a.png") and len(data[0]["gt_landmarks"][0])


def test_wflw_faces_without_a_box_get_that_of_their_landmarks(root, rng, caplog):
    points = rng.uniform(10, 50, (3, 98, 2)).round(2)
    lines = [wflw_line("b c.png", one) for one in points]
    lines[1:] = [line.replace("3 4 50 60", box) for line, box in zip(lines[1:], ("0 0 0 0", "50 60 3 4"), strict=True)]
    (root / "wflw.txt").write_text("\n".join(lines))
    data = WFLW(str(root), "wflw.txt", images="images")
    assert caplog.messages == [f"{root / 'wflw.txt'}: 2 of 3 faces have no box, the first in b c.png: they get their landmarks' box"]
    np.testing.assert_array_equal(data[0]["gt_boxes"], [[3, 4, 50, 60]])
    for i in (1, 2):
        np.testing.assert_allclose(data[i]["gt_boxes"][0], [*points[i].min(axis=0), *points[i].max(axis=0)], rtol=1e-6)
        assert Pipeline([LandmarkCrop((32, 32))])(data[i], rng)["gt_landmarks"].shape == (1, 98, 2)


def test_wflw_landmarks_outside_their_box_are_named(root):
    points = np.linspace([20, 30], [40, 50], 98)
    (root / "wflw.txt").write_text(wflw_line("b c.png", points).replace("3 4 50 60", "60 4 70 20"))
    with pytest.raises(DataError) as error:
        WFLW(str(root), "wflw.txt", images="images")[0]
    assert str(error.value) == (
        f"{root / 'images' / 'b c.png'}: expected the landmarks in their box, received the box 60 4 70 20, "
        "landmarks with x from 20 to 40, y from 30 to 50"
    )


@pytest.mark.parametrize("line", ["a.png 10 20", "a.png 10 20 30 20", "a.png 10 20 10 40", "a.png 0 0 0 0", "a.png 79.9 59.9 79.9 59.9"])
def test_landmarks_in_a_point_or_a_line_are_kept(root, line):
    """A box without an area is dropped by transforms, and its landmarks would be zero in the batch."""
    data = listed(root, line)
    for seed in range(5):
        made = Pipeline([LandmarkCrop((32, 32), rotate=30, shift=0.1), Flip(sides=list(range(len(data.points[0]))))])(
            data[0], np.random.default_rng(seed)
        )
        assert made["gt_landmarks"].shape == (1, *data.points[0].shape)


@pytest.mark.parametrize(
    ("sample", "received"),
    [
        ({}, "0 faces, 0 of them with landmarks"),
        ({"gt_boxes": np.ones((3, 4))}, "3 faces, 0 of them with landmarks"),
        ({"gt_landmarks": np.zeros((0, 5, 2))}, "0 faces, 0 of them with landmarks"),
        ({"gt_landmarks": np.zeros((2, 5, 2))}, "2 faces, 2 of them with landmarks"),
        ({"gt_landmarks": np.zeros((1, 5, 2)), "gt_has_landmarks": np.array([False])}, "1 faces, 0 of them with landmarks"),
    ],
)
def test_a_crop_by_landmarks_needs_one_face_with_landmarks(rng, sample, received):
    picture = Picture("a.png", (100, 100))
    with pytest.raises(DataError) as error:
        LandmarkCrop()({"picture": picture} | sample, rng)
    assert str(error.value) == f"a.png: expected one face with landmarks, received {received}"


def pts(path, points, count=None):
    body = "\n".join(f"{x:g} {y:g}" for x, y in points)
    path.write_text(f"version: 1\nn_points: {len(points) if count is None else count}\n{{\n{body}\n}}\n")


def test_pts_files_are_counted_from_one(root):
    (root / "images" / "extra.png").write_bytes((root / "images" / "a.png").read_bytes())
    pts(root / "images" / "a.pts", [(1, 1), (11, 21)])
    pts(root / "images" / "b c.pts", [(2, 3), (4, 5)])
    data = PtsLandmarks(str(root))
    assert [data.name(i).rpartition("/")[2] for i in range(len(data))] == ["a.png", "b c.png"]
    np.testing.assert_array_equal(data[0]["gt_landmarks"], [[[0, 0], [10, 20]]])
    assert len(PtsLandmarks(str(root), folders=["images"])) == 2


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: pts(path, [(1, 2), (3, 4)], count=3), "a.pts: expected 3 points, as n_points says, received 2"),
        (
            lambda path: path.write_text("1 2\n3 4\n"),
            "a.pts: expected the lines 'version: 1', 'n_points: K', '{', one 'x y' a point, '}'; received '1 2'",
        ),
        (lambda path: pts(path, [(1, float("nan"))]), "a.pts: expected two finite numbers a point, x and y, received '1 nan'"),
        (lambda path: None, "PtsLandmarks: no picture with a .pts file in "),
    ],
)
def test_pts_files_that_are_wrong_are_named(root, write, message):
    write(root / "images" / "a.pts")
    with pytest.raises(DataError) as error:
        PtsLandmarks(str(root))
    assert message in str(error.value)
    pts(root / "images" / "a.pts", [(1, 1), (2, 2)])
    pts(root / "images" / "b c.pts", [(1, 1)])
    with pytest.raises(DataError, match=r"b c.pts: expected 2 points as in the files before, received 1"):
        PtsLandmarks(str(root))


def test_two_pictures_of_one_pts_file_are_refused(root):
    images = root / "images"
    (images / "a.jpg").write_bytes((images / "a.png").read_bytes())
    pts(images / "a.pts", [(1, 1), (11, 21)])
    with pytest.raises(DataError) as error:
        PtsLandmarks(str(root))
    assert str(error.value) == f"{images}/a.pts: the file of {images}/a.jpg and of {images}/a.png: remove one of these pictures"


def test_pts_files_that_are_wrong_are_listed_together(root):
    pts(root / "images" / "a.pts", [(1, 1), (2, 2)], count=68)
    (root / "images" / "b c.pts").write_text("version: 1\nn_points: 1\n{\n1 two\n}\n")
    with pytest.raises(DataError) as error:
        PtsLandmarks(str(root))
    assert str(error.value).splitlines() == [
        f"{root / 'images' / 'a.pts'}: expected 68 points, as n_points says, received 2",
        f"{root / 'images' / 'b c.pts'}: expected two finite numbers a point, x and y, received '1 two'",
    ]
