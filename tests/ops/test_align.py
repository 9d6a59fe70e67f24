"""Alignment against the textbook: Umeyama's singular values, plain least squares, and real pictures that others aligned."""

import csv

import numpy as np
import pytest
from PIL import Image

from ppface.ops import align
from ppface.ops.align import ARCFACE, similarity, template


def umeyama(p, q):
    """Equations 34 to 42 of Umeyama 1991, with singular values and the sign that forbids mirroring."""
    mp, mq = p.mean(axis=0), q.mean(axis=0)
    covariance = sum(np.outer(b - mq, a - mp) for a, b in zip(p, q, strict=True)) / len(p)
    u, d, vt = np.linalg.svd(covariance)
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / np.mean(np.sum((p - mp) ** 2, axis=1))
    return np.column_stack([scale * turn, mq - scale * turn @ mp])


def least_squares(p, q):
    """x' = a x - b y + c, y' = b x + a y + d, solved for a, b, c, d."""
    rows = [row for x, y in p for row in ([x, -y, 1, 0], [y, x, 0, 1])]
    a, b, c, d = np.linalg.lstsq(np.array(rows), q.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


def moved(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def test_similarity_is_umeyamas_within_a_hundredth_of_a_pixel(rng):
    for _ in range(200):
        points = ARCFACE * rng.uniform(0.1, 20) + rng.normal(0, 30, (5, 2)) + rng.uniform(-500, 500, 2)
        angle = rng.uniform(-np.pi, np.pi)
        points = points @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        got = similarity(points, ARCFACE)
        for reference in (umeyama, least_squares):
            want = reference(points, ARCFACE)
            assert np.abs(moved(got, points) - moved(want, points)).max() < 1e-6
            np.testing.assert_allclose(got, want, atol=1e-8 * max(1, np.abs(want).max()))


def test_points_of_a_mirrored_face_are_turned_and_never_mirrored(rng):
    points = ARCFACE * [-1, 1] + rng.normal(0, 2, (5, 2))
    got = similarity(points, ARCFACE)
    assert np.linalg.det(got[:, :2]) > 0
    np.testing.assert_allclose(got, umeyama(points, ARCFACE), atol=1e-8)


def test_a_similarity_is_found_exactly_even_from_two_points(rng):
    for count in (2, 3, 5, 68):
        turn = rng.normal(size=2)
        true = np.column_stack([[[turn[0], -turn[1]], [turn[1], turn[0]]], rng.normal(0, 100, 2)])
        points = rng.normal(0, 100, (count, 2))
        np.testing.assert_allclose(similarity(points, moved(true, points)), true, atol=1e-9)


def test_the_template_of_other_sizes():
    np.testing.assert_array_equal(template(), ARCFACE)
    np.testing.assert_allclose(template((112, 96)), ARCFACE - [8, 0])
    np.testing.assert_allclose(template((224, 224)), ARCFACE * 2)


def test_the_middle_of_the_pattern_lands_on_the_template(rng):
    points = ARCFACE @ [[1.9, 0.6], [-0.6, 1.9]] + [90, 20]
    image = np.zeros((300, 300), np.uint8)
    ys, xs = np.indices(image.shape)
    for x, y in points:
        image = np.maximum(image, (255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 60)).astype(np.uint8))
    for size in ((112, 112), (112, 96)):
        aligned = align.align(image, points, size)
        assert aligned.shape == size
        for x, y in template(size):
            ys, xs = np.indices(size)
            near = np.where(np.hypot(xs - x, ys - y) < 7, aligned, 0).astype(float)
            assert np.abs([(near * xs).sum() / near.sum() - x, (near * ys).sum() / near.sum() - y]).max() < 0.15


def test_five_of_68_points(rng):
    points = rng.normal(size=(68, 2))
    want = [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30], points[48], points[54]]
    np.testing.assert_allclose(align.five(points), want)
    np.testing.assert_array_equal(align.five(points[:5]), points[:5])


@pytest.mark.parametrize("count", [5, 68])
def test_rotation_levels_the_eyes_and_keeps_everything_else(rng, count):
    points = rng.uniform(0, 200, (count, 2))
    matrix = align.rotation(points)
    np.testing.assert_allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2), atol=1e-12)
    before, after = align.eyes(points), align.eyes(moved(matrix, points))
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0))
    assert after[0, 1] == pytest.approx(after[1, 1]) and after[0, 0] < after[1, 0]
    image = rng.integers(0, 256, (200, 220, 3), dtype=np.uint8)
    assert align.upright(image, points).shape == image.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: similarity(np.ones((5, 2)), ARCFACE),
            "similarity: expected points that differ, received 5 times [1.0, 1.0]",
        ),
        (lambda: similarity(np.full((5, 2), np.nan), ARCFACE), "similarity: expected finite points"),
        (
            lambda: similarity(np.ones((4, 2)), ARCFACE),
            "similarity: expected two arrays of the same two or more x, y, received shapes (4, 2) and (5, 2)",
        ),
        (lambda: align.five(np.ones((6, 2))), "expected 5, 68 or 98 points x, y, received shape (6, 2)"),
        (lambda: align.rotation(np.ones((5, 2))), "similarity: expected points that differ, received 2 times [1.0, 1.0]"),
    ],
)
def test_points_that_fix_nothing_are_refused(call, message):
    with pytest.raises(ValueError) as refusal:
        call()
    assert str(refusal.value) == message


# --- pictures that others aligned ---------------------------------------------------------------------------------


def rows(path, last):
    return {row[0]: np.array(row[-2 * last :], float).reshape(-1, 2) for row in csv.reader(path.read_text().splitlines())}


def test_pictures_that_others_aligned_come_out_the_same(shared_data):
    """The set's aligned pictures were made of the same five points; what differs is JPEG coding: 1.5 grey levels in the median."""
    cfp = shared_data / "cfp"
    points = rows(cfp / "aligned112_detections.csv", 5)
    paths = sorted((cfp / "raw").rglob("*.jpg"))[::5]
    assert len(paths) == 42
    for path in paths:
        name = path.relative_to(cfp / "raw").as_posix()
        got = align.align(np.asarray(Image.open(path).convert("RGB")), points[name]).astype(float)
        want = np.asarray(Image.open(cfp / "aligned112" / name).convert("RGB")).astype(float)
        assert np.abs(got - want).mean() < 3, name
        assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.996, name


def test_points_set_by_hand_bring_real_faces_to_the_same_place(shared_data):
    """The 30 fiducials lie on the left half of a frontal face: its eye (12 to 17), nose tip (21) and corner of the mouth (25)."""
    cfp = shared_data / "cfp"
    by_hand, detected = rows(cfp / "raw_fiducials.csv", 30), rows(cfp / "aligned112_detections.csv", 5)
    apart = []
    for name in (name for name in by_hand if "frontal" in name):
        three = np.stack([by_hand[name][12:18].mean(axis=0), *by_hand[name][[21, 25]]])
        hand, detector = similarity(three, ARCFACE[[0, 2, 3]]), similarity(detected[name])
        apart.append(np.linalg.norm(moved(hand, detected[name]) - moved(detector, detected[name]), axis=1).mean())
    assert len(apart) == 150 and np.median(apart) < 3 and max(apart) < 7  # pixels of 112
