"""Tracks of faces that move, cross, leave, come back and are cut away, and their fused embeddings."""

import itertools

import numpy as np
import pytest

from ppface.predict import Face
from ppface.predict.face_tracker import FaceTracker

ANN, BOB, CAT = np.eye(6)[:3] * 4


def face(x, embedding=None, y=0.0, side=40.0, quality=None, variance=None):
    return Face((x, y, x + side, y + side), 0.9, None, embedding, variance, quality)


def numbers(tracker, *frames):
    return [[track.number for track in tracker.update(list(faces))] for faces in frames]


def test_faces_that_move_slowly_keep_their_numbers():
    frames = [[face(3 * t, ANN), face(200 - 3 * t, BOB)][:: 1 if t % 2 else -1] for t in range(8)]
    assert numbers(FaceTracker(), *frames) == [[1, 2], [2, 1]] * 4


def test_without_embeddings_overlap_alone_decides():
    tracker = FaceTracker()
    assert numbers(tracker, [face(0), face(100)], [face(101), face(2)], [face(300)], [face(300)]) == [[1, 2], [2, 1], [3], [3]]
    assert numbers(FaceTracker(overlap=0.5), [face(0)], [face(20)]) == [[1], [2]]  # an overlap of a third
    assert numbers(FaceTracker(overlap=1 / 3), [face(0)], [face(20)]) == [[1], [1]]
    assert numbers(FaceTracker(overlap=0), [face(0)], [face(40)]) == [[1], [2]]  # none


def test_embeddings_tell_who_is_who_where_two_cross():
    frames = [[face(10, ANN), face(20, BOB)], [face(20, ANN), face(10, BOB)]]
    assert numbers(FaceTracker(), *frames) == [[1, 2], [1, 2]]
    assert numbers(FaceTracker(), *([face(f.box[0]) for f in faces] for faces in frames)) == [[1, 2], [2, 1]]


def test_a_cut_to_another_face_at_the_same_place_begins_a_track():
    assert numbers(FaceTracker(), [face(0, ANN)], [face(0, BOB)], [face(0, BOB)], [face(0, ANN)]) == [[1], [2], [2], [1]]


def test_a_face_that_comes_back_elsewhere_is_known_for_a_while():
    tracker = FaceTracker(patience=3)
    assert numbers(tracker, [face(0, ANN)], [], [], [face(300, ANN)], [], [], [], [face(300, ANN)]) == [[1], [], [], [1], [], [], [], [2]]
    assert numbers(FaceTracker(), [face(0)], [], [face(0)]) == [[1], [], [2]]  # without an embedding it is not
    assert FaceTracker().update([]) == []


def test_two_of_one_look_are_still_two():
    assert numbers(FaceTracker(), [face(0, ANN), face(300, ANN)], [face(300, ANN), face(0, ANN), face(600, ANN)]) == [[1, 2], [2, 1, 3]]


def test_the_assignment_is_the_best_of_all(rng):
    for _ in range(20):
        tracker = FaceTracker(overlap=0.0, contradiction=-1.0, similarity=-1.0)
        first, second = ([face(x, rng.normal(size=6)) for x in rng.uniform(0, 60, 4)] for _ in range(2))
        tracker.update(first)
        got = [track.number - 1 for track in tracker.update(second)]

        def gain(i, j, first=first, second=second):
            (a, _, b, _), (c, _, d, _) = first[j].box, second[i].box
            width = max(0, min(b, d) - max(a, c))
            cosine = first[j].embedding @ second[i].embedding
            return width * 40 / (3200 - width * 40) + cosine / np.linalg.norm(first[j].embedding) / np.linalg.norm(second[i].embedding)

        best = max(itertools.permutations(range(4)), key=lambda order: sum(gain(i, j) for i, j in enumerate(order)))
        assert got == list(best)


def test_embeddings_are_fused_by_quality_or_precision():
    tracker = FaceTracker()
    (track,) = tracker.update([face(0, ANN, quality=3.0)])
    assert track.embedding is None
    for vector, quality in ((ANN, 3.0), (BOB * 9, 1.0)):
        track.fuse(face(0, vector, quality=quality))
    np.testing.assert_allclose(track.embedding, np.array([3, 1, 0, 0, 0, 0]) / np.sqrt(10))
    (exact,) = FaceTracker().update([face(0, ANN)])
    for vector, variance in ((ANN, [0.5, 1, 1, 1, 1, 1]), (BOB, [1, 0.25, 1, 1, 1, 1])):
        exact.fuse(face(0, vector, quality=-7.0, variance=np.array(variance)))
    want = np.array([2 / 3, 4 / 5, 0, 0, 0, 0])
    np.testing.assert_allclose(exact.embedding, want / np.linalg.norm(want))
    (plain,) = FaceTracker().update([face(0, ANN)])
    for quality in (None, -2.0, np.nan):
        plain.fuse(face(0, CAT, quality=quality))
    np.testing.assert_allclose(plain.embedding, CAT / 4)


@pytest.mark.parametrize(
    ("name", "value"), [("overlap", 1.5), ("contradiction", 0.9), ("similarity", 2.0), ("patience", 0), ("overlap", np.nan)]
)
def test_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"FaceTracker: expected overlap in 0..1.*{name}={value}"):
        FaceTracker(**{name: value})
