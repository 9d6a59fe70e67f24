"""Galleries in Milvus: search as the embedded one, crashes at every write, removal, locks, addresses, mistakes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ppface.core.errors import DataError, UserError
from ppface.gallery import Gallery
from ppface.gallery.backend import exists
from ppface.gallery.milvus_collections import parts

from .conftest import KEY, MODEL

IN_MILVUS = pytest.mark.parametrize("make", ["milvus"], indirect=True)


def everything(gallery, queries, k, by):
    return [[(match.name, match.score) for match in found] for found in gallery.search(queries, k, by, threshold=-1)]


@IN_MILVUS
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_people_and_scores_are_those_of_the_embedded_gallery(make, tmp_path, rng, dtype, monkeypatch):
    monkeypatch.setattr("ppface.gallery.milvus_search.HITS", 8)  # one person's images fill several answers
    there, _ = make(encrypted=False, dtype=dtype)
    rows = rng.normal(size=(12, 16))
    with Gallery.create(tmp_path / "x.db", MODEL, encrypted=False, dtype=dtype) as here:
        for gallery in (here, there):
            with gallery.database.transaction():
                gallery.add("many", rows[0] + 0.05 * np.random.default_rng(1).normal(size=(40, 16)))
                gallery.add("twin", np.stack([rows[1], rows[1], rows[2]]))
                for i in range(9):
                    gallery.add(f"P{i}", rows[3 + i])
            gallery.add("P0", rows[11])  # changes a mean
        queries = np.concatenate([rows[:3], rng.normal(size=(1, 16))])
        for k in (1, 3, 20) if dtype == "float32" else (2,):
            for by in ("image", "mean"):
                assert everything(there, queries, k, by) == everything(here, queries, k, by)
        twin = there.show("twin")["images"]
        assert there.search(rows[1], threshold=0.9)[0][0].image == twin[0]["id"]  # of equal scores the earlier image
        assert there.verify("twin", rows[2], 0.9) == here.verify("twin", rows[2], 0.9)
        vectors, people = there.vectors_and_people()
        assert vectors.shape == (53, 16) and sorted(np.bincount(people)) == [1] * 8 + [2, 3, 40]


def dead_after(gallery, writes, monkeypatch):
    """Lets so many writes of a gallery through; then, as if its process had been killed, nothing it does reaches Milvus."""
    collections, left = gallery.database._at, [writes]
    call = collections.call

    def counted(what, method, *values, **options):
        left[0] -= method in ("insert", "delete")
        if left[0] < 0:
            raise DataError("killed")
        return call(what, method, *values, **options)

    monkeypatch.setattr(collections, "call", counted)
    return left


@IN_MILVUS
def test_a_writer_killed_at_any_write_leaves_the_state_before_or_after(make, faces, monkeypatch):
    gallery, again = make(encrypted=False)
    gallery.add("Ann", faces[0, :1])
    gallery.add("Old", faces[4])
    outcomes, writes, found = [], 0, gallery.list()
    while not outcomes or outcomes[-1] != "finished":
        before, new = found, f"B{writes}"
        gone = next(name for name in before if name not in ("Ann", new))
        broken = again()
        left = dead_after(broken, writes, monkeypatch)
        with contextlib.suppress(DataError), broken.database.transaction():
            broken.add("Ann", faces[0, 1])
            broken.add(new, faces[1, :3])
            owner = broken.known(gone)
            broken.database.delete_images(owner, broken.database.image_ids(owner), whole=True)
        after = {name: count for name, count in before.items() if name != gone} | {"Ann": before["Ann"] + 1, new: 3}
        found = gallery.list()
        assert found in (before, after)
        stored = new in found
        for by in ("image", "mean"):
            names = [match.name for match in gallery.search(faces[0, 0], 50, by, -1)[0]]
            assert sorted(names) == list(found) and names[0] == "Ann"
        assert len(gallery.database.image_ids()) == sum(found.values())
        outcomes.append("finished" if left[0] >= 0 else "after" if stored else "before")
        with monkeypatch.context() as patch:
            patch.setattr("ppface.gallery.milvus_journal.LEASE_S", 0.05)
            with gallery.database.transaction():
                """The next writer deletes or finishes what was left."""
        head, gone = gallery.database._journal.read_state()
        for collection in (gallery.database._rows, gallery.database._vectors):
            assert not gone and not gallery.database._at.query(collection, f"id > {head}")
        writes += 1
    assert outcomes[0] == "before" and outcomes == sorted(outcomes, key=["before", "after", "finished"].index) and "after" in outcomes


@IN_MILVUS
def test_long_filters_of_what_is_replaced_take_several_rows(make, monkeypatch):
    monkeypatch.setattr("ppface.gallery.milvus_journal.LONGEST", 300)
    monkeypatch.setattr("ppface.gallery.milvus.IDS", 2)
    gallery, again = make(encrypted=False)
    people = np.eye(16)[:9]
    for _ in range(2):  # the second time every mean is replaced
        with gallery.database.transaction():
            for i, row in enumerate(people):
                gallery.add(f"P{i}", row)
        with monkeypatch.context() as patch:  # no deletion reaches Milvus: readers leave out what the filters name
            patch.setattr(type(gallery.database._journal), "_settle", lambda self: None)
            with gallery.database.transaction():
                for i, row in enumerate(people):
                    gallery.add(f"P{i}", row)
        rows = gallery.database._at.query(gallery.database._rows, 'kind == "gone"')
        found = again().search(people[3], 20, "mean", threshold=-1)[0]
        assert len(rows) == 3 and len(found) == 9 and found[0].name == "P3"
        gallery.add("P0", people[0])
    assert gallery.list() == {"P0": 6} | {f"P{i}": 4 for i in range(1, 9)}


@IN_MILVUS
def test_a_second_writer_waits_and_is_refused_in_one_line(make, faces, monkeypatch):
    monkeypatch.setattr("ppface.gallery.milvus_journal.WAIT_S", 0.1)
    gallery, again = make()
    other = again()
    with gallery.database.transaction():
        with pytest.raises(DataError, match=r"cannot write to it: another process uses it; waited 0 s, try again later"):
            other.add("Bob", faces[1])
        gallery.add("Ann", faces[0])
        assert other.list() == {}
    other.add("Bob", faces[1])
    assert list(gallery.list()) == ["Ann", "Bob"]


@IN_MILVUS
def test_who_lost_the_lock_stores_nothing(make, faces):
    gallery, again = make()
    with pytest.raises(DataError, match="paused for more than 15 s, another writer took over"), gallery.database.transaction():
        gallery.add("Ann", faces[0])
        gallery.database._at.delete(gallery.database._rows, 'kind == "lock"')
        again().add("Bob", faces[1])
    assert gallery.list() == {"Bob": 4}


@IN_MILVUS
def test_what_is_removed_is_never_found_again(make, faces):
    gallery, again = make(keep_crops=True)
    crops = list(np.full((4, 150, 150, 3), 7, "uint8")) + [np.random.default_rng(0).integers(0, 256, (150, 150, 3), "uint8")]
    gallery.add("Ann", np.concatenate([faces[0], faces[1, :1]]), crops)
    gallery.add("Bob", faces[1], crops[:4])
    assert [crop for *_, crop in gallery.crops()][4][:4] == b"\x89PNG"  # 68 KB, in two rows
    owner, image = gallery.show("Ann")["person"], gallery.show("Ann")["images"][4]["id"]
    gallery.remove("Ann", image=image)
    assert gallery.list() == {"Ann": 4, "Bob": 4} and gallery.search(faces[1, 0], 9, threshold=0.9)[0][0].name == "Bob"
    receipt = gallery.forget("Ann")
    assert receipt["images"] == 4 and "until it compacts them" in receipt["not_covered"]
    for opened in (gallery, again()):
        store = opened.database
        for collection in (store._rows, store._vectors):  # rows by any filter, not by ours alone
            rows = [row for page in store._at.pages(collection, "id > -9223372036854775807", "kind", "owner", "uid") for row in page]
            assert rows and {row["kind"] for row in rows if owner in (row["owner"], row["uid"])} <= {"removed"}
            assert not [row for row in rows if row["uid"] == image and row["kind"] != "removed"]
        assert opened.list() == {"Bob": 4} and opened.search(faces[0, 0], threshold=0.9)[0][0].name == "Unknown"


@IN_MILVUS
def test_a_new_key_replaces_the_old_one(make, faces):
    gallery, again = make(keep_crops=True)
    for i, name in enumerate(["Ann", "Çelik"]):
        gallery.add(name, faces[i], list(np.full((4, 4, 4, 3), i, "uint8")))
    shown = gallery.show("Çelik")
    gallery.rotate_key(KEY[::-1])
    with pytest.raises(DataError) as error:
        again()
    assert str(error.value) == f"{gallery.database.path}: wrong key; nothing was changed"
    with Gallery(gallery.database.path, KEY[::-1]) as rotated:
        assert rotated.show("Çelik") == shown and len(list(rotated.crops())) == 8
        assert rotated.search(faces[1, 0], threshold=0.9)[0][0].name == "Çelik" and len(rotated.audit_log()) == 3


@IN_MILVUS
def test_names_are_not_in_milvus_and_the_vectors_are_said_to_be(make, faces, caplog):
    gallery, _ = make()
    gallery.add("Anneliese", faces[0], sources=["secret.jpg"] * 4)
    assert "keeps the embeddings readable" in caplog.text
    fields = ("kind", "uid", "owner", "lookup", "content")
    rows = [row for page in gallery.database._at.pages(gallery.database._rows, "id > 0", *fields) for row in page]
    content = " ".join(str(value) + bytes.fromhex(row["lookup"]).decode("latin-1") for row in rows for value in row.values())
    assert "image" in content and "Anneliese" not in content and "secret" not in content and "digest" not in content


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("milvus:people.db", ("people.db", "", "gallery")),
        ("http://localhost:19530/people", ("http://localhost:19530", "", "people")),
        ("https://milvus.example/faces/people", ("https://milvus.example", "faces", "people")),
    ],
)
def test_addresses(address, expected):
    assert parts(address) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("milvus:people", "milvus:people: expected milvus:FILE.db, as pymilvus takes files that end in .db for Milvus Lite"),
        (
            "http://localhost:19530",
            "http://localhost:19530: expected http://HOST:PORT/NAME or http://HOST:PORT/DATABASE/NAME, names of letters, digits and _",
        ),
        ("http://u:secret@host:1/x", "http://...@host: expected no password in an address; set PPFACE_MILVUS_TOKEN=user:password"),
    ],
)
def test_wrong_addresses_are_one_line(address, message):
    with pytest.raises(DataError) as error:
        parts(address)
    assert str(error.value) == message


def test_servers_that_are_not_there_are_one_line(milvus, make, tmp_path, capfd):
    for address, message in [
        ("http://127.0.0.1:1/people", "cannot connect to Milvus within 5 s: Fail connecting to server on 127.0.0.1:1"),
        (f"{milvus}/nobody", "no such gallery; `gallery add` makes one"),
        (f"milvus:{tmp_path}/none.db", "no such gallery; `gallery add` makes one"),
    ]:
        with pytest.raises(DataError) as error:
            Gallery(address, KEY)
        assert str(error.value).startswith(f"{address}: {message}") and "\n" not in str(error.value)
    (tmp_path / "file.db").touch()
    with pytest.raises(DataError, match="not a folder of Milvus Lite: embedded galleries have addresses without milvus:"):
        Gallery(f"milvus:{tmp_path}/file.db", KEY)
    assert not exists(f"{milvus}/nobody") and not exists(f"milvus:{tmp_path}/none.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.db"] and capfd.readouterr() == ("", "")


def test_a_server_that_dies_in_the_middle_is_one_line(milvus, tmp_path, faces, capfd):
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(tmp_path / "served"))
    address = f"http://127.0.0.1:{port}/people"
    with Gallery.create(address, MODEL, KEY) as gallery:
        gallery.add("Ann", faces[0])
        with pytest.raises(DataError) as error, gallery.database.transaction():
            gallery.add("Bob", faces[1])
            server.stop(0).wait()
        assert re.fullmatch(f"{address}: cannot [a-z ]+: [^\n]*{port}[^\n]*", str(error.value))
        for use in (gallery.list, gallery.database.ready, lambda: gallery.search(faces[0, 0], threshold=0)):
            with pytest.raises(DataError, match="cannot read it: "):
                use()
    database.close()
    assert "Traceback" not in capfd.readouterr().err


@IN_MILVUS
def test_the_service_uses_it_as_any_gallery(make, faces):
    people = pytest.importorskip("ppface.serve.people", reason='pip install "ppface[serve]"')
    gallery, _ = make()
    people.create(gallery, "Ann")
    assert people.everybody(gallery) == {"people": [{"name": "Ann", "images": 0}], "count": 1}
    face = SimpleNamespace(embedding=faces[0, 0], aligned=None, quality=0.5)
    enrolled = people.enrol(gallery, "Ann", face)
    assert enrolled["images"] == 1 and people.about(gallery)["encrypted"]
    assert people.search(gallery, [face], 1, "image", 0.5)[1][0][0].name == "Ann"
    assert people.verify(gallery, "Ann", face, 0.5)["same"]
    assert people.remove_image(gallery, "Ann", enrolled["image"]) == {"name": "Ann", "images": 0}
    assert people.forget(gallery, "Ann")["images"] == 0 and people.everybody(gallery)["count"] == 0


@IN_MILVUS
def test_a_newer_and_a_foreign_collection_are_refused(make, faces, milvus):
    gallery, again = make()
    with pytest.raises(DataError, match="already exists; expected the address of a new gallery"):
        Gallery.create(gallery.database.path, MODEL, KEY)
    gallery.database._journal._next = 10**6
    gallery.database._journal._plain("head", '{"version": 7, "gone": 0}')
    with pytest.raises(DataError, match="a gallery of version 7; this ppface reads version 1: install a newer one"):
        again()
    client = gallery.database._at.client
    client.create_collection("foreign_rows", dimension=4)
    client.create_collection("foreign", dimension=4)
    with pytest.raises(DataError, match="not a gallery of ppface: the collection foreign_rows was made by something else"):
        Gallery(f"{milvus}/foreign", KEY)


@IN_MILVUS
def test_of_two_that_create_a_gallery_one_is_refused_and_harms_nothing(make, milvus, faces, monkeypatch):
    gallery, _ = make()
    gallery.add("Ann", faces[0])
    with monkeypatch.context() as patch:
        patch.setattr("ppface.gallery.milvus_collections.MilvusCollections.has", lambda self: False)
        patch.setattr("ppface.gallery.milvus_collections.MilvusCollections._create", lambda self, size: None)  # servers accept a second one
        with pytest.raises(DataError, match="already exists; expected the address of a new gallery"):
            Gallery.create(gallery.database.path, MODEL, KEY)
    assert gallery.list() == {"Ann": 4}


def test_a_missing_pymilvus_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(UserError) as error:
        Gallery("http://127.0.0.1:1/people", KEY)
    assert str(error.value) == 'galleries in Milvus need the package pymilvus: pip install "ppface[milvus]"'


WORK = """
import sys, numpy as np
from ppface.gallery import Gallery
with Gallery(sys.argv[1]) as gallery:
    for i in range(1000):
        gallery.add(f"P{i}", np.random.default_rng(i).normal(size=(3, 16)))
        print(i, flush=True)
"""


def test_a_killed_process_leaves_whole_people_and_a_gallery_that_opens(milvus, tmp_path, monkeypatch):
    monkeypatch.setattr("ppface.gallery.milvus_journal.LEASE_S", 0.1)
    address = f"milvus:{tmp_path}/people.db"
    Gallery.create(address, MODEL, encrypted=False).close()
    assert (tmp_path / "people.db").stat().st_mode & 0o777 == 0o700 and exists(address)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    worker = subprocess.Popen([sys.executable, "-c", WORK, address], stdout=subprocess.PIPE, text=True, env=environment)
    assert worker.stdout and worker.stdout.readline() == "0\n"
    with pytest.raises(DataError, match="cannot open it: another process uses it"):
        Gallery(address)
    while worker.stdout.readline() != "2\n":
        pass
    worker.send_signal(signal.SIGKILL)
    done = 3 + worker.communicate()[0].count("\n")
    with Gallery(address) as gallery:
        people = gallery.list()
        assert set(people.values()) == {3} and done <= len(people) <= done + 1
        for i in range(len(people)):
            assert gallery.search(np.random.default_rng(i).normal(size=(3, 16))[1], threshold=0.9)[0][0].name == f"P{i}"
        gallery.add("Q", np.ones(16))
