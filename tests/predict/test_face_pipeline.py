"""FacePipeline against a plain script that calls the parts one by one, and everything that can be given wrongly."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image

import ppface
from ppface import predict
from ppface.core.errors import DataError, WeightsError
from ppface.data.pictures.picture import Picture
from ppface.ops import align
from ppface.ops.embedding import described
from ppface.ops.resize import TestSize
from ppface.predict import Face, FaceDetector, FaceEmbedder, FaceLandmarker, FacePipeline, LandmarkedDetector
from ppface.predict.alignment import ALIGNMENTS

POINTS = np.array([[34, 42], [62, 45], [48, 60], [38, 75], [60, 76]], "float32")


class Boxes:
    """Finds the same faces in every picture that is not black: two sure ones and one of a low score; the second is at the border."""

    test_size = TestSize()

    def __init__(self, landmarks=None):
        self.landmarks = landmarks

    def outputs(self):
        return ["boxes", "scores"] + ["landmarks"] * (self.landmarks is not None)

    def __call__(self, batch):
        faces = slice(0, 3 if batch["image"].any() else 0)
        boxes = np.array([[20.4, 20.9, 80.2, 95.5], [90, 60, 140.7, 130], [0, 0, 9, 9]], "float32")
        found = {"boxes": boxes[faces], "scores": np.array([0.9, 0.8, 0.2], "float32")[faces]}
        return found if self.landmarks is None else found | {"landmarks": self.landmarks[faces]}


class Embeds:
    """Means of the channels over a 4x4 grid; counts its calls. With `extra` it has a variance and a quality too."""

    def __init__(self, size=(112, 112), extra=False):
        self.test_size, self.extra, self.batches = TestSize("stretch", size), extra, []

    def outputs(self):
        return ["embedding", *(["variance", "quality"] * self.extra)]

    def __call__(self, batch):
        pixels = batch["image"].astype("float32")
        self.batches.append(len(pixels))
        rows = cv2.resize(pixels.reshape(-1, *pixels.shape[2:]).transpose(1, 2, 0), (4, 4), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
        rows = rows.reshape(len(pixels), -1)
        more = {"variance": 1 + rows, "quality": -rows.sum(axis=1)} if self.extra else {}
        return {"embedding": rows, **more}


class Marks:
    test_size = TestSize("stretch", (32, 32))

    def __init__(self, count=68):
        self.points = np.random.default_rng(1).uniform(4, 28, (count, 2)).astype("float32")

    def outputs(self):
        return ["landmarks"]

    def __call__(self, batch):
        return {"landmarks": np.tile(self.points, (len(batch["image"]), 1, 1))}


def five(*shifts):
    return np.stack([POINTS + shift for shift in shifts])


def detector(landmarks=True):
    return FaceDetector(Boxes(five((0, 0), (65, 40), (0, 0)) if landmarks else None))


@pytest.fixture
def image(rng):
    return cv2.GaussianBlur(rng.integers(0, 256, (130, 141, 3), dtype=np.uint8), (0, 0), 2)


def by_hand(image, face, name, size):
    """The three alignments in other words."""
    if name == "five_points":
        matrix = align.similarity(face.landmarks, align.ARCFACE * size[0] / 112 + [(size[1] - size[0]) / 2, 0])
        return cv2.warpAffine(image, matrix, size[::-1])
    if name == "eyes":
        (x1, y1), (x2, y2) = face.landmarks[:2].astype(float)
        (u1, v1), (u2, v2) = align.template(size)[:2]
        turn = complex(u2 - u1, v2 - v1) / complex(x2 - x1, y2 - y1)
        move = complex(u1, v1) - turn * complex(x1, y1)
        return cv2.warpAffine(image, np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]]), size[::-1])
    x1, y1, x2, y2 = (int(edge) for edge in face.box)
    part = image[y1:y2, x1:x2]
    x, y = face.landmarks[1] - face.landmarks[0]
    middle = (part.shape[1] // 2, part.shape[0] // 2)
    part = cv2.warpAffine(part, cv2.getRotationMatrix2D(middle, math.degrees(math.atan(y / x)), 1), part.shape[1::-1])
    scale = min(size[0] / part.shape[0], size[1] / part.shape[1])
    height, width = round(part.shape[0] * scale), round(part.shape[1] * scale)
    canvas = np.full((*size, 3), 128, np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(part, (width, height))
    return canvas


@pytest.mark.parametrize("name", ["five_points", "eyes", "crop"])
@pytest.mark.parametrize("size", [(112, 112), (160, 160), (112, 96)])
def test_the_same_as_the_parts_one_by_one(image, name, size):
    find, embed = detector(), FaceEmbedder(Embeds(size))
    faces = FacePipeline(find, embed, align=name)(image)
    wanted = [face for face in find(image) if face.score >= 0.5]
    assert [(face.box, face.score) for face in faces] == [(face.box, face.score) for face in wanted] and len(faces) == 2
    for face, want in zip(faces, wanted, strict=True):
        np.testing.assert_array_equal(face.landmarks, want.landmarks)
        assert np.abs(face.aligned.astype(int) - by_hand(image, want, name, size)).max() <= 1  # a matrix of other last digits
        crop = ALIGNMENTS[name](image, want, size)
        np.testing.assert_array_equal(face.aligned, crop)
        assert face.aligned.shape == (*size, 3) and face.aligned.dtype == np.uint8 and face.aligned.any()
        alone = described(embed.predict, [crop])
        np.testing.assert_array_equal(face.embedding, alone["embedding"][0])
        assert face.quality == float(alone["norm"][0]) and face.variance is None


def test_the_faces_of_all_pictures_are_embedded_together(image):
    model = Embeds()
    pipeline = FacePipeline(detector(), FaceEmbedder(model), batch_size=3)
    pictures = [image, np.zeros_like(image), image[:, ::-1].copy()]
    together = pipeline(pictures)
    assert [len(faces) for faces in together] == [2, 0, 2] and model.batches == [3, 1]
    for faces, picture in zip(together, pictures, strict=True):
        for face, alone in zip(faces, pipeline(picture), strict=True):
            np.testing.assert_array_equal(face.embedding, alone.embedding)
            np.testing.assert_array_equal(face.aligned, alone.aligned)
    assert pipeline([]) == [] and pipeline(pictures[1]) == [] and set(pipeline.seconds) == {"pre", "run", "post"}


def test_mirrored_crops_quality_and_variance_of_the_model(image):
    model = Embeds(extra=True)
    for embed in (FaceEmbedder(model, flip=True), FaceEmbedder(model)):
        face = FacePipeline(detector(), embed, flip=True)(image)[0]
        want = described(model, [face.aligned], flip=True)
        np.testing.assert_array_equal(face.embedding, want["embedding"][0])
        np.testing.assert_array_equal(face.variance, want["variance"][0])
        assert face.quality == float(want["quality"][0]) < 0


@pytest.mark.parametrize("count", [68, 98])
@pytest.mark.parametrize("chained", [False, True])
def test_a_landmark_model_after_the_detector(image, count, chained):
    mark, embed = FaceLandmarker(Marks(count)), FaceEmbedder(Embeds())
    find = detector(landmarks=False)
    chain = LandmarkedDetector(find, mark, threshold=0.5)
    pipeline = FacePipeline(chain, embed) if chained else FacePipeline(find, embed, mark)
    faces = pipeline(image)
    assert len(faces) == 2
    for face, want in zip(faces, chain(image), strict=True):
        np.testing.assert_array_equal(face.landmarks, want.landmarks)
        eyes = {68: (range(36, 42), range(42, 48)), 98: (range(60, 68), range(68, 76))}[count]
        rest = {68: (30, 48, 54), 98: (54, 76, 82)}[count]
        points = [np.mean([want.landmarks[i] for i in eye], axis=0) for eye in eyes] + [want.landmarks[i] for i in rest]
        np.testing.assert_array_equal(face.aligned, align.align(image, np.array(points)))


def test_paths_are_read_as_everywhere(image, tmp_path):
    pipeline = FacePipeline(detector(), FaceEmbedder(Embeds()))
    grey = image[:, :, 0]
    kinds = {"grey.png": grey, "rgba.png": np.dstack([image, grey]), "deep.png": grey.astype("uint16") << 8}
    for name, pixels in kinds.items():
        Image.fromarray(pixels).save(tmp_path / name)
        (face, *_), (want, *_) = pipeline([tmp_path / name])[0], pipeline(Picture.open(tmp_path / name).decode())
        np.testing.assert_array_equal(face.embedding, want.embedding)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, "one place"])
def test_a_face_that_cannot_be_aligned_is_returned_without_embedding(image, spoilt):
    points = five((0, 0), (65, 40), (0, 0))
    points[0] = 50 if spoilt == "one place" else spoilt
    find = FaceDetector(Boxes(points))
    lost, other = FacePipeline(find, FaceEmbedder(Embeds()))(image)
    assert lost.embedding is None and lost.aligned is None and lost.box and other.embedding is not None
    assert all(face.embedding is not None for face in FacePipeline(find, FaceEmbedder(Embeds()), align="crop")(image))


def test_a_box_of_a_part_of_a_pixel_at_the_border_is_cropped_to_one():
    image = np.arange(30, dtype=np.uint8).reshape(2, 5, 3)
    crop = ALIGNMENTS["crop"](image, Face((4.6, 1.2, 5.0, 1.4), 1.0), (4, 4))
    assert (crop == image[1, 4]).all()
    upright = Face((0.0, 0.0, 5.0, 2.0), 1.0, np.array([[2, 0], [2, 1], [1, 1], [0, 1], [3, 1]]))  # one eye above the other: not rotated
    assert (ALIGNMENTS["crop"](image, upright, (2, 5)) == image).all()


def test_the_package_has_it():
    assert ppface.FacePipeline is FacePipeline


def test_sources_are_opened(trial, toy_export, image):
    pipeline = ppface.FacePipeline(str(trial.export), toy_export, threshold=0.4, threads=1)
    faces = pipeline(image)
    find, embed = predict.load(trial.export), predict.load(toy_export)
    wanted = [face for face in find(image) if face.score >= 0.4]
    assert len(faces) == len(wanted) > 0 and pipeline.size == (16, 16)
    crops = [align.align(image, face.landmarks, (16, 16)) for face in wanted]
    for face, crop in zip(faces, crops, strict=True):
        np.testing.assert_array_equal(face.aligned, crop)
        np.testing.assert_allclose(face.embedding, embed(crop)[0].embedding, rtol=1e-4, atol=1e-5)


FIND, EMBED, MARK = detector(), FaceEmbedder(Embeds()), FaceLandmarker(Marks())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"align": "ears"},
            ValueError,
            "FacePipeline: expected align to be one of five_points, eyes, crop, received 'ears'",
        ),
        (
            {"threshold": float("nan")},
            ValueError,
            "FacePipeline: expected threshold in 0..1 and batch_size of at least 1, received nan and 32",
        ),
        ({"batch_size": 0}, ValueError, "FacePipeline: expected threshold in 0..1 and batch_size of at least 1, received 0.5 and 0"),
        (
            {"detector": EMBED},
            WeightsError,
            "FacePipeline: detector: expected a model that finds faces (output 'boxes'), received a model with embedding",
        ),
        (
            {"embedder": FIND},
            WeightsError,
            "FacePipeline: embedder: expected a model that embeds aligned faces (output 'embedding'), received a model with boxes, scores, "
            "landmarks",
        ),
        (
            {"landmarks": EMBED},
            WeightsError,
            "FacePipeline: landmarks: expected a model of landmarks alone (output 'landmarks'), received a model with embedding",
        ),
        (
            {"embedder": None},
            WeightsError,
            "FacePipeline: embedder: expected a model that embeds aligned faces (output 'embedding'), received NoneType",
        ),
        (
            {"detector": detector(landmarks=False)},
            WeightsError,
            "FacePipeline: align='five_points' needs landmarks, and this detector finds boxes alone: give a landmark model by `landmarks`, a "
            "detector with landmarks, or align='crop'",
        ),
    ],
)
def test_mistakes_are_refused_at_construction(arguments, error, message):
    with pytest.raises(error) as raised:
        FacePipeline(**{"detector": FIND, "embedder": EMBED} | arguments)
    assert str(raised.value) == message


def test_boxes_alone_are_enough_for_crops_and_for_a_landmark_model(image):
    find = detector(landmarks=False)
    assert len(FacePipeline(find, EMBED, align="crop")(image)) == len(FacePipeline(find, EMBED, MARK, "eyes")(image)) == 2


def test_wrong_pictures_and_landmarks_are_named(image, tmp_path):
    pipeline = FacePipeline(FIND, EMBED)
    for given, message in (
        ([image, image[:, :, 0]], "images[1]: expected HxWx3 uint8 RGB pixels, received shape (130, 141) of uint8"),
        (Image.fromarray(image), "array: expected HxWx3 uint8 RGB pixels, a NumPy array, received Image"),
        (None, "array: expected HxWx3 uint8 RGB pixels, a NumPy array, received NoneType"),
        ([None], "images[0]: expected HxWx3 uint8 RGB pixels, a NumPy array, received NoneType"),
        (image.astype("uint16"), "array: expected HxWx3 uint8 RGB pixels, received shape (130, 141, 3) of uint16"),
        ([tmp_path / "no.jpg"], f"{tmp_path / 'no.jpg'}: no such picture file"),
    ):
        with pytest.raises(DataError) as raised:
            pipeline(given)
        assert str(raised.value).startswith(message)
    with pytest.raises(WeightsError) as raised:
        FacePipeline(FaceDetector(Boxes(np.zeros((3, 6, 2), "float32"))), EMBED)(image)
    assert str(raised.value) == "FacePipeline: expected a detector with one of 5, 68, 98 landmarks a face, received 6"
