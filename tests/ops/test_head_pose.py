"""Head pose of projected faces with a known rotation."""

import cv2
import numpy as np
import pytest

from ppface.ops.head_pose import FACE, POINTS, head_pose


def projected(scheme, pitch, yaw, roll, size=(112, 112)):
    """Landmarks of the mean face, turned about x, y and z in this order, as a camera of 60 degrees sees it."""
    turn = np.eye(3)
    for axis, angle in ((0, pitch), (1, yaw), (2, roll)):
        vector = np.zeros(3)
        vector[axis] = angle
        turn = cv2.Rodrigues(vector)[0] @ turn
    seen = FACE @ turn.T + [0, 0, -40]  # + x is at the left of the picture where z is negative
    focal = size[1] / 2 / np.tan(np.pi / 6)
    points = np.zeros((scheme, 2))
    points[list(POINTS[scheme])] = seen[:, :2] / seen[:, 2:] * focal + [size[1] / 2, size[0] / 2]
    return points


@pytest.mark.parametrize("scheme", [68, 98])
@pytest.mark.parametrize(
    "angles", [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.6, 0.0), (0.0, 0.0, 0.4), (0.2, -0.5, 0.3), (-0.3, 0.4, -0.2)]
)
def test_the_rotation_of_a_projected_face_is_found(scheme, angles):
    np.testing.assert_allclose(head_pose(projected(scheme, *angles), (112, 112)), angles, atol=2e-3)


def test_a_frontal_face_is_upright_with_its_left_side_at_the_left():
    points = projected(68, 0, 0, 0)
    assert points[36, 0] < points[45, 0] and points[8, 1] > points[27 - 10, 1]


def test_the_mean_face_is_symmetric():
    mirrored = FACE[[3, 2, 1, 0, 7, 6, 5, 4, 9, 8, 11, 10, 12, 13]] * [-1, 1, 1]
    np.testing.assert_array_equal(mirrored, FACE)
