"""The protocol of WIDER FACE against itself in slow loops, threshold by threshold, and against published curves."""

import numpy as np
import pytest
from scipy.io import loadmat

from ppface.core.errors import DataError
from ppface.evaluators.ap import average_precision, checked, curves, normalised


def reference(predictions, faces, counted, faceless=False):
    """Precision (1000,) and recall (1000,) of one subset. predictions, faces, counted: one array a picture."""
    every = [row[4] for rows in predictions for row in rows]
    low, high = min(every, default=0.0), max(every, default=0.0)
    proposals, hits = np.zeros(1000), np.zeros(1000)
    for rows, boxes, counts in zip(predictions, faces, counted, strict=True):
        if len(boxes) == 0 and not faceless:
            continue
        rows = sorted(([*row[:4], (row[4] - low) / (high - low) if high > low else 1.0] for row in rows), key=lambda row: -row[4])
        taken, is_proposal, hits_so_far = set(), [], []
        for x, y, w, h, _ in rows:
            best, best_iou = None, -1.0
            for j, (fx, fy, fw, fh) in enumerate(boxes):
                wide = min(x + w, fx + fw) - max(x, fx) + 1
                high_ = min(y + h, fy + fh) - max(y, fy) + 1
                inter = wide * high_ if wide > 0 and high_ > 0 else 0.0
                union = ((x + w) - x + 1) * ((y + h) - y + 1) + ((fx + fw) - fx + 1) * ((fy + fh) - fy + 1) - inter
                iou = inter / union if inter > 0 else 0.0
                if iou > best_iou:
                    best, best_iou = j, iou
            ignored = best_iou >= 0.5 and not counts[best]
            if best_iou >= 0.5 and counts[best]:
                taken.add(best)
            is_proposal.append(not ignored)
            hits_so_far.append(len(taken))
        for k in range(1, 1001):
            t = 1 - k / 1000
            over = [i for i, row in enumerate(rows) if row[4] >= t]
            if over:
                proposals[k - 1] += sum(is_proposal[: over[-1] + 1])
                hits[k - 1] += hits_so_far[over[-1]]
    number = sum(int(np.sum(counts)) for counts in counted)
    precision = [h / p if p else 0.0 for h, p in zip(hits, proposals, strict=True)]
    recall = [h / number if number else 0.0 for h in hits]
    return np.array(precision), np.array(recall)


def reference_ap(precision, recall):
    """The area of rectangles under the best precision to the right."""
    area, before = 0.0, 0.0
    for i, r in enumerate(recall):
        area += (r - before) * max(precision[i:])
        before = r
    return area


def random_set(rng, pictures=6):
    """Pictures with 0 to 6 faces, predictions near faces, far from them, twice, degenerate, and with few distinct scores (ties)."""
    predictions, faces, counted = [], [], []
    for _ in range(pictures):
        boxes = np.concatenate([rng.integers(0, 60, (rng.integers(0, 7), 2)), np.zeros((0, 2), int)])
        boxes = np.concatenate([boxes, rng.integers(-2, 30, (len(boxes), 2))], axis=1).astype(float)
        if len(boxes) > 2 and rng.random() < 0.3:
            boxes[1] = boxes[0]  # one face labelled twice
        near = np.repeat(boxes, 3, axis=0) + rng.integers(-3, 4, (3 * len(boxes), 4)) * rng.choice([0, 1, 2], (3 * len(boxes), 1))
        far = rng.integers(-5, 70, (rng.integers(0, 6), 4)).astype(float)
        rows = rng.permutation(np.concatenate([near, far]))[: rng.choice([0, 3, 30])]
        scores = rng.choice([rng.random(len(rows)), rng.integers(0, 4, len(rows)) / 3, rng.integers(990, 1001, len(rows)) / 1000])
        predictions.append(np.concatenate([rows, scores[:, None]], axis=1))
        faces.append(boxes)
        counted.append(rng.random(len(boxes)) < 0.6)
    return predictions, faces, counted


@pytest.mark.parametrize("faceless", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_random_sets_agree_with_the_loops(seed, faceless):
    rng = np.random.default_rng(seed)
    predictions, faces, counted = random_set(rng)
    got = curves(predictions, faces, {"some": np.concatenate(counted), "none": np.zeros(sum(map(len, faces)), bool)}, faceless)
    precision, recall = reference(predictions, faces, counted, faceless)
    np.testing.assert_allclose(got["some"].precision, precision, atol=1e-12)
    np.testing.assert_allclose(got["some"].recall, recall, atol=1e-12)
    assert got["some"].ap == pytest.approx(reference_ap(precision, recall), abs=1e-12)
    assert got["some"].faces == sum(map(sum, counted))
    assert (got["none"].ap, got["none"].faces) == (0.0, 0)


def test_a_second_prediction_on_a_counted_face_is_false_and_on_an_ignored_one_is_nothing():
    face = np.array([[10.0, 10, 20, 20]])
    rows = np.array([[10, 10, 20, 20, 0.9], [11, 10, 20, 20, 0.8], [90, 90, 5, 5, 0.0]])
    got = curves([rows], [face], {"counts": np.array([True]), "ignored": np.array([False])})
    assert got["counts"].precision[[0, 500, 999]].tolist() == [1.0, 0.5, 1 / 3]
    assert got["counts"].recall[[0, 999]].tolist() == [1.0, 1.0]
    assert got["ignored"].precision.max() == 0.0


def test_an_overlap_of_exactly_a_half_is_enough():
    faces = [np.array([[0.0, 0, 9, 9]])]  # 10 x 10 pixels in the inclusive convention
    half, less = np.array([[0, 0, 9, 4, 0.5]]), np.array([[0, 0, 9, 3.9, 0.5]])
    mask = {"all": np.array([True])}
    assert curves([half], faces, mask)["all"].ap == 1.0
    assert curves([less], faces, mask)["all"].ap == 0.0


def test_the_order_of_the_predictions_does_not_count(rng):
    predictions, faces, counted = random_set(rng, 20)
    mask = {"some": np.concatenate(counted)}
    turned = [rows[::-1] for rows in predictions]
    assert curves(predictions, faces, mask)["some"].ap == curves(turned, faces, mask)["some"].ap


def test_predictions_on_pictures_without_faces_are_false_only_if_asked():
    faces, rows = [np.zeros((0, 4)), np.array([[0.0, 0, 9, 9]])], np.array([[0, 0, 9, 9, 0.5]])
    mask = {"all": np.array([True])}
    assert curves([rows, rows], faces, mask)["all"].ap == 1.0
    assert curves([rows, rows], faces, mask, faceless=True)["all"].ap == 0.5


def test_nothing_found_and_nothing_labelled():
    empty = curves([np.zeros((0, 5))] * 2, [np.array([[0.0, 0, 9, 9]]), np.zeros((0, 4))], {"all": np.array([True])})["all"]
    assert (empty.ap, empty.recall.max(), empty.faces) == (0.0, 0.0, 1)
    assert curves([], [], {"all": np.zeros(0, bool)})["all"].ap == 0.0


def test_scores_are_stretched_over_the_whole_set_and_equal_ones_pass_every_threshold():
    assert normalised(np.array([-3.0, 1.0, 5.0])).tolist() == [0.0, 0.5, 1.0]
    assert normalised(np.array([0.2, 0.2])).tolist() == [1.0, 1.0]


def test_average_precision_takes_the_best_precision_to_the_right():
    # up to recall 0.2 the best to come is 1, to 0.6 it is 0.8, nothing is found beyond
    assert average_precision(np.array([0.2, 0.2, 0.4, 0.6]), np.array([1.0, 0.5, 0.6, 0.8])) == pytest.approx(0.2 + 0.4 * 0.8)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), "e/i: expected an array (N, 5): x, y, w, h, score, received shape (3, 4)"),
        (np.zeros(5), "e/i: expected an array (N, 5): x, y, w, h, score, received shape (5,)"),
        ([["a"] * 5], "e/i: expected an array of numbers (N, 5): x, y, w, h, score, received list"),
        (
            [[1, 2, 3, 4, 0.5], [1, 2, 3, 4, np.nan]],
            "e/i: expected finite numbers x, y, w, h, score, received [1.0, 2.0, 3.0, 4.0, nan] in row 1",
        ),
    ],
)
def test_arrays_that_are_no_predictions(array, message):
    with pytest.raises(DataError) as caught:
        checked(array, "e/i")
    assert str(caught.value) == message


PUBLISHED = {  # AP of the WIDER FACE site's own legends, three digits
    "DSFD": (0.966, 0.957, 0.904),
    "MSCNN": (0.916, 0.903, 0.802),
    "PyramidBox": (0.961, 0.950, 0.889),
    "TinaFace": (0.970, 0.963, 0.934),
    "acf": (0.659, 0.541, 0.273),
}


@pytest.mark.parametrize("detector", PUBLISHED)
def test_published_curves_have_their_published_ap(detector, shared_data):
    found = []
    for subset in ("easy", "medium", "hard"):
        path = shared_data / "wider" / "pr_curves_val" / detector / f"wider_pr_info_{detector}_{subset}_val.mat"
        if b"HDF5" in path.read_bytes()[:128]:
            h5py = pytest.importorskip("h5py")
            with h5py.File(path) as file:
                curve = np.array(file["pr_cruve"]).T  # the site's spelling
        else:
            curve = loadmat(path)["pr_cruve"]
        found.append(average_precision(curve[:, 1], curve[:, 0]))
    assert found == pytest.approx(PUBLISHED[detector], abs=0.0011)
