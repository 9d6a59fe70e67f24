"""Post-processing of a batch against loops over one image's anchors."""

import math

import numpy as np
import paddle
import pytest

from ppface.ops import boxes as ops
from ppface.post import NMS, Blend, FacePost

SIZE = (96, 160)


def draw(rng, images, anchors, landmarks):
    outputs = {
        "boxes": rng.normal(0, 1, (images, anchors, 4)),
        "logits": rng.normal(0, 3, (images, anchors, 2)),
        "anchors": np.concatenate([rng.uniform(0, 1, (anchors, 2)), rng.uniform(0.1, 0.3, (anchors, 2))], axis=1),
    }
    if landmarks:
        outputs["landmarks"] = rng.normal(0, 3, (images, anchors, landmarks, 2))
    return {key: value.astype("float32") for key, value in outputs.items()} | {"size": np.array(SIZE)}


def reference(outputs, i, threshold, pre_top, keep_top, blends):
    """[(score, box, landmarks)] of image i by falling score."""
    height, width = SIZE
    found = []
    for a, (cx, cy, w, h) in enumerate(outputs["anchors"].astype("float64")):
        score = 1 / (1 + math.exp(float(outputs["logits"][i, a, 1]) - float(outputs["logits"][i, a, 0])))
        if score > threshold:
            dx, dy, dw, dh = outputs["boxes"][i, a].astype("float64")
            x, y, w2, h2 = cx + dx * 0.1 * w, cy + dy * 0.1 * h, w * math.exp(0.2 * dw) / 2, h * math.exp(0.2 * dh) / 2
            row = [(x - w2) * width, (y - h2) * height, (x + w2) * width, (y + h2) * height]
            for px, py in outputs["landmarks"][i, a] if "landmarks" in outputs else ():
                row += [(cx + px * 0.1 * w) * width, (cy + py * 0.1 * h) * height]
            found.append((score, row))
    found = sorted(found, key=lambda item: -item[0])[:pre_top]
    groups = []
    for score, row in found:
        for group in groups:
            if ops.iou(np.array([group[0][1][:4]]), np.array([row[:4]]))[0, 0] > 0.3:
                group.append((score, row))
                break
        else:
            groups.append([(score, row)])
    groups = groups[:keep_top]
    if not blends:
        return [group[0] for group in groups]
    return [(group[0][0], np.average([row for _, row in group], axis=0, weights=[score for score, _ in group])) for group in groups]


@pytest.mark.parametrize("landmarks", [0, 6])
@pytest.mark.parametrize("overlap", [NMS, Blend])
@pytest.mark.parametrize("limits", [(0.01, 5000, 750), (0.6, 40, 5), (0.9, 5000, 750)])
def test_a_batch_agrees_with_loops(rng, overlap, limits, landmarks):
    threshold, pre_top, keep_top = limits
    outputs = draw(rng, 3, 120, landmarks)
    outputs["logits"][1, :, 1] += 100  # an image without faces
    post = FacePost(overlap(0.3), threshold, pre_top, keep_top)
    faces = {key: value.numpy() for key, value in post({key: paddle.to_tensor(value) for key, value in outputs.items()}).items()}
    want = [reference(outputs, i, threshold, pre_top, keep_top, overlap is Blend) for i in range(3)]
    assert faces["count"].tolist() == [len(rows) for rows in want] and faces["count"].dtype == np.int32
    assert faces["count"][0] > 0 and faces["count"][1] == 0
    rows = [row for image in want for row in image]
    np.testing.assert_allclose(faces["scores"], [score for score, _ in rows], rtol=1e-4)
    np.testing.assert_allclose(faces["boxes"], np.array([row for _, row in rows])[:, :4], atol=1e-3)
    assert ("landmarks" in faces) == bool(landmarks)
    if landmarks:
        np.testing.assert_allclose(faces["landmarks"].reshape(len(rows), -1), np.array([row for _, row in rows])[:, 4:], atol=1e-3)


def test_of_certain_faces_the_most_certain_is_kept():
    """In float32 the score of each of these is 1."""
    margins = np.array([20.0, 90.0, 30.0, 60.0], np.float32)
    outputs = {
        "boxes": np.zeros((1, 4, 4), np.float32),
        "logits": np.stack([margins, np.zeros(4, np.float32)], axis=1)[None],
        "anchors": np.array([[0.5 + 0.001 * i, 0.5, 0.2, 0.2] for i in range(4)], np.float32),
        "size": np.array([100, 100]),
    }
    faces = FacePost(NMS(0.3))({key: paddle.to_tensor(value) for key, value in outputs.items()})
    assert faces["scores"].numpy().tolist() == [1.0]
    np.testing.assert_allclose(faces["boxes"].numpy(), [[40.1, 40, 60.1, 60]], rtol=1e-5)


@pytest.mark.parametrize("overlap", [NMS, Blend])
def test_nothing_above_the_threshold_gives_empty_arrays(rng, overlap):
    outputs = draw(rng, 2, 30, 5)
    outputs["logits"][..., 1] = 100
    faces = FacePost(overlap())({key: paddle.to_tensor(value) for key, value in outputs.items()})
    assert {key: value.shape for key, value in faces.items()} == {"boxes": [0, 4], "scores": [0], "count": [2], "landmarks": [0, 5, 2]}
    assert faces["count"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NMS(1.5), "NMS: expected iou_threshold in 0..1, received 1.5"),
        (lambda: Blend(-0.1), "Blend: expected iou_threshold in 0..1, received -0.1"),
        (
            lambda: FacePost(NMS(), keep_top=0),
            "FacePost: expected score_threshold in 0..1, pre_top and keep_top of at least 1, "
            "received score_threshold=0.01, pre_top=5000, keep_top=0",
        ),
    ],
)
def test_arguments_out_of_range_are_named(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(("images", "anchors"), [(0, 7), (2, 0), (0, 0)])
@pytest.mark.parametrize("landmarks", [0, 5])
def test_no_pictures_have_no_faces(rng, images, anchors, landmarks):
    outputs = {key: paddle.to_tensor(value) for key, value in draw(rng, images, anchors, landmarks).items()}
    faces = FacePost(NMS())(outputs)
    assert {key: (value.shape, value.numpy().dtype.name) for key, value in faces.items()} == {
        "boxes": ([0, 4], "float32"),
        "scores": ([0], "float32"),
        "count": ([images], "int32"),
        **({"landmarks": ([0, 5, 2], "float32")} if landmarks else {}),
    }
