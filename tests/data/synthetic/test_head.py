"""One head: what is known about it agrees with what is drawn."""

from dataclasses import replace

import numpy as np
import pytest

from ppface.data.synthetic.head import Head, draw_head
from ppface.data.synthetic.identity import STYLES, Identity
from ppface.data.synthetic.occluder import KINDS, Occluder
from ppface.data.synthetic.portrait import draw_portrait
from ppface.data.synthetic.variation import Expression, Light, Pose


def head(number: int = 0, pose: Pose = Pose(), scale: float = 40.0, occluder: Occluder | None = None, **changes) -> Head:  # noqa: B008
    identity = replace(Identity.draw(0, number), **changes)
    return draw_head(identity, pose, Light((0.0, -0.5, 0.866)), Expression(smile=0.5), scale, occluder)


@pytest.mark.parametrize("number", range(12))
def test_frontal_landmarks_lie_in_the_box_in_their_order(number):
    drawn = head(number)
    x1, y1, x2, y2 = drawn.box
    assert np.all((drawn.landmarks > (x1, y1)) & (drawn.landmarks < (x2, y2)))
    left_eye, right_eye, nose, left_mouth, right_mouth = drawn.landmarks
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    right_ear, left_ear = drawn.points[4:]
    assert right_ear[0] < left_eye[0] and left_ear[0] > right_eye[0]
    np.testing.assert_allclose(drawn.points[3], (left_mouth + right_mouth) / 2, atol=1e-4)


def test_the_box_goes_around_the_drawn_face():
    for number in range(6):
        drawn = head(number)
        rows, columns = np.nonzero(drawn.face > 127)
        drawn_box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        np.testing.assert_allclose(drawn.box, drawn_box, atol=2.5)  # of about 60 pixels


@pytest.mark.parametrize("style", STYLES)
def test_turning_the_other_way_mirrors(style):
    symmetric = {"moles": (), "part": 0.0, "style": style}
    right, left = head(1, Pose(35, 10, 8), **symmetric), head(1, Pose(-35, 10, -8), **symmetric)
    side = len(right.image)
    np.testing.assert_allclose(left.landmarks[[1, 0, 2, 4, 3]], right.landmarks * (-1, 1) + (side, 0), atol=1e-3)
    np.testing.assert_allclose(left.box[[2, 1, 0, 3]], right.box * (-1, 1, -1, 1) + (side, 0, side, 0), atol=1e-3)
    assert np.abs(left.face[:, ::-1].astype(int) - right.face).mean() < 1.0


def test_pose_moves_the_nose_as_documented():
    nose, turned, nodded, tilted = (head(pose=pose).landmarks for pose in (Pose(), Pose(yaw=30), Pose(pitch=15), Pose(roll=20)))
    assert turned[2, 0] > nose[2, 0] + 5
    assert nodded[2, 1] > nose[2, 1] + 3
    assert tilted[1, 1] > tilted[0, 1] + 5  # clockwise as seen: the right eye sinks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [9.0, 60.0])
def test_an_occluder_changes_the_picture_only_where_its_mask_says(kind, scale, rng):
    occluder = Occluder(kind, (200, 30, 60), (0.2, 0.3), 0.4)
    bare, hidden = head(2, scale=scale), head(2, scale=scale, occluder=occluder)
    changed = np.abs(bare.image.astype(int) - hidden.image).max(axis=2) > 1  # more than rounding
    covered = hidden.occlusion > 0
    assert bare.occlusion.max() == 0
    assert not np.any(changed & ~covered)
    assert np.mean(changed[hidden.occlusion == 255]) > 0.99
    np.testing.assert_array_equal(bare.face, hidden.face)


def test_worn_things_hide_what_they_are_made_for():
    for kind, parts in (("sunglasses", (0, 1)), ("mask", (2, 3, 4)), ("scarf", (3, 4))):
        drawn = head(3, Pose(yaw=20), occluder=Occluder(kind, (20, 20, 20)), nose_length=0.4)
        x, y = drawn.landmarks.astype(int).T
        np.testing.assert_array_equal(np.flatnonzero(drawn.occlusion[y, x] > 127), parts)


def test_nothing_is_painted_outside_of_the_cover():
    for number in range(20):
        drawn = head(number, Pose.draw(np.random.default_rng(number)), scale=15)
        assert not np.any(drawn.image[drawn.cover == 0])


def test_expression_moves_the_mouth_and_not_the_identity():
    identity = Identity.draw(0, 5)
    calm, laughing = (draw_head(identity, Pose(), Light(), mood, 40) for mood in (Expression(), Expression(opening=1.0)))
    np.testing.assert_array_equal(calm.landmarks[:3], laughing.landmarks[:3])
    assert np.abs(calm.landmarks[3:] - laughing.landmarks[3:]).max() > 0.5
    assert np.any(calm.image != laughing.image)


def test_a_closed_eye_shows_no_iris():
    identity = replace(Identity.draw(0, 5), iris=(0, 0, 255), glasses=False)
    opened, closed = (draw_head(identity, Pose(), Light(), Expression(blink=blink), 60).image.astype(int) for blink in (0.0, 1.0))
    blue = [np.count_nonzero(image[..., 2] > image[..., 0] + 60) for image in (opened, closed)]
    assert blue[0] > 20 and blue[1] == 0


def test_a_portrait_of_the_same_person_differs_by_background_only_outside_of_the_head():
    identity = Identity.draw(0, 4)
    first, second = (draw_portrait(identity, Pose(yaw=15), Light(), Expression(), 112, np.random.default_rng(seed)) for seed in (0, 1))
    x1, y1, x2, y2 = first.box.astype(int)
    middle = slice((y1 + y2) // 2, y2 - 12), slice(x1 + 20, x2 - 20)
    assert first.image.shape == (112, 112, 3) and not first.occlusion.any()
    np.testing.assert_array_equal(first.image[middle], second.image[middle])
    assert np.any(first.image != second.image)
    assert np.all((first.landmarks > 0) & (first.landmarks < 112))


def test_a_portrait_says_where_it_is_occluded(rng):
    drawn = draw_portrait(Identity.draw(0, 4), Pose(), Light(), Expression(), 112, rng, Occluder("mask", (200, 200, 200)))
    x, y = drawn.landmarks.astype(int).T
    np.testing.assert_array_equal(drawn.occlusion[y, x], [False, False, True, True, True])
