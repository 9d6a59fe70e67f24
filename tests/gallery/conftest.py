"""Small galleries of made-up people."""

import pytest

from ppface.gallery import Gallery, ModelIdentity

MODEL = ModelIdentity("a" * 64, 16)
KEY = bytes(range(32))


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def encrypted(request) -> bool:
    return request.param


@pytest.fixture
def make(tmp_path):
    """Creates a gallery: make(name, encrypted) -> (gallery, function that opens it again)."""
    opened = []

    def run(name="people.db", encrypted=True, **options):
        path, key = tmp_path / name, KEY if encrypted else None
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
