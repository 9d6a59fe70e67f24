"""FaceEmbedder: an aligned picture becomes a face with an embedding, the same live and exported; and what `load` makes of a model."""

import numpy as np
import pytest

from ppface import predict
from ppface.core.errors import DataError, WeightsError
from ppface.data.pictures.picture import Picture
from ppface.engine.export import verify
from ppface.ops.embedding import similarity
from ppface.ops.resize import TestSize, resize
from ppface.predict import Face, FaceDetector, FaceEmbedder


def pictures(folder) -> list[np.ndarray]:
    return [Picture.open(file).decode() for file in sorted(folder.rglob("*.png"))]


def test_live_and_exported_models_embed_the_same_way(toy_embedder, toy_export, aligned_faces):
    live, exported = predict.of_predictor(toy_embedder.predictor()), predict.load(toy_export, threads=1)
    assert isinstance(live, FaceEmbedder) and isinstance(exported, FaceEmbedder)
    assert verify(toy_embedder.predictor(), predict.load_predictor(toy_export, threads=1), 1e-4) < 1e-5
    for file in sorted(aligned_faces.rglob("*.png")):
        (face,), (other,) = live(file), exported(Picture.open(file).decode())
        assert isinstance(face, Face)
        assert (face.box, face.score, face.landmarks) == ((0, 0, 16, 16), 1.0, None)
        assert face.embedding.shape == (6,) and face.embedding.dtype == np.float32
        np.testing.assert_allclose(other.embedding, face.embedding, atol=1e-5)
    assert sorted(exported.seconds) == ["post", "pre", "run"]


def test_it_is_what_the_model_says(toy_embedder, aligned_faces):
    predictor = toy_embedder.predictor()
    images = pictures(aligned_faces)
    answer = predictor({"image": np.stack(images).transpose(0, 3, 1, 2)})
    np.testing.assert_allclose(np.linalg.norm(answer["embedding"], axis=1), answer["norm"][:, 0], rtol=1e-5)
    got = [FaceEmbedder(predictor)(image)[0].embedding for image in images]
    np.testing.assert_allclose(got, answer["embedding"], atol=1e-5)
    mirrored = predictor({"image": np.stack([image[:, ::-1] for image in images]).transpose(0, 3, 1, 2)})
    got = [FaceEmbedder(predictor, flip=True)(image)[0].embedding for image in images]
    np.testing.assert_allclose(got, answer["embedding"] + mirrored["embedding"], atol=1e-5)


class Uncertain:
    """A model with everything that a face can have."""

    test_size = TestSize("stretch", (2, 2))

    def __call__(self, batch):
        rows = batch["image"].reshape(len(batch["image"]), -1).astype("float32")
        return {"embedding": rows / 9, "norm": rows[:, :1], "variance": rows, "quality": rows[:, 0]}


def test_variance_and_quality_where_the_model_has_them(toy_embedder, rng):
    image = rng.integers(1, 256, (2, 2, 3)).astype("uint8")
    rows = [pixels.transpose(2, 0, 1).reshape(-1).astype("float32") for pixels in (image, image[:, ::-1])]
    (face,) = FaceEmbedder(Uncertain())(image)
    np.testing.assert_array_equal(face.variance, rows[0])
    assert face.quality == rows[0][0] and type(face.quality) is float
    (face,) = FaceEmbedder(Uncertain(), flip=True)(image)
    np.testing.assert_allclose(face.embedding, (rows[0] + rows[1]) / 9, rtol=1e-6)
    np.testing.assert_allclose(face.variance, (rows[0] + rows[1]) / 2)
    assert face.quality == (rows[0][0] + rows[1][0]) / 2
    (face,) = FaceEmbedder(toy_embedder.predictor())(rng.integers(0, 256, (16, 16, 3)).astype("uint8"))
    assert face.variance is None and face.quality is None


def test_another_size_is_an_error_or_resized(toy_embedder, tmp_path, rng):
    import cv2

    image = rng.integers(0, 256, (40, 30, 3)).astype("uint8")
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    embed = FaceEmbedder(toy_embedder.predictor())
    told = "expected an aligned face of 16x16 pixels, received 30x40: align it with ppface align, or enable `resize`"
    for given, message in ((image, told), (tmp_path / "a.png", f"{tmp_path / 'a.png'}: {told}")):
        with pytest.raises(DataError) as error:
            embed(given)
        assert str(error.value) == message
    (face,) = FaceEmbedder(toy_embedder.predictor(), resize=True)(image)
    assert face.box == (0, 0, 30, 40)
    np.testing.assert_allclose(face.embedding, embed(resize(image, (16, 16)))[0].embedding, atol=1e-6)


def test_what_is_no_picture_is_named(toy_embedder):
    embed = FaceEmbedder(toy_embedder.predictor())
    with pytest.raises(DataError, match=r"^array: expected HxWx3 uint8 RGB pixels, received shape \(16, 16\) of uint8$"):
        embed(np.zeros((16, 16), "uint8"))
    with pytest.raises(DataError, match=r"^gone.jpg: no such picture file$"):
        embed("gone.jpg")
    with pytest.raises(DataError, match=r"a NumPy array, received NoneType: cv2.imread returns None for a file that is missing"):
        embed(None)


class Answers:
    def __init__(self, *names):
        self.names = names

    def outputs(self):
        return list(self.names)


def test_the_outputs_determine_what_a_model_is_for():
    assert isinstance(predict.of_predictor(Answers("boxes", "count", "scores")), FaceDetector)
    assert isinstance(predict.of_predictor(Answers("embedding", "norm")), FaceEmbedder)
    with pytest.raises(WeightsError) as error:
        predict.of_predictor(Answers("logits", "pose"))
    assert str(error.value) == "expected a model with the output 'boxes', 'embedding' or 'landmarks', received one with logits, pose"


def test_similarity_is_the_cosine(rng):
    a, b = rng.normal(size=(2, 64)).astype("float32")
    assert similarity(a, 3 * a) == pytest.approx(1)
    assert similarity(a, -a) == pytest.approx(-1)
    assert similarity(a, b) == pytest.approx(sum(x * y for x, y in zip(a, b, strict=True)) / np.sqrt((a * a).sum() * (b * b).sum()))
    assert similarity(a, 0 * b) == 0
