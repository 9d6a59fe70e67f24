"""Landmark models without ppface: the same crops and points as ppface gives, on crops and behind a detector, and the line of each mistake."""

import argparse
import json

import cv2
import numpy as np
import pytest
import yaml
from detector import Face, FaceDetector, ModelError
from embedder import open_export
from landmarker import FaceLandmarker, LandmarkedDetector, crop, square
from media import MediaError
from PIL import Image
from session import process, with_landmarks

from ppface import predict
from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture
from ppface.data.pictures.render import render
from ppface.data.transforms import geometry
from ppface.ops import face_crop

INFER = "deploy/python/infer.py"


@pytest.fixture
def photograph(rng) -> np.ndarray:
    return np.kron(rng.integers(0, 256, (15, 25, 3)), np.ones((8, 8, 1))).astype("uint8")


def test_crops_are_those_of_ppface(rng):
    image = cv2.GaussianBlur(rng.integers(0, 256, (601, 799, 3), dtype=np.uint8), (0, 0), 2)
    for _ in range(60):
        middle, sides = rng.uniform(-60, 760, 2), np.exp(rng.uniform(0, 7, 2))  # from a pixel to far more than the picture
        box = np.concatenate([middle - sides / 2, middle + sides / 2])
        margin, shift, size = rng.uniform(0.8, 2), rng.uniform(-0.2, 0.2), (48, int(rng.integers(30, 60)))
        np.testing.assert_allclose(square(box, margin, shift), face_crop.square(box, margin, shift))
        area = square(box, margin, shift)
        want, matrix = render(Picture.of(image), geometry.view(area, size), size)
        pixels, scale, shift = crop(image, area, size)
        np.testing.assert_array_equal(pixels, want)
        np.testing.assert_allclose([*scale, *shift], [matrix[0, 0], matrix[1, 1], *matrix[:2, 2]], atol=1e-9)


def test_points_are_those_of_ppface(toy_landmarks_export, photograph):
    ours, theirs = FaceLandmarker(toy_landmarks_export, threads=1), predict.load(toy_landmarks_export, threads=1)
    boxes = np.array([[10, 12, 50, 60], [-8.5, 70, 60, 130], [100.25, 0, 190, 80]])
    for given in (None, boxes, boxes[:0]):
        found, want = ours(photograph, given), theirs(photograph, given)
        assert [face.box for face in found] == [face.box for face in want]
        for face, other in zip(found, want, strict=True):
            np.testing.assert_allclose(face.landmarks, other.landmarks, atol=1e-4)


@pytest.mark.parametrize(
    "boxes", [[[1, 2, np.nan, 4]], [[1, 2, 3, np.inf]], [1, 2, 3, 4], [[1, 2, 3, 4, 0.9]], [[5, 5, 4, 9]], "words", []], ids=str
)
def test_wrong_boxes_are_the_same_error_as_in_ppface(toy_landmarks_export, photograph, boxes):
    ours, theirs = FaceLandmarker(toy_landmarks_export, threads=1), predict.load(toy_landmarks_export, threads=1)
    if not boxes:
        assert ours(photograph, boxes) == theirs(photograph, boxes) == []
        return
    with pytest.raises(DataError) as wanted:
        theirs(photograph, boxes)
    with pytest.raises(ValueError, match="boxes: expected") as error:
        ours(photograph, boxes)
    assert str(error.value) == str(wanted.value)


@pytest.mark.parametrize(("tool", "crop_shift"), [(INFER, 0.15), ("tools/infer.py", 0.05)])
def test_a_detector_and_a_landmark_model_on_a_photograph(trial, toy_landmarks_export, run_tool, tmp_path, photograph, tool, crop_shift):
    crop_options = ["--margin", 1.4] if crop_shift == face_crop.DETECTED_SHIFT else ["--margin", 1.4, "--shift", crop_shift]
    Image.fromarray(photograph).save(tmp_path / "a.png")
    given = ["-m", trial.export] if tool == INFER else [trial.export]
    options = ["--landmarks", toy_landmarks_export, *crop_options, "--input", tmp_path / "a.png", "--threshold", 0.4]
    done = run_tool(tool, *given, *options, "--output", tmp_path / "out", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("a.png: "), done.stdout  # and no line of the runtime
    (record,) = json.loads((tmp_path / "out" / "faces.json").read_text())
    want = [face for face in predict.load(trial.export, threads=1)(photograph) if face.score >= 0.4]
    assert len(record["faces"]) == len(want) > 0
    points = predict.load(toy_landmarks_export, threads=1)(photograph, [face.box for face in want], 1.4, crop_shift)
    for face, found, marked in zip(record["faces"], want, points, strict=True):
        np.testing.assert_allclose([*face["box"], face["score"]], [*found.box, found.score], atol=0.02)
        np.testing.assert_allclose(face["landmarks"], marked.landmarks, atol=0.05)
    assert (cv2.imread(str(tmp_path / "out" / "a.png"))[..., ::-1] != photograph).any()


def test_a_crop_is_drawn_with_points_and_without_a_box(toy_landmarks_export, tmp_path, photograph):
    Image.fromarray(photograph).save(tmp_path / "a.png")
    find = open_export(toy_landmarks_export, threads=1)
    assert isinstance(find, FaceLandmarker)
    assert process(find, options(input=str(tmp_path / "a.png"), output=str(tmp_path / "out"))) == 0
    (record,) = json.loads((tmp_path / "out" / "faces.json").read_text())
    (face,) = record["faces"]
    np.testing.assert_allclose(face["landmarks"], find(photograph)[0].landmarks, atol=0.01)
    changed = (cv2.imread(str(tmp_path / "out" / "a.png"))[..., ::-1] != photograph).any(axis=2)
    around = np.zeros_like(changed)
    for x, y in face["landmarks"]:
        around[max(0, int(y) - 8) : int(y) + 9, max(0, int(x) - 8) : int(x) + 9] = True
    assert changed.any() and not changed[~around].any()


def test_mistakes_are_one_line(trial, toy_export, toy_landmarks_export, tmp_path):
    detector, embedder, marker = (open_export(folder, threads=1) for folder in (trial.export, toy_export, toy_landmarks_export))
    assert isinstance(detector, FaceDetector)
    assert isinstance(chain := with_landmarks(detector, marker, options()), LandmarkedDetector)
    assert (chain.margin, chain.shift) == (face_crop.DETECTED_MARGIN, face_crop.DETECTED_SHIFT)
    assert [with_landmarks(detector, marker, options(threshold=least)).threshold for least in (None, 0.0, 0.7)] == [0.5, 0.0, 0.7]
    for find, landmarks, given, message in [
        (embedder, marker, {}, "--landmarks: expected a model that finds faces before it, this one takes crops of faces"),
        (marker, marker, {}, "--landmarks: expected a model that finds faces before it, this one takes crops of faces"),
        (detector, embedder, {}, "--landmarks pfld: expected a model of landmarks alone, this one has other outputs"),
        (detector, marker, {"margin": 0.0}, "--margin: expected a number above 0, received 0"),
    ]:
        with pytest.raises(MediaError) as error:
            with_landmarks(find, landmarks, options(**given))
        assert str(error.value) == message
    for name in ("margin", "shift"):
        with pytest.raises(MediaError, match=rf"^--{name}: it is of the crops for a landmark model: give one by --landmarks$"):
            process(detector, options(**{name: 0.5}, landmarks=None))
    for find, given, kind in [
        (marker, "resize", "finds landmarks and resizes pictures itself"),
        (detector, "resize", "finds faces and resizes pictures itself"),
        (marker, "flip", "finds landmarks"),
    ]:
        with pytest.raises(
            MediaError, match=rf"^--{given}: expected a model with the output 'embedding', this one {kind}: leave --{given} out$"
        ):
            process(find, options(**{given: True}, landmarks=None))
    about = yaml.safe_load((toy_landmarks_export / "inference.yml").read_text())
    about["input"]["test"] = {"mode": "native", "size": None, "max_side": 0}
    for file in toy_landmarks_export.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "inference.yml").write_text(yaml.safe_dump(about))
    with pytest.raises(ModelError) as refused:
        FaceLandmarker(tmp_path)
    told = "expected a landmark model with input.test.mode 'stretch', received 'native'"
    assert str(refused.value) == f"{tmp_path / 'inference.yml'}: {told}"


def test_only_faces_of_the_lowest_score_are_cropped():
    class Find:
        seconds = {"pre": 0.0, "run": 0.0, "post": 0.0}

        def __call__(self, image):
            return [Face((0, 0, 8, 8), 0.9), Face((9, 9, 20, 20), 0.4)]

    class Mark(Find):
        def __call__(self, image, boxes, margin, shift):
            assert boxes.tolist() == [[0, 0, 8, 8]]
            return [Face(tuple(boxes[0]), 1.0, np.zeros((2, 2)))]

    (face,) = LandmarkedDetector(Find(), Mark(), threshold=0.5)(np.zeros((30, 30, 3), np.uint8))
    assert face.score == 0.9 and face.landmarks is not None


def options(**given) -> argparse.Namespace:
    default = dict.fromkeys(("input", "output", "json", "threshold", "margin", "shift", "frames", "compare", "threads"))
    return argparse.Namespace(**(default | {"landmarks": "pfld", "repeat": 1, "flip": False, "resize": False} | given))
