"""People: the same for the same number, told apart by geometry and not by colour alone."""

from dataclasses import fields

import numpy as np
import pytest

from ppface.data.synthetic.identity import BEARDS, SIZES, STYLES, Identity
from ppface.data.synthetic.surface import Surface


@pytest.fixture(scope="module")
def people() -> list[Identity]:
    return [Identity.draw(0, number) for number in range(200)]


def test_a_number_is_always_the_same_person():
    assert Identity.draw(3, 17) == Identity.draw(3, 17)
    assert Identity.draw(3, 17) != Identity.draw(3, 18)
    assert Identity.draw(3, 17) != Identity.draw(4, 17)


def test_every_size_that_is_drawn_has_a_field_and_stays_within_two_deviations(people):
    assert set(SIZES) <= {field.name for field in fields(Identity)}
    for name, (mean, deviation) in SIZES.items():
        values = np.array([getattr(person, name) for person in people])
        assert np.all(np.abs(values - mean) <= 2 * deviation + 1e-9)
        assert values.std() > 0.5 * deviation


def test_no_two_people_have_nearly_the_same_geometry(people):
    mean, deviation = np.array(list(SIZES.values())).T
    sizes = (np.array([[getattr(person, name) for name in SIZES] for person in people]) - mean) / deviation
    distance = np.linalg.norm(sizes[:, None] - sizes[None], axis=2) + 100 * np.eye(len(people))
    assert distance.min() > 2.0


def test_skin_and_hair_are_shared_by_many(people):
    for part in ("skin", "hair"):
        colors = np.array([getattr(person, part) for person in people], float)
        distance = np.linalg.norm(colors[:, None] - colors[None], axis=2) + 1000 * np.eye(len(people))
        assert np.mean(distance.min(axis=1) < 15) > 0.95


def test_every_style_and_beard_is_worn_by_someone(people):
    assert {person.style for person in people} == set(STYLES)
    assert {person.beard for person in people} == set(BEARDS)


def test_a_point_of_the_face_is_nearest_in_the_middle_and_symmetric(people):
    surface = Surface(people[0])
    left, middle, right = surface.lift(np.array([(-0.4, 0.3, 0.0), (0.0, 0.3, 0.0), (0.4, 0.3, 0.0)]))
    assert middle[2] > left[2] == pytest.approx(right[2])
    assert surface.lift(np.array([(0.0, 0.3, 0.2)]))[0, 2] == pytest.approx(middle[2] + 0.2)
