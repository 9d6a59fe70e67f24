"""Slots that identities share, the least recently used one first: what a class pool holds, in arrays that a checkpoint can keep."""

import numpy as np

IDENTITY, PLANE, USED = range(3)  # the rows of a table of slots


def empty_slots(count: int) -> np.ndarray:
    """A table of free slots.

    Shape:
        (3, count) int64: the identity in each slot, -1 for none; the plane that its identity writes next, 0 or 1; when the slot was last
        used, as a number that is larger than those of all slots used before, negative for free slots
    """
    return np.stack([np.full(count, -1), np.zeros(count, np.int64), np.arange(count) - count])


def find(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The slot of each identity, -1 if it has none.

    Shape:
        (3, K), (N,) int64 from 0 -> (N,) int64
    """
    wanted, inverse = np.unique(ids, return_inverse=True)
    nearest = np.searchsorted(wanted, table[IDENTITY]).clip(max=len(wanted) - 1)
    held = np.flatnonzero(wanted[nearest] == table[IDENTITY])
    slots = np.full(len(wanted), -1)
    slots[nearest[held]] = held
    return slots[inverse]


def enter(table: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gives a slot to each identity, one after another, as a cache that drops what was least recently used.

    An identity without a slot takes the least recently used one, free slots in their order first, and writes plane 0, next time plane 1.
    One with a slot writes the plane that is its turn; the next time it is the other one's.

    Args:
        table: of `empty_slots` or of an earlier call; it is not changed.
        ids: identities from 0, in any number, of which at most K are different.

    Shape:
        (3, K), (N,) int64 -> the new table (3, K), and for each of `ids` its slot (N,), its plane (N,), and whether it had a slot (N,) bool
    """
    table = table.copy()
    identity, turn, used = table
    wanted = np.unique(ids)
    assert len(wanted) <= len(identity), "more identities than slots"
    begun = now = max(0, int(used.max()) + 1)
    oldest = np.argpartition(used, len(wanted) - 1)[: len(wanted)]  # no call takes more
    victims = iter(oldest[np.argsort(used[oldest])].tolist())
    slot_of = {int(who): int(slot) for who, slot in zip(wanted, find(table, wanted), strict=True) if slot >= 0}
    slots, planes, present = np.empty(len(ids), np.int64), np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
    for i, who in enumerate(ids.tolist()):
        present[i] = who in slot_of
        if present[i]:
            slot = slot_of[who]
            planes[i] = turn[slot]
        else:
            slot = next(victim for victim in victims if used[victim] < begun)
            slot_of.pop(int(identity[slot]), None)
            slot_of[who], identity[slot] = slot, who
        turn[slot] = 1 - planes[i]
        slots[i], used[slot] = slot, now
        now += 1
    return table, slots, planes, present


def last_writes(slots: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """The rows of `enter` whose place no later row writes again, so that what is written does not depend on the order of a scatter.

    Shape:
        (N,), (N,) -> (n,) increasing
    """
    places = 2 * slots + planes
    _, from_the_end = np.unique(places[::-1], return_index=True)
    return np.sort(len(places) - 1 - from_the_end)
