"""Where a picture is in the network's input, and back: the pixels by hand, and points that return to where they were."""

import numpy as np
import pytest

from ppface.ops.resize import TestSize, aligned, resize


@pytest.mark.parametrize(
    ("picture", "inner", "corner"),
    [
        ((100, 200), (32, 64), (8, 0)),  # wide: as wide as the input
        ((200, 100), (48, 24), (0, 20)),  # high: as high
        ((48, 64), (48, 64), (0, 0)),
        ((12, 16), (48, 64), (0, 0)),  # small ones are enlarged
        ((97, 333), (19, 64), (14, 0)),  # an odd rest: one more row below
        ((3, 2000), (1, 64), (23, 0)),  # never less than a pixel
    ],
)
def test_the_whole_picture_fits_and_the_rest_is_grey(rng, picture, inner, corner):
    image = rng.integers(0, 100, (*picture, 3)).astype("uint8")
    place = TestSize("letterbox", (48, 64)).place(*picture)
    assert (place.inner, place.corner, place.size) == (inner, corner, (48, 64))
    found, expected = place.apply(image), np.full((48, 64, 3), 128, "uint8")
    content = resize(image, inner)
    for y in range(inner[0]):
        for x in range(inner[1]):
            expected[corner[0] + y, corner[1] + x] = content[y, x]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "policy",
    [
        TestSize(),
        TestSize("stretch", (48, 64)),
        TestSize("letterbox", (48, 64)),
        TestSize("letterbox", (333, 31)),
        TestSize("long_side", (50, 50)),
        TestSize("short_side", (50, 50), 90),
    ],
)
@pytest.mark.parametrize("picture", [(100, 200), (333, 97), (7, 5)])
def test_points_and_boxes_return_to_where_they_were(rng, policy, picture):
    place = policy.place(*picture)
    points = rng.uniform(-5, 300, (4, 5, 2))
    forth = points * [place.inner[1] / picture[1], place.inner[0] / picture[0]] + [place.corner[1], place.corner[0]]
    np.testing.assert_allclose(place.back(forth), points, atol=1e-9)
    np.testing.assert_allclose(place.rows_back(forth[:, :2].reshape(-1, 4)), points[:, :2].reshape(-1, 4), atol=1e-9)
    assert place.rows_back(np.zeros((0, 4), "float32")).shape == (0, 4)
    corners = place.back(
        np.array([[place.corner[1], place.corner[0]], [place.corner[1] + place.inner[1], place.corner[0] + place.inner[0]]])
    )
    np.testing.assert_allclose(corners, [[0, 0], [picture[1], picture[0]]], atol=1e-9)


def test_an_aligned_face_of_another_size_gets_borders_instead_of_an_error(rng):
    image = rng.integers(0, 256, (8, 4, 3)).astype("uint8")
    found = aligned(image, (16, 16), "", letterbox=True)
    assert (found[:, :4] == 128).all() and (found[:, 12:] == 128).all()
    np.testing.assert_array_equal(found[:, 4:12], resize(image, (16, 8)))
    same = rng.integers(0, 256, (16, 16, 3)).astype("uint8")
    assert aligned(same, (16, 16), "", letterbox=True) is same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("letterbox",), "TestSize: expected size: [height, width] of at least 1 with mode 'letterbox', received None"),
        (("letterbox", (0, 4)), "TestSize: expected size: [height, width] of at least 1 with mode 'letterbox', received (0, 4)"),
        (("letterbox", (4, 4), 9), "TestSize: expected max_side: 0 with mode 'letterbox', whose size is fixed, received 9"),
        (("native", None, 0, 1.0), "TestSize: expected coarser above 0 and below 1 (0: no second run), received 1.0"),
        (("native", None, 0, -0.1), "TestSize: expected coarser above 0 and below 1 (0: no second run), received -0.1"),
        (("native", None, 0, 0.5, 0), "TestSize: expected large above 0 pixels, received 0"),
        (("stretch", (4, 4), 0, 0.5), "TestSize: expected coarser: 0 with mode 'stretch', whose size is fixed, received 0.5"),
        (("letterbox", (4, 4), 0, 0.5), "TestSize: expected coarser: 0 with mode 'letterbox', whose size is fixed, received 0.5"),
        (("fit", (4, 4)), "TestSize: expected mode to be one of native, stretch, letterbox, long_side, short_side, received 'fit'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError) as caught:
        TestSize(*arguments)
    assert str(caught.value) == message


def test_a_coarser_run_has_its_place():
    fine, coarse = TestSize("short_side", (60, 60), 80, 0.25).places(30, 50)
    assert (fine.inner, coarse.inner) == ((48, 80), (12, 20))
    assert coarse.size == coarse.inner
    np.testing.assert_allclose(coarse.rows_back(np.array([[6.0, 3, 20, 12]])), [[15, 7.5, 50, 30]])
    assert fine.scale == 1.6
    assert [place.inner for place in TestSize("native", None, 0, 0.1).places(4, 90)] == [(4, 90), (1, 9)]
    assert len(TestSize("short_side", (60, 60)).places(30, 50)) == 1


def test_without_a_coarser_run_a_models_identity_is_as_before():
    assert vars(TestSize("short_side", (60, 60), 80)) == {"mode": "short_side", "size": (60, 60), "max_side": 80}
    assert vars(TestSize("native", None, 0, 0.5, 90))["coarser"] == 0.5
