"""Landmarks of crops and of faces on photographs: the crop is the evaluator's, and points come back in pixels of the picture."""

import cv2
import numpy as np
import paddle
import pytest

from ppface import predict
from ppface.core.errors import DataError, WeightsError
from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import LandmarkCrop
from ppface.engine.export import verify
from ppface.evaluators.landmarks import nme
from ppface.ops.face_crop import square
from ppface.ops.resize import TestSize
from ppface.predict import Face, FaceLandmarker, LandmarkedDetector


class Fixed:
    """Always predicts the same points of a crop, and remembers what it got."""

    def __init__(self, points=((3.0, 8.0), (30.0, 24.0)), size=(32, 48), mode="stretch"):
        self.points, self.test_size, self.seen = np.array(points, "float32"), TestSize(mode, size), []

    def outputs(self):
        return ["landmarks"]

    def __call__(self, batch):
        self.seen.append(batch["image"])
        return {"landmarks": np.tile(self.points, (len(batch["image"]), 1, 1))}


def test_the_square_of_a_box_by_hand():
    assert square([10, 20, 30, 60]).tolist() == [20 - 24, 40 - 24, 20 + 24, 40 + 24]
    assert square([10, 20, 30, 60], 2).tolist() == [-20, 0, 60, 80]
    assert square([10, 20, 30, 60], 2, 0.25).tolist() == [-20, 10, 60, 90]
    assert square([5, 5, 5, 5], 2).tolist() == [4, 4, 6, 6]  # a box without area counts as one pixel


def test_a_crop_is_stretched_and_its_landmarks_come_back_in_its_pixels(rng):
    model = Fixed()
    (face,) = FaceLandmarker(model)(rng.integers(0, 256, (64, 144, 3), dtype=np.uint8))
    assert model.seen[0].shape == (1, 3, 32, 48) and model.seen[0].dtype == np.uint8
    assert (face.box, face.score, face.embedding) == ((0.0, 0.0, 144.0, 64.0), 1.0, None)
    np.testing.assert_allclose(face.landmarks, model.points * [3, 2])


@pytest.mark.parametrize("side", [40, 150, 700])  # enlarged, reduced, and read at half its size
def test_faces_of_a_photograph_are_cropped_as_in_evaluation(rng, tmp_path, side):
    image = cv2.GaussianBlur(rng.integers(0, 256, (800, 900, 3), dtype=np.uint8), (0, 0), 3)
    boxes = np.array([[100.3, 50.7, 100.3 + side, 50.7 + side * 0.8], [-20.5, -10, side - 30, side + 4.25]])
    model = Fixed(size=(48, 48))
    faces = FaceLandmarker(model)(image, boxes)
    crop = Pipeline([LandmarkCrop((48, 48))])
    for box, pixels, face in zip(boxes, model.seen[0], faces, strict=True):
        truth = np.array([box[:2], box[2:]], "float32")
        want = crop({"picture": Picture.of(image), "gt_boxes": box[None], "gt_landmarks": truth[None]}, rng)
        np.testing.assert_array_equal(pixels, want["image"])
        assert face.box == tuple(box.tolist())
        first, second = want["gt_landmarks"][0]
        scale = (box[2:] - box[:2]) / (second - first)
        np.testing.assert_allclose(face.landmarks, box[:2] + (model.points - first) * scale, atol=1e-2)


def test_what_it_finds_in_a_crop_is_what_it_finds_in_the_photograph():
    """A network that answers the middle of the red pixels: found in the photograph where they are painted."""

    class Red(Fixed):
        def __call__(self, batch):
            found = []
            for pixels in batch["image"]:
                y, x = np.nonzero((pixels[0] > 200) & (pixels[1] < 50))
                found.append([[x.mean() + 0.5, y.mean() + 0.5]])
            return {"landmarks": np.array(found, "float32")}

    photograph = np.full((300, 400, 3), 90, np.uint8)
    marks = [(104, 53), (301, 222)]
    for x, y in marks:
        photograph[y - 3 : y + 3, x - 3 : x + 3] = (255, 0, 0)
    boxes = np.array([(80, 30, 150, 110), (250, 200, 330, 300)])
    faces = FaceLandmarker(Red(size=(112, 112)))(photograph, boxes)
    np.testing.assert_allclose([face.landmarks[0] for face in faces], marks, atol=0.5)


def test_behind_a_detector_the_landmarks_are_those_of_the_model(tmp_path):
    class Detector:
        seconds = {"pre": 1.0, "run": 2.0, "post": 3.0}

        def __call__(self, pixels):
            return [Face((10, 10, 42, 42), 0.9, np.zeros((5, 2))), Face((60, 20, 92, 52), 0.6)] if pixels.any() else []

    model = Fixed(size=(48, 48))
    chain = LandmarkedDetector(Detector(), FaceLandmarker(model), margin=1.5, shift=0.125)
    image = np.full((100, 120, 3), 7, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    for given in (image, tmp_path / "a.png"):
        faces = chain(given)
        assert [(face.box, face.score) for face in faces] == [((10, 10, 42, 42), 0.9), ((60, 20, 92, 52), 0.6)]
        np.testing.assert_allclose(faces[0].landmarks, model.points + [2, 6], atol=1e-4)  # 26 - 48 / 2, and lower by 4
        np.testing.assert_allclose(faces[1].landmarks, model.points + [52, 16], atol=1e-4)
        assert all(chain.seconds[stage] > Detector.seconds[stage] for stage in ("pre", "run", "post"))
    (only,) = LandmarkedDetector(Detector(), FaceLandmarker(model), threshold=0.9)(image)  # faces below it cost no run of the model
    assert only.score == 0.9 and len(model.seen[-1]) == 1
    runs = len(model.seen)
    assert chain(np.zeros((100, 120, 3), np.uint8)) == [] and len(model.seen) == runs  # no face: the model is not run


@pytest.mark.parametrize(
    ("boxes", "received"),
    [
        ([1, 2, 3, 4], "shape (4,)"),
        (np.zeros((2, 5)), "shape (2, 5)"),
        ([[1, 2, 3, 4], [1, 2, np.nan, 4]], "numbers that are not finite in row 1"),
        ([[1, 2, np.inf, 4]], "numbers that are not finite in row 0"),
        ([[60, 60, 10, 12.5]], "60 60 10 12.5 in row 0, with x2 < x1 or y2 < y1"),
        ("words", "str"),
    ],
)
def test_wrong_boxes_are_reported(boxes, received):
    with pytest.raises(DataError) as error:
        FaceLandmarker(Fixed())(np.zeros((9, 9, 3), np.uint8), boxes)
    assert str(error.value) == f"boxes: expected (G, 4) x1, y1, x2, y2 in pixels of the picture, received {received}"


def test_no_boxes_in_an_empty_list_are_no_faces():
    assert FaceLandmarker(Fixed())(np.zeros((9, 9, 3), np.uint8), []) == []


def test_another_test_mode_is_reported():
    with pytest.raises(WeightsError) as error:
        predict.of_predictor(Fixed(mode="native"))
    assert str(error.value) == "expected a landmark model with input.test: {mode: stretch}, received mode 'native'"


@paddle.no_grad()
def test_live_and_exported_landmarks_are_the_same_in_pixels_of_the_crop(toy_landmarks, toy_landmarks_export, rng):
    live, exported = predict.of_predictor(toy_landmarks.predictor()), predict.load(toy_landmarks_export, threads=1)
    assert isinstance(live, FaceLandmarker) and isinstance(exported, FaceLandmarker)
    assert verify(toy_landmarks.predictor(), exported.predict, 1e-4) < 1e-4
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    want = toy_landmarks({"image": paddle.to_tensor(image.transpose(2, 0, 1)[None])})["landmarks"].numpy()
    assert want.shape == (1, 5, 2) and want.min() > 0 and want.max() < 32 and want.std() > 1  # pixels, not shares of the side
    for find in (live, exported):
        assert nme(find(image)[0].landmarks, want[0], "box") < 1e-4
        large = find(cv2.resize(image, (64, 96), interpolation=cv2.INTER_NEAREST))[0].landmarks
        np.testing.assert_allclose(large, find(image)[0].landmarks * [2, 3], atol=4)  # about the same picture
        two = find(image, np.array([[4, 4, 20, 20], [10, 2, 30, 30]]))
        one = find(image, np.array([[10, 2, 30, 30]]))
        np.testing.assert_allclose(two[1].landmarks, one[0].landmarks, atol=1e-3)
