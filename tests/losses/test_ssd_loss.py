"""SSD loss against loops over images, anchors and faces."""

import math

import numpy as np
import paddle
import pytest

from ppface.core.errors import DataError
from ppface.losses import SSDLoss
from ppface.ops import boxes as ops

SIZE = (64, 96)


def grid(size=SIZE):
    height, width = size
    rows = [
        ((j + 0.5) * step / width, (i + 0.5) * step / height, side / width, side / height)
        for step, sides in ((8, (16, 24)), (16, (32, 48)))
        for i in range(-(-height // step))
        for j in range(-(-width // step))
        for side in sides
    ]
    return np.array(rows, "float32")


def faces(rng, count, size=SIZE, low=6, high=40):
    side, centre = rng.uniform(low, high, (count, 2)), rng.uniform(0, 1, (count, 2)) * [size[1], size[0]]
    return np.concatenate([centre - side / 2, centre + side / 2], axis=1).astype("float32")


def setting(rng, counts, landmarks=0, size=SIZE):
    """(outputs, batch) as NumPy arrays."""
    anchors, most = grid(size), max(1, *counts)
    outputs = {
        "boxes": rng.normal(0, 2, (len(counts), len(anchors), 4)).astype("float32"),
        "logits": rng.normal(0, 2, (len(counts), len(anchors), 2)).astype("float32"),
        "anchors": anchors,
        "size": np.array(size),
    }
    batch = {"gt_boxes": np.zeros((len(counts), most, 4), "float32"), "gt_count": np.array(counts)}
    for i, count in enumerate(counts):
        batch["gt_boxes"][i, :count] = faces(rng, count, size)
    if landmarks:
        outputs["landmarks"] = rng.normal(0, 2, (len(counts), len(anchors), landmarks, 2)).astype("float32")
        batch["gt_landmarks"] = rng.uniform(0, 64, (len(counts), most, landmarks, 2)).astype("float32")
        batch["gt_has_landmarks"] = rng.uniform(size=(len(counts), most)) < 0.5
    return outputs, batch


def tensors(arrays):
    made = {key: paddle.to_tensor(value) for key, value in arrays.items()}
    for key in {"boxes", "logits", "landmarks"} & set(made):
        made[key].stop_gradient = False
    return made


def smooth_l1(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def reference(outputs, batch, threshold=0.35, ratio=3.0, floor=0.0, ignored_from=1.0):
    height, width = outputs["size"]
    pixels = outputs["anchors"].astype("float64") * [width, height, width, height]
    places = np.concatenate([pixels[:, :2] - pixels[:, 2:] / 2, pixels[:, :2] + pixels[:, 2:] / 2], axis=1)
    loc = conf = marks = positives = marked = 0
    for i, count in enumerate(batch["gt_count"]):
        boxes = batch["gt_boxes"][i, :count].astype("float64")
        iou = ops.iou(places, boxes)
        owner = {a: int(iou[a].argmax()) for a in range(len(places)) if count and iou[a].max() >= threshold}
        for g in range(count):
            if iou[:, g].max() > 0 and iou[:, g].max() >= floor:  # of equal anchors the nearest
                away = np.abs(pixels[:, :2] - ops.centres(boxes[g])).round(3)
                owner[min(range(len(places)), key=lambda a: (-round(iou[a, g], 9), away[a, 1], away[a, 0], a))] = g
        cross = []
        for a, (face, background) in enumerate(outputs["logits"][i].astype("float64")):
            top = max(face, background)
            total = top + math.log(math.exp(face - top) + math.exp(background - top))
            cross.append(total - (face if a in owner else background))
        near = {a for a in range(len(places)) if count and ignored_from <= iou[a].max() < threshold}
        negatives = sorted((value for a, value in enumerate(cross) if a not in owner and a not in near), reverse=True)
        conf += sum(cross[a] for a in owner) + sum(negatives[: int(max(1, len(owner)) * ratio)])
        positives += len(owner)
        for a, g in owner.items():
            (cx, cy, w, h), (x1, y1, x2, y2) = pixels[a], boxes[g]
            target = [
                ((x1 + x2) / 2 - cx) / w / 0.1,
                ((y1 + y2) / 2 - cy) / h / 0.1,
                math.log((x2 - x1) / w) / 0.2,
                math.log((y2 - y1) / h) / 0.2,
            ]
            loc += sum(smooth_l1(got - want) for got, want in zip(outputs["boxes"][i, a], target, strict=True))
            if "landmarks" in outputs and batch["gt_has_landmarks"][i, g]:
                marked += 1
                for (px, py), (ox, oy) in zip(batch["gt_landmarks"][i, g], outputs["landmarks"][i, a], strict=True):
                    marks += smooth_l1(ox - (px - cx) / w / 0.1) + smooth_l1(oy - (py - cy) / h / 0.1)
    losses = {"loc": loc / max(1, positives), "conf": conf / max(1, positives)}
    return {**losses, "landmarks": marks / max(1, marked)} if "landmarks" in outputs else losses


@pytest.mark.parametrize("counts", [(5,), (3, 0, 9), (0, 0), (120, 1)])
@pytest.mark.parametrize("landmarks", [0, 5])
def test_every_term_follows_the_paper(rng, counts, landmarks):
    outputs, batch = setting(rng, counts, landmarks)
    want = reference(outputs, batch)
    got = SSDLoss()(tensors(outputs), tensors(batch))
    assert set(got) == set(want)
    for name, value in want.items():
        assert float(got[name]) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(("threshold", "floor", "background"), [(0.35, 0.3, None), (0.5, 0.0, 0.3), (0.5, 0.2, 0.1)])
@pytest.mark.parametrize("ratio", [0.5, 7.0])
def test_faces_below_the_floor_and_anchors_in_the_ignored_band_do_not_count(rng, threshold, floor, background, ratio):
    outputs, batch = setting(rng, (9, 0, 4), 5)
    want = reference(outputs, batch, threshold, ratio, floor, background or 1.0)
    made, plain = tensors(outputs), reference(outputs, batch, threshold, ratio)
    got = SSDLoss(threshold, ratio, best_anchor_floor=floor, background_threshold=background)(made, tensors(batch))
    for name, value in want.items():
        assert float(got[name]) == pytest.approx(value, rel=1e-4)
    assert want != plain  # the arguments make a difference
    sum(got.values()).backward()
    assert all(np.isfinite(made[key].grad.numpy()).all() for key in ("boxes", "logits", "landmarks"))


def test_weights_threshold_and_ratio_count(rng):
    outputs, batch = setting(rng, (6, 4), 2)
    want = reference(outputs, batch, threshold=0.5, ratio=1.5)
    loss = SSDLoss(overlap_threshold=0.5, negative_ratio=1.5, loc_weight=2, conf_weight=3, landmark_weight=0.25)
    got = loss(tensors(outputs), tensors(batch))
    for name, weight in (("loc", 2), ("conf", 3), ("landmarks", 0.25)):
        assert float(got[name]) == pytest.approx(weight * want[name], rel=1e-4)


@pytest.mark.parametrize("counts", [(0,), (0, 0), (4, 0), (500, 2)])
def test_gradients_are_finite_and_reach_the_scores(rng, counts):
    outputs, batch = (tensors(arrays) for arrays in setting(rng, counts, 5))
    total = sum(SSDLoss()(outputs, batch).values())
    total.backward()
    assert np.isfinite(float(total))
    for key in ("boxes", "logits", "landmarks"):
        assert np.isfinite(outputs[key].grad.numpy()).all()
    learned = np.abs(outputs["logits"].grad.numpy()).sum(axis=(1, 2))
    assert (learned > 0).all()  # also an image without faces teaches
    if sum(counts) == 0:
        assert (outputs["boxes"].grad.numpy() == 0).all()
        assert (np.abs(outputs["logits"].grad.numpy()).max(axis=2) > 0).sum(axis=1).tolist() == [3] * len(counts)


def test_gradients_agree_with_differences(rng):
    arrays, batch = setting(rng, (3, 0), 2)
    outputs, loss = tensors(arrays), SSDLoss()
    sum(loss(outputs, tensors(batch)).values()).backward()
    for key in ("boxes", "logits", "landmarks"):
        grad = outputs[key].grad.numpy()
        where = np.unravel_index(np.abs(grad).argmax(), grad.shape)
        sums = []
        for step in (1e-2, -1e-2):
            moved = {**arrays, key: arrays[key].copy()}
            moved[key][where] += step
            sums.append(sum(reference(moved, batch).values()))
        assert (sums[0] - sums[1]) / 2e-2 == pytest.approx(grad[where], rel=2e-2)


def test_the_ninety_first_face_is_a_face(rng):
    outputs, batch = setting(rng, (1,), size=(320, 320))
    anchors = outputs["anchors"] * 320
    cells = anchors[(anchors[:, 2] == 16)][:91]  # 91 faces, each exactly one anchor of 16 pixels
    batch = {"gt_boxes": np.concatenate([cells[:, :2] - 8, cells[:, :2] + 8], axis=1)[None], "gt_count": np.array([91])}
    last = int(np.flatnonzero((anchors == cells[90]).all(axis=1))[0])
    outputs["boxes"][:] = 0
    outputs["boxes"][0, last] = 5
    made = tensors(outputs)
    SSDLoss(overlap_threshold=0.9)(made, tensors(batch))["loc"].backward()
    assert np.abs(made["boxes"].grad.numpy()[0, last]).min() > 0


def test_anchor_zero_can_be_positive(rng):
    outputs, _ = setting(rng, (1,))
    made = tensors(outputs)
    batch = {"gt_boxes": np.array([[[-4, -4, 12, 12], [0, 0, 0, 0]]], "float32"), "gt_count": np.array([1])}
    SSDLoss()(made, tensors(batch))["conf"].backward()
    assert made["logits"].grad.numpy()[0, 0, 0] < 0  # more face is wanted there


def test_equal_losses_mine_no_more_than_the_ratio(rng):
    outputs, batch = setting(rng, (0, 2))
    outputs["logits"][:] = 0
    made = tensors(outputs)
    SSDLoss()(made, tensors(batch))["conf"].backward()
    taught = np.abs(made["logits"].grad.numpy()).max(axis=2) > 0
    positives = (made["logits"].grad.numpy()[..., 0] < 0).sum(axis=1)
    assert taught.sum(axis=1).tolist() == [3, positives[1] * 4] and positives[1] >= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overlap_threshold": 0.0}, "SSDLoss: expected overlap_threshold above 0 and at most 1, received 0.0"),
        (
            {"loc_weight": -1.0},
            "SSDLoss: expected negative_ratio and weights of at least 0, received "
            "negative_ratio=3.0, loc_weight=-1.0, conf_weight=1.0, landmark_weight=1.0",
        ),
        ({"best_anchor_floor": 1.5}, "SSDLoss: expected best_anchor_floor in 0..1, received 1.5"),
        (
            {"background_threshold": 0.4},
            "SSDLoss: expected background_threshold above 0 and at most overlap_threshold=0.35, received 0.4",
        ),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError) as error:
        SSDLoss(**arguments)
    assert str(error.value) == message


def test_landmarks_that_the_data_does_not_have_are_named(rng):
    outputs, batch = setting(rng, (2,), 5)
    six = tensors({**outputs, "landmarks": np.zeros((1, len(outputs["anchors"]), 6, 2), "float32")})
    with pytest.raises(DataError) as error:
        SSDLoss()(six, tensors(batch))
    said = "SSDLoss: expected 6 landmarks of each face in the training data, as many as the head predicts, received "
    assert str(error.value) == said + "5: use other data, or set model.head.landmarks=5"
    del batch["gt_landmarks"]
    with pytest.raises(DataError) as error:
        SSDLoss()(six, tensors(batch))
    assert str(error.value) == said + "0: use other data, or set model.head.landmarks=0"


def test_landmarks_without_flags_are_all_labelled(rng):
    outputs, batch = setting(rng, [3, 1], 5)
    flagged = SSDLoss()(tensors(outputs), tensors({**batch, "gt_has_landmarks": np.ones((2, 3), bool)}))
    del batch["gt_has_landmarks"]
    plain = SSDLoss()(tensors(outputs), tensors(batch))
    assert float(plain["landmarks"]) == float(flagged["landmarks"]) > 0
