"""Slots of a class pool against a list that is kept in order by hand."""

import numpy as np
import pytest

from ppface.ops.lru_slots import IDENTITY, USED, empty_slots, enter, find, last_writes


def by_hand(order, turn, ids, count):
    """[(identity, slot)] from the newest to the oldest, and each slot's turn -> the same afterwards, slots, planes, presence."""
    order, turn, rows = list(order), list(turn), []
    for who in ids:
        present = who in dict(order)
        if present:
            slot = dict(order)[who]
            order.remove((who, slot))
        else:
            slot = len(order) if len(order) < count else order.pop()[1]
            turn[slot] = 0
        rows.append((slot, turn[slot], present))
        turn[slot] = 1 - turn[slot]
        order.insert(0, (who, slot))
    return order, turn, *zip(*rows, strict=True)


@pytest.mark.parametrize(("count", "size", "people"), [(1, 1, 3), (4, 4, 5), (7, 5, 20), (10, 8, 9)])
def test_many_batches_as_by_hand(rng, count, size, people):
    table, order, turn = empty_slots(count), [], [0] * count
    for _ in range(30):
        ids = rng.integers(0, people, size)  # an identity may be in a batch several times
        order, turn, *want = by_hand(order, turn, ids.tolist(), count)
        before = table.copy()
        new, *rows = enter(table, ids)
        np.testing.assert_array_equal(table, before)
        table = new
        for got, expected in zip(rows, want, strict=True):
            np.testing.assert_array_equal(got, expected)
        assert table[1].tolist() == turn
        newest = np.argsort(-table[USED])[: len(order)]
        assert [(table[IDENTITY][slot], slot) for slot in newest] == order
        held = dict(order)
        np.testing.assert_array_equal(find(table, np.arange(people)), [held.get(who, -1) for who in range(people)])


def test_an_identity_that_comes_again_after_it_lost_its_slot_is_new():
    table, *_ = enter(empty_slots(3), np.array([5, 6, 7]))
    table, slots, planes, present = enter(table, np.array([8, 5, 7]))  # 8 takes the slot of 5, and 5 that of 6
    assert (slots.tolist(), planes.tolist(), present.tolist()) == ([0, 1, 2], [0, 0, 1], [False, False, True])
    assert table[IDENTITY].tolist() == [8, 5, 7]


def test_only_the_last_of_several_writes_of_a_place_counts():
    assert last_writes(np.array([3, 3, 0, 3, 0]), np.array([0, 1, 0, 0, 0])).tolist() == [1, 3, 4]
