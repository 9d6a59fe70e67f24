"""The SQLite file of a gallery: its tables, transactions, and removal that leaves no bytes behind.

With `secure_delete`, https://www.sqlite.org/pragma.html#pragma_secure_delete, SQLite overwrites deleted rows, but cells that it moved
between pages before may remain in unused parts of them, and the write-ahead log has earlier pages. After a removal the file is therefore
rebuilt (VACUUM, in memory instead of a temporary file), and the log is written back and cut to nothing (wal_checkpoint TRUNCATE).
"""

import contextlib
import math
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ppface.core.errors import DataError, SaveError
from ppface.core.run.log import log
from ppface.gallery.identity import ChangedError

APPLICATION = 0x70706661  # "ppfa" in the header of the file
VERSION = 1
PAGE_BYTES = 16384  # seven embeddings of 512 float32 a page; of SQLite's 4096 bytes half would stay unused
WAIT_S = 5.0  # for another writer
PURGE_WAIT_S = 30.0  # for readers when the file is rebuilt: who is removed should be so when the command ends
SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE people (seq INTEGER PRIMARY KEY AUTOINCREMENT, uid BLOB NOT NULL UNIQUE, lookup BLOB NOT NULL UNIQUE, name BLOB NOT NULL);
CREATE TABLE images (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, uid BLOB NOT NULL UNIQUE, person INTEGER NOT NULL REFERENCES people(seq),
    vector BLOB NOT NULL, about BLOB NOT NULL);
CREATE INDEX images_of ON images(person);
CREATE TABLE crops (image INTEGER PRIMARY KEY REFERENCES images(seq), picture BLOB NOT NULL);
CREATE TABLE removed (seq INTEGER PRIMARY KEY AUTOINCREMENT, uid BLOB NOT NULL UNIQUE);
CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, uid BLOB NOT NULL UNIQUE, entry BLOB NOT NULL);
"""
PRAGMAS = (
    "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON", "temp_store=MEMORY", "trusted_schema=OFF",
)  # fmt: skip
PENDING = "purge_pending"


class ExistsError(DataError):
    """A gallery that was to be created exists already."""


class Database:
    """One connection, shared by the threads of a process under `lock`.

    Args:
        path: the file.
        create: makes a new one; otherwise it must exist. It gets its name when it is closed, so that others find all of it or nothing.

    Raises:
        DataError: not a gallery, of a newer version, or it exists already.
    """

    def __init__(self, path: str | os.PathLike, create: bool = False):
        self.path, self.lock, self._depth = Path(path), threading.RLock(), 0
        self._unnamed: Path | None = None
        if create:
            self._unnamed = self._create_file()
        elif not self.path.is_file():
            raise DataError(f"{self.path}: no such gallery; `gallery add` makes one")
        try:
            with self._errors("open it"):
                self.connection = sqlite3.connect(self._unnamed or self.path, WAIT_S, isolation_level=None, check_same_thread=False)
                if create:
                    self._create()
                self._check()
                for pragma in PRAGMAS:
                    self.connection.execute(f"PRAGMA {pragma}")
                self._file = self._file_now()
        except BaseException:
            if create:
                self.delete()
            self.close()
            raise

    def _create_file(self) -> Path:
        self._must_not_exist(os.path.lexists(self.path))
        unnamed = self.path.with_name(f".{self.path.name[:100]}.{secrets.token_hex(4)}.new")
        try:
            os.close(os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # readable by its owner alone
        except OSError as error:
            raise SaveError(f"{self.path}: cannot create this gallery: {error.strerror}") from None
        return unnamed

    def _must_not_exist(self, there: bool) -> None:
        if there:
            raise ExistsError(f"{self.path}: already exists; expected the name of a new gallery")

    def _give_name(self) -> None:
        unnamed = self._unnamed
        assert unnamed is not None
        try:
            with self._errors("create it"):
                self._checkpoint()  # the log of SQLite must be empty: it would keep the old name
                self.connection.close()
            os.link(unnamed, self.path)  # fails if the name is taken
        except FileExistsError:
            self._must_not_exist(True)
        except OSError:  # a file system without hard links
            self._must_not_exist(os.path.lexists(self.path))
            unnamed.rename(self.path)
        finally:
            self.delete()

    def _create(self) -> None:
        self.connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.executescript(f"BEGIN; {SCHEMA} PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; COMMIT")

    def _check(self) -> None:
        application, version = (self.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if application != APPLICATION:
            raise DataError(f"{self.path}: not a gallery of ppface")
        if version != VERSION:
            raise DataError(f"{self.path}: a gallery of version {version}; this ppface reads version {VERSION}: install a newer one")

    def _file_now(self) -> tuple[int, int] | None:
        """What identifies the file that has the name now."""
        try:
            about = (self._unnamed or self.path).stat()
        except OSError:
            return None
        return about.st_dev, about.st_ino

    def _must_be_the_file(self) -> None:
        """SQLite goes on with a file that was deleted or replaced: what is stored would be lost, and who is removed be in the other one."""
        if self._file_now() != self._file:
            raise ChangedError(f"{self.path}: cannot use it: the file was deleted or replaced since it was opened: open it again")

    def close(self) -> None:
        if self._unnamed:
            self._give_name()
        if hasattr(self, "connection"):
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()

    def delete(self) -> None:
        """Closes and deletes a gallery that could not be completed."""
        path, self._unnamed = self._unnamed or self.path, None
        self.close()
        for ending in ("", "-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)

    def rows(self, query: str, *values: object) -> list[tuple]:
        with self._errors("read it"):
            return self.connection.execute(query, values).fetchall()

    def write(self, query: str, *values: object) -> int:
        """Runs one statement; returns the row number that it inserted. Within `transaction` only."""
        assert self._depth, "outside a transaction"
        return self.connection.execute(query, values).lastrowid or 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements of the block are stored, flushed to the disk, or none; a block within a block is part of it."""
        with self.lock:
            if self._depth:
                yield
                return
            self._must_be_the_file()
            with self._errors("write to it"):
                self.connection.execute("BEGIN IMMEDIATE")
                self._depth = 1
                try:
                    yield
                    self.connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back already, as at a full disk
                        self.connection.execute("ROLLBACK")
                    raise
                finally:
                    self._depth = 0

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads of the block see one state of the file, whatever other processes write meanwhile."""
        with self.lock:
            if self._depth:
                yield
                return
            self._must_be_the_file()
            with self._errors("read it"):
                self.connection.execute("BEGIN")
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0
                    with contextlib.suppress(sqlite3.Error):  # SQLite may have ended it already
                        self.connection.execute("ROLLBACK")

    def must_purge(self) -> None:
        """Notes, in the transaction of a removal, that its bytes are still in the file."""
        self.write("INSERT OR REPLACE INTO about VALUES (?, ?)", PENDING, b"1")

    def purge(self) -> None:
        """Rebuilds the file without the bytes of removed rows, and empties the write-ahead log.

        Raises:
            UserError: another process uses the file, or the disk is full; the next opening tries again.
        """
        until, waits = time.monotonic() + PURGE_WAIT_S, max(PURGE_WAIT_S, WAIT_S)
        later = f"waited {waits:.0f} s: when that one has ended, `ppface gallery list {self.path}` rebuilds it"
        megabytes = math.ceil(self.path.stat().st_size / 1e6) + 1  # the log holds the new file until it is written back
        full = f"it needs up to {megabytes} MB free on its disk: make room, then `ppface gallery list {self.path}` rebuilds it"
        with self.lock, self._errors("rebuild it without the removed bytes", later, full):
            self.connection.execute("VACUUM")
            self._checkpoint(until)
            self.connection.execute("DELETE FROM about WHERE key = ?", (PENDING,))
            self._checkpoint(until)

    def _checkpoint(self, until: float = 0.0) -> None:
        while self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:  # waits for WAIT_S itself
            if time.monotonic() > until:
                raise sqlite3.OperationalError("database is locked")

    def finish_purge(self) -> None:
        """What a killed process left to do; a failure is a warning, as reading is possible without it."""
        if self.rows("SELECT 1 FROM about WHERE key = ?", PENDING):
            try:
                self.purge()
            except (DataError, SaveError) as error:
                log.warning("%s", error)

    @contextlib.contextmanager
    def _errors(self, what: str, later: str = "", full: str = "") -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            words = str(error)
            if "closed database" in words:
                raise DataError(f"{self.path}: cannot {what}: it was closed here: open it again") from None
            if "locked" in words or "busy" in words:
                later = later or f"waited {WAIT_S:.0f} s, try again later"
                raise DataError(f"{self.path}: cannot {what}: another process uses it; {later}") from None
            if "full" in words or "disk I/O" in words or "readonly" in words or "unable to open" in words:
                unchanged = f"what was stored before is unchanged{': make room on its disk' * ('full' in words)}"
                raise SaveError(f"{self.path}: cannot {what}: {words}; {full or unchanged}") from None
            if "not a database" in words:
                raise DataError(f"{self.path}: not a gallery of ppface") from None
            raise DataError(f"{self.path}: cannot {what}: {words}: damaged; use an export or another copy") from None
