"""Small galleries of made-up people."""

import itertools

import pytest

from ppface.gallery import Gallery, ModelIdentity

BOTH = pytest.mark.parametrize("make", ["file", "milvus"], indirect=True)
NUMBERS = itertools.count()
MODEL = ModelIdentity("a" * 64, 16)
KEY = bytes(range(32))


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def encrypted(request) -> bool:
    return request.param


@pytest.fixture(scope="session")
def milvus(tmp_path_factory):
    """The address of a Milvus Lite that all tests of this process share, in threads of it."""
    for package in ("pymilvus", "milvus_lite"):
        pytest.importorskip(package, reason=f'without {package}: pip install "ppface[milvus]"')
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(tmp_path_factory.mktemp("milvus")))
    yield f"http://127.0.0.1:{port}"
    server.stop(0).wait()
    database.close()


@pytest.fixture
def make(tmp_path, request):
    """Creates a gallery: make(name, encrypted) -> (gallery, function that opens it again); in a file or, by `BOTH`, also in Milvus."""
    opened = []
    server = request.getfixturevalue("milvus") if getattr(request, "param", "file") == "milvus" else None

    def run(name="people.db", encrypted=True, **options):
        path, key = tmp_path / name, KEY if encrypted else None
        if server:
            path = f"{server}/g{next(NUMBERS)}"
        opened.append(Gallery.create(path, MODEL, key, encrypted, **options))

        def again():
            opened.append(Gallery(path, key))
            return opened[-1]

        return opened[-1], again

    yield run
    for gallery in opened:
        gallery.close()


@pytest.fixture
def faces(rng):
    """Embeddings of five people with four images each, (5, 4, 16)."""
    return (rng.normal(size=(5, 1, 16)) + 0.1 * rng.normal(size=(5, 4, 16))).astype("float32")
