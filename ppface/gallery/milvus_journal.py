"""MilvusJournal: transactions over Milvus, which has none: rows count from when one row, the head, is written.

Rows have ascending ids. A transaction inserts its rows with ids above the head's, where no reader looks, then a new head with the
highest id: that one insert makes all of them visible. What the transaction deletes is named by filters in rows of kind "gone" below the
head, so that readers leave it out from the same moment; then it is deleted, and a head without filters follows. After a crash, the next
writer deletes the rows above the head, or finishes the deletions.

One writer at a time: a row of kind "lock", which another writer may delete after it has seen it unchanged for LEASE_S. Milvus cannot
compare and set, so two writers may overlap if one is held up that long between its last look at the lock and its head.
"""

import contextlib
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ppface.core.errors import DataError
from ppface.core.run.log import log
from ppface.gallery.milvus_collections import PAGE, MilvusCollections

LEASE_S, WAIT_S = 15.0, 20.0
LONGEST = 60_000  # characters of filters in a row, of the 65,535 of a VARCHAR
VERSION = 1
FLUSH = 1000  # rows: Milvus Lite searches what it has not flushed one row at a time

State = tuple[int, dict[str, list[str]]]  # the head's id, and filters of what is deleted by collection


class MilvusJournal:
    """Reads and writes of both collections.

    Args:
        collections: of the gallery.
        new: it has just been created.
    """

    def __init__(self, collections: MilvusCollections, new: bool):
        self.collections, self._new, self.foreign, self.lock = collections, new, False, threading.RLock()
        self.state: State = (0, {})
        self._depth = self._lock_id = self._next = self._first = self._unflushed = 0
        self._renewed, self._unsure = 0.0, False
        self._added: dict[str, list[dict[str, Any]]] = {}
        self._gone: dict[str, list[str]] = {}

    def read_state(self) -> State:
        heads = self.collections.query(self.collections.rows, 'kind == "head"', "content")
        if not heads:
            return 0, {}
        head, about = heads[-1]["id"], json.loads(heads[-1]["content"])
        if (version := about["version"]) != VERSION:
            raise DataError(
                f"{self.collections.path}: a gallery of version {version}; this ppface reads version {VERSION}: install a newer one"
            )
        first = about["gone"]
        gone: dict[str, list[str]] = {}
        if first:
            for row in self.collections.query(self.collections.rows, f'kind == "gone" and id >= {first} and id < {head}', "content"):
                for collection, filters in json.loads(row["content"]).items():
                    gone.setdefault(collection, []).extend(filters)
        return head, gone

    def where(self, collection: str, condition: str) -> str:
        """A filter of the visible rows."""
        if not self._depth:
            self.state = self.read_state()
        head, gone = self.state
        return f"id > 0 and id <= {head} and {condition}" + "".join(f" and not ({one})" for one in gone.get(collection, []))

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        with self.lock:
            if not self._depth:
                self.state = self.read_state()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    @contextlib.contextmanager
    def transaction(self, begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
        """All writes of the block are stored, or none; a block within a block is part of it.

        Args:
            begin: called before and after the block.
            end: called at its end, may write.
        """
        with self.lock:
            if self.writing:
                yield
                return
            self._added, self._gone = {}, {}
            begin()
            try:
                self._acquire()
                self._recover()
                with self.snapshot():
                    self.foreign = self._new and self.state[0] > 0  # another process created it at the same time
                    if self.foreign:
                        raise DataError(f"{self.collections.path}: already exists; expected the address of a new gallery")
                    yield
                    end()
                    self._commit()
            finally:
                begin()
                self._release()

    @property
    def writing(self) -> bool:
        return self._lock_id != 0

    def moved(self) -> bool:
        """Whether another writer committed since this snapshot; moves it there."""
        before, self.state = self.state[0], self.read_state()
        return self.state[0] != before

    def add(self, collection: str, **row: Any) -> None:
        """Inserts a row. Within a transaction."""
        self._added.setdefault(collection, []).append({"id": self._next, **row})
        self._next += 1
        if len(self._added[collection]) >= PAGE:
            self._spill(collection)

    def drop(self, collection: str, condition: str) -> None:
        """Deletes visible rows. Within a transaction, whose own rows stay."""
        self._gone.setdefault(collection, []).append(f"id <= {self.state[0]} and {condition}")

    def _spill(self, collection: str) -> None:
        if time.monotonic() - self._renewed > LEASE_S / 3:
            self._renew()
        rows = self._added.pop(collection, [])
        self._insert(collection, rows)
        self._unflushed += len(rows)

    def _insert(self, collection: str, rows: list[dict[str, Any]]) -> None:
        self._unsure = True  # an insert without an answer may still arrive
        self.collections.insert(collection, rows)
        self._unsure = False

    def _commit(self) -> None:
        if self._next == self._first and not self._gone:
            return
        self._renew()
        for collection in list(self._added):
            self._spill(collection)
        first = self._next if self._gone else 0
        for collection, filters in self._gone.items():
            part: list[str] = []
            for i, one in enumerate(filters):
                part.append(one)
                if i + 1 == len(filters) or len(json.dumps([*part, filters[i + 1]])) > LONGEST:
                    self._plain("gone", json.dumps({collection: part}))
                    part = []
        self._check_lock()
        self._plain("head", json.dumps({"version": VERSION, "gone": first}))
        self.state, self._new = (self._next - 1, self._gone), False
        try:
            self._settle()
            if self._unflushed >= FLUSH:
                self.collections.flush()
                self._unflushed = 0
        except DataError as error:
            log.warning("%s; what was written before is stored, the next writer finishes it", error)

    def _plain(self, kind: str, content: str) -> None:
        empty = {"uid": "", "owner": "", "lookup": "", "vector": [0.0, 0.0]}
        self._insert(self.collections.rows, [{"id": self._next, "kind": kind, "content": content, **empty}])
        self._next += 1

    def _settle(self) -> None:
        """Deletes what is gone; then earlier heads."""
        head, gone = self.state
        for collection, filters in gone.items():
            for one in filters:
                self.collections.delete(collection, one)
        if gone:
            self._plain("head", json.dumps({"version": VERSION, "gone": 0}))
            head = self._next - 1
            self.state = head, {}
        self.collections.delete(self.collections.rows, f'kind in ["head", "gone"] and id < {head}')

    def _recover(self) -> None:
        """Deletes what a crashed writer left, or finishes it."""
        self.state = self.read_state()
        self._next = self.state[0] + 1
        for collection in (self.collections.rows, self.collections.vectors):
            above = f"id > {self.state[0]}"
            for page in self.collections.pages(collection, above) if self.collections.any(collection, above) else ():
                self._next = max(self._next, page[-1]["id"] + 1)  # an id that was deleted is not used again
                self.collections.delete(collection, f"id >= {page[0]['id']} and id <= {page[-1]['id']}")
        if self.state[1]:
            self._settle()
        self._first = self._next

    def _acquire(self) -> None:
        last: list[int] = []
        begun = since = time.monotonic()
        self._unsure = False
        while True:
            if not (others := self._locks()):
                self._take()
                if self._locks() == [self._lock_id]:
                    return
                self._release()
            elif others != last:
                last, since = others, time.monotonic()
            elif time.monotonic() - since > LEASE_S:
                log.warning("%s: a writer stopped in the middle %.0f s ago; its changes are undone", self.collections.path, LEASE_S)
                self.collections.delete(self.collections.rows, f"id in {last}")
            if time.monotonic() - begun > WAIT_S:
                raise DataError(
                    f"{self.collections.path}: cannot write to it: another process uses it; waited {WAIT_S:.0f} s, try again later"
                )
            time.sleep(random.uniform(0.02, 0.1))

    def _locks(self) -> list[int]:
        return [row["id"] for row in self.collections.query(self.collections.rows, 'kind == "lock"')]

    def _take(self) -> None:
        self._lock_id, self._renewed = -secrets.randbelow(2**62) - 1, time.monotonic()
        row = {"id": self._lock_id, "kind": "lock", "uid": "", "owner": "", "lookup": "", "content": "", "vector": [0.0, 0.0]}
        self.collections.insert(self.collections.rows, [row])

    def _renew(self) -> None:
        """Replaces the lock's row, by which others see that this writer is alive."""
        old = self._lock_id
        self._check_lock()
        self._take()
        self.collections.delete(self.collections.rows, f"id == {old}")

    def _check_lock(self) -> None:
        if self._lock_id not in self._locks():
            raise DataError(f"{self.collections.path}: cannot write to it: paused for more than {LEASE_S:.0f} s, another writer took over")

    def _release(self) -> None:
        """Deletes the lock's row; after a write without an answer it stays, so that the next writer waits until that can have arrived."""
        lock, self._lock_id = self._lock_id, 0
        if lock and not self._unsure:
            with contextlib.suppress(DataError):
                self.collections.delete(self.collections.rows, f"id == {lock}")
