"""Masks over faces against loops over faces, cells and pixels."""

import numpy as np
import pytest

from ppface.ops.face_masks import UNKNOWN, cell_labels, hide_halves, hide_landmarks, hide_lowest, paste


def test_of_the_lowest_scores_as_many_as_asked_for_are_hidden(rng):
    scores = rng.random((40, 7, 7)).astype("float32")
    masks = hide_lowest(scores, 20, 15, rng)
    assert masks.shape == scores.shape and masks.dtype == np.float32
    for score, mask in zip(scores, masks, strict=True):
        lowest = set(sorted(range(49), key=lambda i: score.flat[i])[:20])
        hidden = {i for i in range(49) if mask.flat[i] == 0}
        assert len(hidden) == 15 and hidden <= lowest and mask.sum() == 34
    assert len({tuple(hide_lowest(scores[:1], 20, 15, rng).ravel()) for _ in range(20)}) > 15  # which of the twenty is drawn


def test_halves_are_the_left_right_upper_or_lower_cells(rng):
    left, upper = np.ones((7, 7)), np.ones((7, 7))
    left[:, :3] = upper[:3] = 0
    wanted = [half.astype("float32").tobytes() for half in (left, left[:, ::-1], upper, upper[::-1])]
    assert {mask.tobytes() for mask in hide_halves(100, 7, rng)} == set(wanted)
    assert (hide_halves(20, 4, rng).sum(axis=(1, 2)) == 8).all()


@pytest.mark.parametrize("features", [[[0, 1], [2], [3, 4]], [[0, 1], [2], [3]]])
def test_cells_near_the_points_of_one_feature_are_hidden(rng, features):
    count = 5 if features[2] == [3, 4] else 6
    boxes = np.array([[10, 20, 50, 80]] * 60, "float32")
    points = rng.uniform([10, 20], [50, 80], (60, count, 2)).astype("float32")
    labelled = np.arange(60) % 10 > 0
    masks = hide_landmarks(boxes, points, labelled, 7, rng)
    chosen = set()
    for mask, mine, known in zip(masks, points, labelled, strict=True):
        choices = []
        for feature in features:
            want = np.ones((7, 7), "float32")
            for row in range(7):
                for column in range(7):
                    for x, y in mine[feature]:
                        across, down = (column + 0.5) / 7 - (x - 10) / 40, (row + 0.5) / 7 - (y - 20) / 60
                        want[row, column] *= np.sqrt(across**2 + down**2) > 0.15
            choices.append(want.tobytes())
        if known:
            chosen.add(choices.index(mask.tobytes()))
        else:
            assert mask.min() == 1
    assert chosen == {0, 1, 2}


def test_masks_are_pasted_at_their_faces_and_the_lower_value_wins(rng):
    boxes = np.array([[3, 5, 61, 50], [30, 20, 90, 75], [-20, -10, 30, 25], [9, 9, 11, 11], [0, 0, 64, 64]], "float32")
    image, masks = np.array([0, 0, 1, 1, 1]), (rng.random((5, 7, 7)) < 0.6).astype("float32")
    masks[4] = 1
    index = paste(masks, image, boxes, 8, (2, 8, 9))
    values = np.append(masks.ravel(), 1)[index]
    for at in range(2):
        for row in range(8):
            for column in range(9):
                x, y = (column + 0.5) * 8, (row + 0.5) * 8
                inside = [f for f, (x1, y1, x2, y2) in enumerate(boxes) if image[f] == at and x1 <= x < x2 and y1 <= y < y2]
                cells = [
                    masks[
                        f,
                        int((y - boxes[f, 1]) / (boxes[f, 3] - boxes[f, 1]) * 7),
                        int((x - boxes[f, 0]) / (boxes[f, 2] - boxes[f, 0]) * 7),
                    ]
                    for f in inside
                ]
                assert values[at, row, column] == min(cells, default=1)
                assert (index[at, row, column] == masks.size) == (not inside)
    assert not (index // 49 == 3).any()  # the face of two pixels covers the centre of no cell


def test_faces_without_area_cover_nothing():
    boxes = np.zeros((2, 4), "float32")
    assert (paste(np.zeros((2, 7, 7)), np.array([0, 0]), boxes, 8, (1, 4, 4)) == 98).all()


def test_cells_are_occluded_if_half_of_their_known_pixels_are(rng):
    occlusion = rng.choice(np.array([0, 1, 255], "uint8"), (3, 30, 37), p=[0.3, 0.3, 0.4])
    occlusion[0, :8, :8] = 255
    occlusion[1] = 0
    labels = cell_labels(occlusion, 8, (4, 5))
    for at in range(3):
        for row in range(4):
            for column in range(5):
                pixels = occlusion[at, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
                known = pixels[pixels != 255]
                want = UNKNOWN if len(known) < 32 else int((known == 1).mean() >= 0.5)
                assert labels[at, row, column] == want
    assert labels[0, 0, 0] == UNKNOWN and set(np.unique(labels)) == {UNKNOWN, 0, 1}
    assert (cell_labels(occlusion, 16, (1, 2)) >= UNKNOWN).all()  # a map smaller than the picture
