"""Drawn faces: marks where they belong, and nothing else touched."""

import numpy as np
import pytest
from detector import Face
from drawing import BOX, POINT, draw


@pytest.mark.parametrize("size", [(64, 64), (480, 640), (2000, 3000)])
def test_boxes_and_landmarks_are_drawn_where_they_are(size):
    height, width = size
    image = np.full((height, width, 3), 128, np.uint8)
    x1, y1, x2, y2 = width // 4, height // 4, width * 3 // 4, height * 3 // 4
    middle = np.array([[width / 2, height / 2]])
    drawn = draw(image, [Face((x1, y1, x2, y2), 0.87, middle)])
    assert (image == 128).all()
    for x, y in ((x1, (y1 + y2) // 2), (x2, (y1 + y2) // 2), ((x1 + x2) // 2, y2)):
        assert tuple(drawn[y, x]) == BOX
    assert np.abs(drawn[height // 2, width // 2].astype(int) - POINT).max() < 40
    changed = (drawn != 128).any(axis=2)
    assert not changed[y2 + height // 16 :].any()
    assert not changed[y1 + height // 8 : y2 - height // 8, x1 + width // 8 : width * 7 // 16].any()


def test_lines_grow_with_the_picture():
    def line(side: int) -> int:
        drawn = draw(np.zeros((side, side, 3), np.uint8), [Face((side / 4, side / 4, side * 3 / 4, side * 3 / 4), 0.5)])
        return int((drawn[side // 2, : side // 2] == BOX).all(axis=1).sum())

    assert line(256) < line(1024) < line(3000)


def test_faces_beyond_the_border_and_without_size_are_drawn_too():
    drawn = draw(np.zeros((50, 50, 3), np.uint8), [Face((-20, -20, 80, 80), 1.0), Face((10, 10, 10, 10), 0.2), Face((30, 0, 50, 20), 0.5)])
    assert tuple(drawn[10, 10]) == BOX


def test_a_name_takes_the_place_of_the_score():
    class Named(Face):
        name = None

    def drawn(name, score=0.5):
        face = Named((20.0, 40.0, 120.0, 140.0), score)
        object.__setattr__(face, "name", name)
        return draw(np.zeros((160, 160, 3), np.uint8), [face])

    assert (drawn("Ann") != drawn(None)).any() and (drawn("Ann", 0.5) == drawn("Ann", 0.7)).all()
    assert (drawn("Zoë") == drawn("Zoe")).all() and (drawn("李") == drawn("?")).all()
    assert (drawn(None) == drawn("0.50")).all() and (drawn("") == drawn(None)).all()
