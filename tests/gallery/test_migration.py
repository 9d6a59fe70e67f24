"""Migration of galleries between a file and Milvus: all equal there and back, nothing left behind by a failure."""

import json
import sys

import numpy as np
import pytest

from ppface.commands.gallery import main
from ppface.core.errors import DataError, SaveError
from ppface.gallery import Calibration, Gallery
from ppface.gallery.backend import exists
from ppface.gallery.migration import migrate

from .conftest import KEY, NUMBERS

OTHER = KEY[::-1]


@pytest.fixture
def address(milvus):
    return f"{milvus}/m{next(NUMBERS)}"


def stored(gallery):
    """Everything that a migration must keep."""
    images = {image.uid: (image.owner, image.vector, image.about, image.crop) for image in gallery.database.all_images()}
    return gallery.list(), images, gallery.database.removed(), gallery.calibration, gallery.model, gallery.dtype


def test_a_gallery_in_milvus_and_back_is_the_same(make, faces, address, tmp_path):
    gallery, _ = make(keep_crops=True, dtype="float16")
    crops = list(np.random.default_rng(0).integers(0, 256, (4, 130, 130, 3), "uint8"))
    for i, name in enumerate(["Ann", "Çelik", "Bob"]):
        gallery.add(name, faces[i], crops, [f"{i}.jpg"] * 4, [0.5, None, 1.5, 2.0])
    with gallery.writing():
        gallery.enter_person("nobody's picture")
    gallery.remove("Bob")
    gallery.set_calibration(Calibration(0.1, [{"rate": 0.1, "threshold": 0.3}]))
    before, log = stored(gallery), gallery.audit_log()
    counts = {"people": 3, "images": 8, "removed": 5, "audit": len(log)}
    assert migrate(gallery, address, OTHER) == counts
    with Gallery(address, OTHER, gallery.model) as there:
        assert stored(there) == before and there.audit_log()[: len(log)] == log
        assert there.names_of(faces[1, :2]) == gallery.names_of(faces[1, :2])
        assert migrate(there, tmp_path / "back.db", KEY)["images"] == 8
    with Gallery(tmp_path / "back.db", KEY) as back:
        assert stored(back) == before == stored(gallery)
        assert back.search(faces[0, 1], 3, "mean", -1) == gallery.search(faces[0, 1], 3, "mean", -1)


@pytest.mark.parametrize("to_file", [True, False])
def test_a_migration_that_fails_leaves_nothing_and_says_what_differs(make, faces, address, tmp_path, monkeypatch, to_file):
    gallery, _ = make()
    gallery.add("Ann", faces[0])
    target = tmp_path / "new.db" if to_file else address
    real = Gallery.import_

    def lossy(self, other):
        real(self, other)
        self.remove("Ann", image=other.show("Ann")["images"][0]["id"]) if to_file else self.add("Eve", faces[1])

    monkeypatch.setattr(Gallery, "import_", lossy)
    monkeypatch.setattr("ppface.gallery.gallery.Gallery._purge", lambda *_: None)
    with pytest.raises(DataError) as error:
        migrate(gallery, target, KEY)
    read = "1 and 3" if to_file else "2 and 8"
    assert str(error.value) == (
        f"{target}: expected 1 people and 4 images as in {tmp_path}/people.db, read {read}, 0 of them changed; nothing was kept: "
        "was the source changed meanwhile?"
    )
    assert not exists(target) and gallery.list() == {"Ann": 4}
    monkeypatch.setattr(Gallery, "import_", lambda *_: (_ for _ in ()).throw(SaveError("full")))
    with pytest.raises(SaveError):
        migrate(gallery, target, KEY)
    assert not exists(target) and [path.name for path in tmp_path.iterdir() if path.name.startswith("new")] == []


def test_the_command_both_ways(make, faces, address, tmp_path, monkeypatch, capsys):
    gallery, _ = make()
    gallery.add("Ann", faces[0])
    (tmp_path / "key").write_text(KEY.hex())

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gallery", *map(str, words)])
        assert main() == 0
        return capsys.readouterr().out

    path, key = tmp_path / "people.db", ("--key", tmp_path / "key")
    assert run("migrate", path, address, *key) == f"{address}: 1 people and 4 images, equal to those of {path}, which is unchanged\n"
    with pytest.raises(DataError, match="already exists; expected an address without a gallery; `gallery import` adds people to this one"):
        run("migrate", path, address, *key)
    found = json.loads(run("migrate", address, tmp_path / "back.db", *key, "--unencrypted", "--json"))
    assert found == {"people": 1, "images": 4, "removed": 0, "audit": 2}
    assert run("list", address, *key) == "Ann: 4\n" and run("list", tmp_path / "back.db") == "Ann: 4\n"
    with pytest.raises(DataError, match=r"not encrypted: expected --target-key FILE or --unencrypted for http"):
        run("migrate", tmp_path / "back.db", address)
