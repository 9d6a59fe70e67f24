"""MilvusCollections: the two collections of a gallery in Milvus, and every call to it as one line of error or none.

The client is `MilvusClient` of pymilvus, https://milvus.io/api-reference/pymilvus/v2.6.x/About.md. A file of Milvus Lite, which one process
at a time can open, is served by pymilvus within this process at a port of 127.0.0.1.
"""

import contextlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ppface.core.errors import DataError, UserError

TOKEN = "PPFACE_MILVUS_TOKEN"
CONNECT_S, READ_S, WRITE_S = 5.0, 30.0, 180.0  # Milvus Lite writes its memory to the disk within some inserts
LITE = "milvus:"
PAGE, SHORT = 200, 2000  # rows of a page: of 64 KB of content each, or without it, both below the 64 MB of a message
TEXT = 65535  # of a VARCHAR
_lite: Counter[str] = Counter()  # open files, as all galleries of one file in this process share its server


class MilvusCollections:
    """`rows`: names, audit log and all else by kind; `vectors`: embeddings of images and means of people.

    Args:
        address: milvus:FILE.db, http://HOST:PORT/NAME or http://HOST:PORT/DATABASE/NAME (https too).
        size: of the embeddings, creates them; None: they must exist.

    Raises:
        DataError: a wrong address, a server that does not answer, another version, or a gallery that exists or does not.
    """

    def __init__(self, address: str, size: int | None = None):
        uri, database, name = parts(address)
        self.path, self.vectors, self.rows = address, name, f"{name}_rows"
        self._file = str(Path(uri).absolute()) if address.startswith(LITE) else None
        if self._file:
            self._prepare(Path(self._file), size is not None)
        self._connect(uri, database)
        try:
            there = self.has()
            if size is not None and there:
                raise DataError(f"{address}: already exists; expected the address of a new gallery")
            if size is not None:
                self._create(size)
            elif not there:
                raise DataError(f"{address}: no such gallery; `gallery add` makes one")
            self._check()
            for collection in (self.rows, self.vectors):
                self.call("load it", "load_collection", collection)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def exist(address: str) -> bool:
        """Whether there is a gallery at an address."""
        try:
            MilvusCollections(address).close()
        except DataError as error:
            if "no such gallery" in str(error):
                return False
            raise
        return True

    def _prepare(self, file: Path, create: bool) -> None:
        """A new folder of Milvus Lite can be read by its owner alone."""
        if not create and not file.is_dir():
            if file.exists():
                raise DataError(f"{self.path}: not a folder of Milvus Lite: embedded galleries have addresses without {LITE}")
            raise DataError(f"{self.path}: no such gallery; `gallery add` makes one")
        try:
            file.mkdir(0o700, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.path}: cannot create this gallery: {error.strerror}") from None

    def _connect(self, uri: str, database: str) -> None:
        milvus, grpc = _pymilvus(bool(self._file))
        self._types, self._failures = milvus.DataType, (milvus.MilvusException, grpc.RpcError, ValueError)
        token = "" if self._file else os.environ.get(TOKEN, "")
        try:
            self.client = milvus.MilvusClient(uri, token=token, db_name=database, timeout=CONNECT_S)
        except self._failures as error:
            if self._file:
                raise DataError(
                    f"{self.path}: cannot open it: another process uses it, or it is damaged or of an older Milvus Lite"
                ) from None
            raise DataError(f"{self.path}: cannot connect to Milvus within {CONNECT_S:.0f} s: {_reason(error)}") from None
        if self._file:
            _lite[self._file] += 1

    def has(self) -> bool:
        return any(self.call("find it", "has_collection", name) for name in (self.rows, self.vectors))

    def _create(self, size: int) -> None:
        integer, text, vector = self._types.INT64, self._types.VARCHAR, self._types.FLOAT_VECTOR
        ids = [("kind", text, {"max_length": 16}), ("uid", text, {"max_length": 32}), ("owner", text, {"max_length": 32})]
        content = [("lookup", text, {"max_length": 4096}), ("content", text, {"max_length": TEXT})]
        self._collection(self.rows, [*ids, *content, ("vector", vector, {"dim": 2})])  # Milvus has no collection without vectors
        self._collection(self.vectors, [*ids, ("count", integer, {}), ("vector", vector, {"dim": size})])

    def _collection(self, name: str, fields: list[tuple[str, Any, dict[str, Any]]]) -> None:
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", self._types.INT64, is_primary=True)
        for field, kind, options in fields:
            schema.add_field(field, kind, **options)
        self.call("create it", "create_collection", name, schema=schema, consistency_level="Strong", num_shards=1)
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")  # compares with every vector: nobody is missed
        self.call("create it", "create_index", name, index, sync=False)

    def _check(self) -> None:
        for collection in (self.rows, self.vectors):
            if not self.call("open it", "has_collection", collection):
                raise DataError(
                    f"{self.path}: not completely created: drop its collections {self.rows} and {self.vectors}, and create it again"
                )
            fields = {field["name"] for field in self.call("open it", "describe_collection", collection)["fields"]}
            if not {"id", "kind", "uid", "owner", "vector"} <= fields:
                raise DataError(f"{self.path}: not a gallery of ppface: the collection {collection} was made by something else")

    def call(self, what: str, method: str, *values: Any, **options: Any) -> Any:
        """The result of a method of MilvusClient; its errors are DataErrors."""
        try:
            seconds = WRITE_S if method in ("insert", "delete", "flush") else READ_S
            return getattr(self.client, method)(*values, timeout=seconds, **options)
        except self._failures as error:
            raise DataError(f"{self.path}: cannot {what}: {_reason(error)}") from None

    def query(self, collection: str, where: str, *fields: str) -> list[dict[str, Any]]:
        """Few rows, in the order of their ids."""
        found = self.call("read it", "query", collection, filter=where, output_fields=["id", *fields], consistency_level="Strong")
        return sorted(found, key=lambda row: row["id"])

    def any(self, collection: str, where: str) -> bool:
        options = {"output_fields": ["id"], "limit": 1, "consistency_level": "Strong"}
        return bool(self.call("read it", "query", collection, filter=where, **options))

    def pages(self, collection: str, where: str, *fields: str) -> Iterator[list[dict[str, Any]]]:
        """Any number of rows, in the order of their ids, some at a time."""
        options = {
            "batch_size": PAGE if "content" in fields else SHORT,
            "filter": where,
            "output_fields": ["id", *fields],
            "consistency_level": "Strong",
        }
        pages = self.call("read it", "query_iterator", collection, **options)
        try:
            while True:
                try:
                    page = pages.next()
                except self._failures as error:
                    raise DataError(f"{self.path}: cannot read it: {_reason(error)}") from None
                if not page:
                    return
                yield sorted(page, key=lambda row: row["id"])
        finally:
            with contextlib.suppress(*self._failures):
                pages.close()

    def insert(self, collection: str, rows: list[dict[str, Any]]) -> None:
        for start in range(0, len(rows), PAGE):
            self.call("write to it", "insert", collection, rows[start : start + PAGE])

    def delete(self, collection: str, where: str) -> None:
        self.call("write to it", "delete", collection, filter=where)

    def flush(self, compact: bool = False) -> None:
        """Asks Milvus to write what it has in memory to its storage, and to compact it; servers limit how often."""
        for collection in (self.rows, self.vectors):
            self.call("flush it", "flush", collection)
            if compact:
                self.call("compact it", "compact", collection)

    def drop(self) -> None:
        for collection in (self.rows, self.vectors):
            self.call("delete it", "drop_collection", collection)

    def close(self) -> None:
        if not hasattr(self, "client"):
            return
        with contextlib.suppress(*self._failures):
            self.client.close()
        del self.client
        if self._file:
            _lite[self._file] -= 1
            if not _lite[self._file]:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self._file)


def parts(address: str) -> tuple[str, str, str]:
    """(URI for pymilvus, database, collection) of an address.

    Raises:
        DataError: an address that is neither a file of Milvus Lite nor a server with a name.
    """
    if address.startswith(LITE):
        file = address.removeprefix(LITE)
        if not file.endswith(".db") or "://" in file:
            raise DataError(f"{address}: expected {LITE}FILE.db, as pymilvus takes files that end in .db for Milvus Lite")
        return file, "", "gallery"
    url = urlsplit(address)
    if "@" in url.netloc:
        raise DataError(f"{url.scheme}://...@{url.hostname}: expected no password in an address; set {TOKEN}=user:password")
    *database, name = url.path.strip("/").split("/")
    if not url.hostname or len(database) > 1 or not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,200}", part) for part in [*database, name]):
        raise DataError(f"{address}: expected http://HOST:PORT/NAME or http://HOST:PORT/DATABASE/NAME, names of letters, digits and _")
    return f"{url.scheme}://{url.netloc}", "".join(database), name


def _reason(error: BaseException) -> str:
    """The first line of an error of pymilvus, without a name or vector in it."""
    words = error.details() if hasattr(error, "details") else getattr(error, "message", error)
    lines = str(words).strip().splitlines()
    return re.sub(r'["\'][^"\']*["\']', "...", lines[0])[:200] if lines else type(error).__name__


def _pymilvus(lite: bool) -> tuple[Any, Any]:
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else it prints lines of its own when a server goes away
    try:
        import grpc
        import pymilvus

        if lite:
            import milvus_lite  # noqa: F401
    except ImportError as error:
        package = "milvus-lite" if error.name == "milvus_lite" else "pymilvus"
        raise UserError(f'galleries in Milvus need the package {package}: pip install "ppface[milvus]"') from None
    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they print the trace of every error, too
    return pymilvus, grpc
