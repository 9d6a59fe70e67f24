"""tools/align_faces.py: real faces, a restart, and what it says of broken pictures and landmark files."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data.landmarks import landmark_file
from ppface.data.pictures.picture import Picture
from ppface.data.recognition.align_folder import align_folder
from ppface.ops.align import ARCFACE

TOOL = "tools/align_faces.py"
FORMAT = "expected one line per picture: its path, then x y of 5 or 68 points, separated by commas, tabs or spaces"


@pytest.fixture
def photos(tmp_path, rng):
    """Three pictures twice as large as the template; the points of the second lie in one place, the third is cut."""
    folder = tmp_path / "photos"
    (folder / "a b").mkdir(parents=True)
    for name in ("a b/1.png", "2.png", "3.jpg"):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((224, 224)).save(folder / name)
    (folder / "3.jpg").write_bytes((folder / "3.jpg").read_bytes()[:-50])
    rows = [["a b/1.png", *(ARCFACE * 2).ravel()], ["2.png", *[7.0] * 10], ["3.jpg", *(ARCFACE * 2).ravel()]]
    (tmp_path / "points.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    return folder


def test_a_folder_is_aligned_and_a_second_run_does_only_what_is_missing(photos, tmp_path, run_tool):
    out = tmp_path / "aligned"
    command = (TOOL, "--images", photos, "--landmarks", tmp_path / "points.csv", "--out", out, "--format", "png")
    first = run_tool(*command)
    assert first.returncode == 3
    assert first.stdout == f"{out}: 1 aligned, 0 already there, 2 broken\n"
    assert f"broken: {photos}/2.png: similarity: expected points that differ, received 5 times [7.0, 7.0]\n" in first.stderr
    assert f"broken: {photos}/3.jpg: broken picture: Premature end of JPEG file\n" in first.stderr
    written = out / "a b" / "1.png"
    large = np.asarray(Image.open(photos / "a b" / "1.png")).astype(int)
    assert np.abs(np.asarray(Image.open(written)) - large[::2, ::2]).max() <= 1
    (photos / "3.jpg").unlink()
    Image.new("RGB", (224, 224)).save(photos / "3.jpg")
    second = run_tool(*command)
    assert second.stdout == f"{out}: 1 aligned, 1 already there, 1 broken\n"
    assert second.stderr == f"broken: {photos}/2.png: similarity: expected points that differ, received 5 times [7.0, 7.0]\n"
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["1.png", "3.png"]


def test_eyes_only_keeps_the_size(photos, tmp_path, run_tool):
    done = run_tool(TOOL, "--images", photos, "--landmarks", tmp_path / "points.csv", "--out", tmp_path / "up", "--eyes")
    assert done.returncode == 3 and Picture.open(tmp_path / "up" / "a b" / "1.jpg").size == (224, 224)


def test_real_pictures_with_a_score_and_a_count_before_their_points(shared_data, tmp_path, run_tool):
    cfp, photos = shared_data / "cfp", tmp_path / "photos"
    shutil.copytree(cfp / "raw" / "009", photos / "009")
    lines = [line for line in (cfp / "aligned112_detections.csv").read_text().splitlines() if line.startswith("009/")]
    (tmp_path / "points.csv").write_text("\n".join(["path,score,faces,points", *lines]))
    done = run_tool(TOOL, "--images", photos, "--landmarks", tmp_path / "points.csv", "--out", tmp_path / "out", "--skip", 2)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/out: 14 aligned, 0 already there, 0 broken\n")
    for path in (tmp_path / "out").rglob("*.jpg"):
        want = np.asarray(Image.open(cfp / "aligned112" / path.relative_to(tmp_path / "out"))).astype(float)
        assert np.abs(np.asarray(Image.open(path)) - want).mean() < 3


@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_a_landmark_file_of_any_separator(tmp_path, separator):
    path, points = tmp_path / "points.txt", np.arange(20.0).reshape(2, 5, 2)
    lines = [separator.join([name, *map(str, xy.ravel())]) for name, xy in zip(("a.jpg", "b/c.jpg"), points, strict=True)]
    path.write_text("# made by hand\n" + "\n".join(lines) + "\n\n")
    names, read = landmark_file.read(path)
    assert names == ["a.jpg", "b/c.jpg"]
    np.testing.assert_array_equal(read, points)


def test_the_landmarks_of_lfw(shared_data):
    names, points = landmark_file.read(shared_data / "lfw" / "lfw_landmark_250.txt")
    assert len(names) == len(points) > 7000 and points.shape[1:] == (5, 2)
    assert list(csv.reader(names[:1]))


FIVE = "1 2 3 4 5 6 7 8 9 10"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path x y\n", f": expected at least one line of landmarks, found none: {FORMAT}"),
        (f"a.jpg {FIVE}\nb.jpg 1 2\n", f":2: {FORMAT}; received 2 numbers in 'b.jpg 1 2'"),
        (f"a.jpg {FIVE}\nb.jpg {FIVE[:-2]}nan\n", f":2: {FORMAT}; received 'nan' as column 11 in 'b.jpg {FIVE[:-2]}nan'"),
        (f"a.jpg {FIVE}\nb.jpg{' 1' * 136}\n", ":2: expected 5 points as in the lines before, received 68"),
        (f"a.jpg {FIVE}\na.jpg {FIVE}\n", ":2: expected one line per picture, received a second one for a.jpg"),
        (f"../a.jpg {FIVE}\n", ":1: expected a path inside the folder, received ../a.jpg"),
    ],
)
def test_a_landmark_file_that_is_wrong_is_refused_at_its_line(tmp_path, text, reason):
    path = tmp_path / "points.txt"
    path.write_text(text)
    with pytest.raises(DataError) as refusal:
        landmark_file.read(path)
    assert str(refusal.value) == f"{path}{reason}"


def test_two_pictures_of_one_name_are_refused_before_any_is_written(tmp_path):
    faces = [("a.jpg", ARCFACE), ("a.png", ARCFACE)]
    with pytest.raises(DataError) as refusal:
        align_folder(tmp_path, tmp_path / "out", faces, lambda pixels, points: pixels)
    assert str(refusal.value) == f"{tmp_path}/out/a.jpg: two pictures of the landmark file would be written to this file; rename one"
