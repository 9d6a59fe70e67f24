"""Suppression and blending of a batch against loops over one image's boxes."""

import numpy as np
import paddle
import pytest

from ppface.ops import boxes as ops
from ppface.ops.nms import blend, suppress


def draw(rng, count, landmarks=0):
    """Clusters of boxes around few faces, in falling order of score."""
    face = rng.uniform(0, 300, (max(1, count // 6), 2))
    centre = face[rng.integers(0, len(face), count)] + rng.normal(0, 5, (count, 2))
    side = rng.uniform(20, 40, (count, 2))
    points = (centre[:, None] + rng.normal(0, 8, (count, landmarks, 2))).reshape(count, 2 * landmarks)
    rows = np.concatenate([centre - side / 2, centre + side / 2, points], axis=1).astype("float32")
    return rows, np.sort(rng.uniform(0.05, 1, count).astype("float32"))[::-1].copy()


def padded(images):
    length = max(1, *(len(rows) for rows, _ in images))
    rows = np.full((len(images), length, images[0][0].shape[1]), 77, "float32")
    scores, real = np.zeros((len(images), length), "float32"), np.zeros((len(images), length), bool)
    for i, (values, values_scores) in enumerate(images):
        rows[i, : len(values)], scores[i, : len(values)], real[i, : len(values)] = values, values_scores, True
    return rows, scores, real


def reference(rows, scores, threshold, keep_top):
    """(kept positions, blended rows) of one image."""
    leaders, members = [], {}
    for j in range(len(rows)):
        for leader in leaders:
            if ops.iou(rows[leader : leader + 1, :4], rows[j : j + 1, :4])[0, 0] > threshold:
                members[leader].append(j)
                break
        else:
            leaders.append(j)
            members[j] = [j]
    leaders = leaders[:keep_top]
    blended = [np.average(rows[members[leader]], axis=0, weights=scores[members[leader]]) for leader in leaders]
    return leaders, np.array(blended).reshape(-1, rows.shape[1])


@pytest.mark.parametrize("landmarks", [0, 5])
@pytest.mark.parametrize("keep_top", [750, 3])
@pytest.mark.parametrize("counts", [(40,), (0, 25, 60, 1), (0, 0)])
def test_a_batch_agrees_with_loops_over_each_image(rng, counts, keep_top, landmarks):
    images = [draw(rng, count, landmarks) for count in counts]
    rows, scores, real = (paddle.to_tensor(array) for array in padded(images))
    kept, present = suppress(rows, real, 0.3, keep_top)
    blended = blend(rows, scores, real, kept, present, 0.3)
    for i, (values, values_scores) in enumerate(images):
        want, want_blended = reference(values, values_scores, 0.3, keep_top)
        mine = present.numpy()[i]
        assert kept.numpy()[i][mine].tolist() == want
        np.testing.assert_allclose(blended.numpy()[i][mine], want_blended, rtol=1e-5, atol=1e-4)


def test_images_of_a_batch_do_not_touch_each_other(rng):
    values, _ = draw(rng, 50)
    alone, _ = suppress(paddle.to_tensor(values[None]), paddle.ones([1, 50], "bool"), 0.3, 750)
    rows = paddle.to_tensor(np.repeat(values[None], 16, axis=0))
    together, _ = suppress(rows, paddle.ones([16, 50], "bool"), 0.3, 750)
    assert (together.numpy() == alone.numpy()).all() and together.shape[0] == 16


def test_a_box_without_area_stays_as_it_is():
    rows = paddle.to_tensor([[[5.0, 5, 5, 5], [0, 0, 10, 10]]])
    scores, real = paddle.to_tensor([[0.9, 0.8]]), paddle.ones([1, 2], "bool")
    kept, present = suppress(rows, real, 0.3, 750)
    assert present.numpy().all()
    np.testing.assert_allclose(blend(rows, scores, real, kept, present, 0.3).numpy(), rows.numpy())
