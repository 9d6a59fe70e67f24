"""A detector over pictures of several sizes: what comes back is in the pixels of each picture, whatever the batches."""

import numpy as np
import pytest

from ppface.evaluators.detect import _warn_of_threshold, detect
from ppface.ops.resize import TestSize, resize


@pytest.fixture
def pictures(paint):
    """Sizes alternate, so that equal ones are not neighbours; one picture shows nothing."""
    faces = [[[8, 16, 40, 48, 200]], [[0, 0, 16, 16, 250], [32, 32, 64, 48, 100]], [], [[24, 8, 40, 40, 240]], [[4, 4, 36, 20, 150]]]
    return [paint(((64, 96), (80, 64))[i % 2], rows) for i, rows in enumerate(faces)]


def found(predict, pictures, **choices):
    return detect(predict, lambda i: pictures[i], len(pictures), **choices)


def test_boxes_come_back_in_pixels_of_the_picture(detector, pictures):
    rows = found(detector, pictures)
    assert [len(part) for part in rows] == [1, 2, 0, 1, 1]
    np.testing.assert_allclose(rows[1], [[0, 0, 16, 16, 250 / 255], [32, 32, 64, 48, 100 / 255]], rtol=1e-6)
    for size in (TestSize("long_side", (192, 192)), TestSize("stretch", (160, 96))):
        for a, b in zip(rows, found(detector, pictures, size=size), strict=True):
            np.testing.assert_allclose(a[:, :4], b[:, :4], atol=1.1)  # a blurred edge moves by less than a pixel


@pytest.mark.parametrize("size", [None, TestSize("stretch", (128, 128)), TestSize("long_side", (48, 48))])
@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_results_do_not_depend_on_the_batch_size(detector, pictures, size, batch_size):
    one_by_one = found(detector, pictures, size=size)
    together = found(detector, pictures, size=size, batch_size=batch_size)
    for a, b in zip(one_by_one, together, strict=True):
        np.testing.assert_array_equal(a, b)


class Recorder:
    """Any object that can be called is a `predict`; this one has a test size of its own and finds too large a box."""

    test_size = TestSize("short_side", (32, 32))

    def __init__(self):
        self.shapes = []

    def __call__(self, batch):
        self.shapes.append(batch["image"].shape)
        number = len(batch["image"])
        return {"boxes": np.tile([[-5.0, 8, 999, 24]], (number, 1)), "scores": np.full(number, 0.5), "count": np.ones(number, int)}


def test_the_models_own_size_is_used_and_boxes_end_at_the_picture(pictures):
    predict = Recorder()
    rows = found(predict, pictures, batch_size=2)
    assert sorted(predict.shapes) == [(1, 3, 32, 48), (2, 3, 32, 48), (2, 3, 40, 32)]
    assert rows[0].tolist() == [[0, 16, 96, 48, 0.5]]
    assert rows[1].tolist() == [[0, 16, 64, 48, 0.5]]
    predict.shapes.clear()
    found(predict, pictures, size=TestSize())
    assert predict.shapes[:2] == [(1, 3, 64, 96), (1, 3, 80, 64)]


def test_a_predict_that_returns_too_few_rows_is_refused(pictures):
    with pytest.raises(AssertionError, match=r"expected rows for 1 images, received count \[2\], 1 boxes, 1 scores"):
        found(lambda batch: {"boxes": np.zeros((1, 4)), "scores": np.zeros(1), "count": np.array([2])}, pictures)


def test_resize_keeps_means_when_it_shrinks_much():
    stripes = np.tile(np.array([[0, 255, 0, 255, 0, 255, 0, 255]], "uint8")[:, :, None], (8, 1, 3))
    assert abs(int(resize(stripes, (2, 2))[0, 0, 0]) - 127) <= 1
    assert resize(stripes, (8, 8)) is stripes


@pytest.mark.parametrize(("threshold", "lines"), [(None, 0), (0.01, 0), (0.1, 0), (0.11, 1), (0.6, 1)])
def test_a_score_threshold_that_cuts_the_curve_is_reported_once(detector, pictures, caplog, threshold, lines):
    class Model:
        score_threshold = threshold

        def __call__(self, batch):
            return detector(batch)

    _warn_of_threshold.cache_clear()
    for _ in range(2):
        found(Model(), pictures)
    assert len(caplog.messages) == lines
    if lines:
        assert caplog.messages[0] == (
            f"model.post.score_threshold={threshold:g}: faces with lower scores are missing from the precision-recall curve, so AP is too low; "
            "evaluate, or export, with -o model.post.score_threshold=0.01"
        )
