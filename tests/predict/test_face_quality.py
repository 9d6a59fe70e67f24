"""Quality of faces: pose of rotated model faces, sharpness in loops, and limits with their reasons."""

import csv
import math

import cv2
import numpy as np
import pytest

from ppface.ops.align import ARCFACE
from ppface.ops.head_pose import five_point_pose
from ppface.predict import ANSWERED, ENROLLED, Face, FaceQuality, QualityLimits
from ppface.predict.face_quality import sharpness


def rotated(pitch=0.0, yaw=0.0, roll=0.0, scale=30.0):
    """Five points of a face with a nose of .6 of the line from mouth to eyes, which begins at .505 of it, under weak perspective."""
    line = 2.0
    face = np.array([[-0.9, -1, 0], [0.9, -1, 0], [0, 1 - 0.505 * line, -0.6 * line], [-0.7, 1, 0], [0.7, 1, 0]])  # x right, y down, z away
    a, b, c = np.radians([pitch, yaw, roll])
    around_x = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]]).T
    around_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    around_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return (face @ (around_z @ around_y @ around_x).T)[:, :2] * scale + [200, 150]


def test_the_pose_of_a_rotated_face_is_found_again():
    for yaw in (-60, -25, 0, 10, 45):
        assert np.degrees(five_point_pose(rotated(yaw=yaw))) == pytest.approx([0, yaw, 0], abs=1e-4)
    for pitch in (-20, 0, 5, 30):
        assert np.degrees(five_point_pose(rotated(pitch=pitch)))[1:] == pytest.approx([0, 0], abs=1e-6)
        assert np.degrees(five_point_pose(rotated(pitch=pitch)))[0] == pytest.approx(pitch, abs=1e-4)
    for roll in (-90, -20, 0, 35, 120):
        assert np.degrees(five_point_pose(rotated(yaw=20, roll=roll))) == pytest.approx([0, 20, roll], abs=1e-4)
    assert np.abs(np.degrees(five_point_pose(ARCFACE))).max() < 0.5


def test_points_without_a_pose():
    for points in (np.full((5, 2), 3.0), np.full((5, 2), np.nan), np.array([[1, 1], [3, 1], [2, 1], [1, 1], [3, 1]])):
        assert np.isnan(five_point_pose(points)).all()
    flat = ARCFACE.copy()
    flat[2] = flat[3:].mean(axis=0) + 0.505 * (flat[:2].mean(axis=0) - flat[3:].mean(axis=0))  # the nose tip on its base
    assert np.degrees(five_point_pose(flat)) == pytest.approx([0, 0, np.degrees(np.arctan2(-0.1949, 35.2372))], abs=1e-3)


def test_profiles_and_frontal_photographs_differ(shared_data):
    yaw = {"frontal": [], "profile": []}
    with (shared_data / "cfp" / "aligned112_detections.csv").open() as file:
        for name, _, _, *points in csv.reader(file):
            yaw[name.split("/")[1]].append(abs(np.degrees(five_point_pose(np.array(points, float).reshape(5, 2)))[1]))
    assert np.quantile(yaw["frontal"], 0.95) < 12 < 25 < np.quantile(yaw["profile"], 0.05)


def test_sharpness_in_loops(rng):
    crop = rng.integers(0, 256, (112, 96, 3), dtype=np.uint8)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(float)
    padded = np.pad(grey, 1, mode="reflect")
    values = []
    for y in range(112):
        for x in range(96):
            around = padded[y, x + 1] + padded[y + 2, x + 1] + padded[y + 1, x] + padded[y + 1, x + 2]
            values.append(around - 4 * padded[y + 1, x + 1])
    mean = sum(values) / len(values)
    assert sharpness(crop) == pytest.approx(sum((v - mean) ** 2 for v in values) / len(values))
    soft = cv2.GaussianBlur(crop, (0, 0), 3)
    assert sharpness(soft) < sharpness(crop) / 100
    assert sharpness(np.full((50, 40, 3), 77, np.uint8)) == 0


def face(points=None, side=100.0, quality=5.0, crop=None, embedding=None):
    points = rotated() if points is None else points
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8) if crop is None else crop
    return Face(
        (10.0, 20.0, 10.0 + side, 220.0), 0.9, points, np.ones(4, "float32") if embedding is None else embedding, None, quality, crop
    )


def test_the_measures_of_a_face():
    found = FaceQuality.of(face(rotated(pitch=10, roll=5), quality=3.5))
    assert (found.strength, found.size) == (3.5, 100.0) and found.sharpness > 1000
    assert (found.pitch, found.yaw, found.roll) == pytest.approx((10, 0, 5), abs=1e-3)
    bare = FaceQuality.of(Face((0.0, 0.0, 5.0, 9.0), 0.9))
    assert bare.size == 5 and all(math.isnan(value) for value in (bare.strength, bare.sharpness, bare.pitch, bare.yaw, bare.roll))


def test_the_reasons_in_words():
    assert ENROLLED.refusals(face()) == ANSWERED.refusals(face()) == []
    blurred = face(rotated(yaw=-40), side=12.25, crop=np.full((112, 112, 3), 9, np.uint8))
    assert ENROLLED.refusals(blurred) == [
        "too small: 12.2 pixels, at least 28 needed",
        "too blurred: 0, at least 10 needed",
        "turned too far to a side: 40 degrees, at most 20 allowed",
    ]
    assert ANSWERED.refusals(blurred) == ["too small: 12.2 pixels, at least 16 needed", "too blurred: 0, at least 5 needed"]
    assert QualityLimits(strength=6, pitch=20).refusals(face(rotated(pitch=30))) == [
        "too weak an embedding: 5, at least 6 needed",
        "turned too far up or down: 30 degrees, at most 20 allowed",
    ]
    assert QualityLimits().refusals(Face((0, 0, 9, 9), 1.0)) == ["no embedding: its landmarks determine no alignment"]
    for spoilt in (np.zeros(4), np.array([1, np.nan, 0, 0])):
        assert QualityLimits().refusals(face(embedding=spoilt)) == ["its embedding is zero or not finite"]


def test_a_limit_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="QualityLimits: expected a finite size or None, received nan"):
        QualityLimits(size=float("nan"))
