"""Galleries: search against loops, what survives a restart, removal that leaves no bytes, encryption, mistakes."""

import errno
import os
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ppface
from ppface.core.errors import DataError, SaveError
from ppface.gallery import Calibration, Gallery, ModelIdentity, new_key, read_key
from ppface.gallery.database import Database, ExistsError
from ppface.gallery.vectors import best

from .conftest import BOTH, KEY, MODEL

NAMES = ["Ann", "Bob", "Çelik", "'; DROP TABLE people; --", "../../etc/passwd"]


def filled(gallery, faces):
    for name, rows in zip(NAMES, faces, strict=True):
        crops = [(255 * np.random.default_rng(abs(int(1e6 * row[0]))).random((4, 4, 3))).astype("uint8") for row in rows]
        gallery.add(name, rows, crops if gallery.keep_crops else None, [f"{name}{i}.jpg" for i in range(len(rows))])
    return gallery


def files(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def looped(rows, owner, query, k):
    """The k best people by plain loops in float64."""
    found = {}
    for i, row in enumerate(rows.astype(np.float64)):
        score = sum(a * b for a, b in zip(row, query.astype(np.float64), strict=True))
        if owner[i] not in found or score > found[owner[i]][0] + 1e-12:
            found[owner[i]] = (score, i)
    return [i for _, i in sorted(found.values(), key=lambda pair: (-round(pair[0], 12), pair[1]))[:k]]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("k", [1, 3, 60])
def test_the_best_people_are_those_of_plain_loops(rng, dtype, k):
    rows = rng.normal(size=(3000, 8)).astype("float32")
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype)
    rows[100:400] = rows[0]  # ties: the earliest rows win, and one person has many
    owner = rng.integers(0, 50, 3000)
    owner[100:300] = owner[0]
    queries = np.concatenate([rows[[0, 5]].astype("float32"), rng.normal(size=(2, 8)).astype("float32")])
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    together = best(rows, owner, queries, k)
    for query, (found, score) in zip(queries, together, strict=True):
        assert found.tolist() == looped(rows, owner, query, k)
        (alone,) = best(rows, owner, query[None], k)
        np.testing.assert_array_equal(alone[0], found)
        np.testing.assert_array_equal(alone[1], score)


def test_people_are_found_by_image_and_by_mean_also_after_a_restart(make, faces, encrypted):
    gallery, again = make(encrypted=encrypted)
    assert isinstance(filled(gallery, faces), ppface.Gallery)
    for opened in (gallery, again()):
        for i, name in enumerate(NAMES):
            for by in ("image", "mean"):
                (matches,) = opened.search(faces[i, 0] * 30, 2, by, threshold=-1)
                assert matches[0].name == name and len(matches) == 2 and matches[0].score > 0.95
            assert opened.verify(name, faces[i, 1], 0.9)[0] and not opened.verify(name, -faces[i, 1], 0.9)[0]
        assert opened.list() == dict.fromkeys(sorted(NAMES), 4)
        assert [m.name for m in opened.search(-faces[0, 0], threshold=0.9)[0]] == ["Unknown"]
        shown = opened.show("Ann")
        assert opened.search(faces[0, 2], threshold=0.9)[0][0].image == shown["images"][2]["id"]


def test_an_empty_gallery_knows_nobody(make, faces):
    gallery, _ = make()
    for by in ("image", "mean"):
        assert [match.name for match in gallery.search(faces[0, 0], by=by, threshold=-1)[0]] == ["Unknown"]


@BOTH
def test_readers_see_what_another_connection_adds_and_removes(make, faces):
    writer, again = make()
    reader = again()
    assert reader.search(faces[0, 0], threshold=0.9)[0][0].name == "Unknown"
    filled(writer, faces)
    assert reader.search(faces[0, 0], threshold=0.9)[0][0].name == "Ann"
    writer.remove("Ann")
    assert reader.search(faces[0, 0], threshold=0.9)[0][0].name == "Unknown"
    writer.add("Dan", faces[0])
    assert reader.search(faces[0, 0], threshold=0.9)[0][0].name == "Dan"
    assert reader.search(faces[1, 0], threshold=0.9)[0][0].name == "Bob"


@pytest.mark.parametrize("moment", ["FROM people WHERE seq >", "SELECT uid FROM images WHERE seq"])
def test_a_search_sees_one_state_while_another_connection_writes(make, faces, moment, monkeypatch):
    writer, again = make()
    writer.add("Ann", faces[0])
    reader = again()
    read = reader.database.rows

    def rows(query, *values):
        found = read(query, *values)
        if moment in query and "Bob" not in writer.list():
            writer.add("Bob", faces[1])
            with writer.database.transaction():
                ann = writer.known("Ann")
                writer.database.delete_images(ann, writer.database.image_ids(ann), whole=True)
            return read(query, *values)
        return found

    monkeypatch.setattr(reader.database, "rows", rows)
    assert reader.search(faces[0, 0], threshold=0.9)[0][0].name == "Ann"
    assert reader.search(faces[1, 0], threshold=0.9)[0][0].name == "Bob"
    assert reader.search(faces[0, 0], threshold=0.9)[0][0].name == "Unknown"


def test_a_person_given_twice_is_removed_once(make, faces):
    gallery, _ = make()
    gallery.add("Ann", faces[0])
    assert gallery.remove("Ann", " Ann ")["images"] == 4


def test_what_is_removed_is_in_no_file(make, faces, tmp_path, encrypted):
    gallery, again = make(encrypted=encrypted, keep_crops=True)
    filled(gallery, faces)
    other = gallery.database.rows("SELECT vector FROM images WHERE person = 2")
    stored = gallery.database.rows("SELECT vector, about, picture FROM images JOIN crops ON image = seq WHERE person = 1")
    (name,) = gallery.database.rows("SELECT name FROM people WHERE seq = 1")
    content = [value for row in [*stored, name] for value in row]
    before = files(tmp_path)
    assert all(value in before for value in content)
    gallery.remove("Ann")
    for _ in range(2):
        now = files(tmp_path)
        assert not [value for value in content if value in now or (not value.startswith(b"{") and value[-48:-12] in now)]
        assert all(value in now for (value,) in other)
        gallery.close()
        gallery = again()
        assert gallery.search(faces[0, 0], threshold=0.9)[0][0].name == "Unknown" and "Ann" not in gallery.list()


def test_an_encrypted_file_shows_no_name_template_or_picture(make, faces, tmp_path):
    gallery, _ = make(keep_crops=True)
    filled(gallery, faces)
    content = files(tmp_path)
    unit = faces[0, 0] / np.linalg.norm(faces[0, 0])
    for value in (b"Ann", "Çelik".encode(), b"DROP", b"passwd", b"PNG", b"digest", unit.astype("float32").tobytes()[:12]):
        assert value not in content
    gallery.close()


def test_a_killed_removal_is_finished_by_the_next_opening(make, faces, tmp_path, monkeypatch):
    gallery, again = make(encrypted=False)
    filled(gallery, faces)
    unit = gallery.database.rows("SELECT vector FROM images WHERE seq = 1")[0][0]
    monkeypatch.setattr(type(gallery.database), "purge", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        gallery.remove("Ann")
    gallery.close()
    monkeypatch.undo()
    assert "Ann" not in again().list()
    assert unit not in files(tmp_path)


@BOTH
def test_an_import_brings_back_nobody_who_was_removed(make, faces, tmp_path):
    gallery, again = make()
    filled(gallery, faces)
    assert gallery.export(tmp_path / "export.db", KEY[::-1]) == 20
    gallery.remove("Ann")
    gallery.remove("Bob", image=gallery.show("Bob")["images"][0]["id"])
    with Gallery(tmp_path / "export.db", KEY[::-1]) as export:
        assert export.list()["Ann"] == 4
        assert gallery.import_(export) == {"images": 0, "known": 15, "removed": 5}
        assert "Ann" not in again().list() and gallery.list()["Bob"] == 3
        gallery.add("Ann", faces[0, :1])  # enrolled anew: the old images still stay away
        assert gallery.import_(export)["images"] == 0 and gallery.list()["Ann"] == 1
        gallery.export(tmp_path / "later.db", KEY)
        with Gallery(tmp_path / "later.db", KEY) as later:  # a copy of this gallery remembers them too
            assert later.import_(export)["images"] == 0 and later.list()["Ann"] == 1
        fresh, _ = make("fresh.db")
        assert fresh.import_(export) == {"images": 20, "known": 0, "removed": 0}
        assert fresh.search(faces[3, 0], threshold=0.9)[0][0].name == NAMES[3]


def test_the_audit_log_and_the_receipt(make, faces):
    gallery, _ = make(encrypted=False)
    filled(gallery, faces)
    person = gallery.show("Ann")["person"]
    receipt = gallery.forget("Ann")
    assert receipt["forgotten"] == "Ann" and receipt["images"] == 4 and receipt["person"] == person
    log = gallery.audit_log()
    assert [(entry["what"], entry["person"] == person) for entry in log] == [("add", True), *[("add", False)] * 4, ("remove", True)]
    assert "Ann" not in str(log) and set(log[0]) == {"time", "what", "person", "by", "images"}


def test_rows_are_read_in_parts_and_after_an_error_from_where_it_was(make, faces, monkeypatch):
    monkeypatch.setattr("ppface.gallery.embedded.READ_ROWS", 3)
    gallery, again = make()
    reader = again()
    filled(gallery, faces)
    with monkeypatch.context() as damaged:
        opened, vault = iter(range(100)), reader.database.vault
        damaged.setattr(vault, "open", lambda *args, real=vault.open: real(*args) if next(opened) < 12 else vault.sealer.open(b"", b""))
        with pytest.raises(ValueError, match="authentication failed"):
            reader.search(faces[0, 0], threshold=-1)
    gallery.remove(NAMES[0])
    found = [match.name for match in reader.search(faces[0, 0], len(NAMES), threshold=-1)[0]]
    assert sorted(found) == sorted(NAMES[1:]) and reader.database._vectors.count == 16


def test_rows_cannot_be_exchanged(make, faces, tmp_path):
    gallery, again = make()
    filled(gallery, faces)
    gallery.close()
    with sqlite3.connect(tmp_path / "people.db") as raw:
        raw.execute("UPDATE images SET vector = (SELECT vector FROM images WHERE seq = 5) WHERE seq = 1")
    raw.close()
    with pytest.raises(DataError, match="a vector was changed, moved from elsewhere, or sealed with another key"):
        again().search(faces[0, 0], threshold=0.5)


def test_a_new_key_replaces_the_old_one(make, faces, tmp_path):
    gallery, again = make(keep_crops=True)
    filled(gallery, faces)
    old = gallery.database.rows("SELECT vector FROM images")
    gallery.rotate_key(KEY[::-1])
    assert gallery.search(faces[1, 0], threshold=0.9)[0][0].name == "Bob"
    assert not [value for (value,) in old if value in files(tmp_path)]
    with pytest.raises(DataError, match="wrong key; nothing was changed"):
        again()
    with Gallery(tmp_path / "people.db", KEY[::-1]) as rotated:
        assert rotated.search(faces[1, 0], threshold=0.9)[0][0].name == "Bob" and len(list(rotated.crops())) == 20
        assert rotated.audit_log()[-1]["what"] == "rotate-key"


def test_who_opened_a_gallery_before_its_key_changed_writes_nothing(make, faces):
    gallery, again = make()
    gallery.add("Ann", faces[0])
    gallery.set_calibration(Calibration(0.1, [{"rate": 0.1, "threshold": 0.3}]))
    old = again()
    gallery.rotate_key(KEY[::-1])
    for write in (
        lambda: old.add("Bob", faces[1]),
        lambda: old.remove("Ann"),
        lambda: old.set_calibration(Calibration(0.1, [{"rate": 0.1, "threshold": 0.4}])),
        lambda: old.rotate_key(KEY),
    ):
        with pytest.raises(DataError, match="wrong key"):
            write()
    with Gallery(gallery.database.path, KEY[::-1]) as now:
        assert now.list() == {"Ann": 4} and now.threshold() == 0.3 and len(now.audit_log()) == 3


def test_the_wrong_key_changes_nothing(make, faces, tmp_path):
    gallery, _ = make()
    filled(gallery, faces)
    gallery.close()
    before = (tmp_path / "people.db").read_bytes()
    with pytest.raises(DataError) as error:
        Gallery(tmp_path / "people.db", bytes(32))
    assert str(error.value) == f"{tmp_path}/people.db: wrong key; nothing was changed"
    assert (tmp_path / "people.db").read_bytes() == before


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (np.full(16, np.nan), "expected embeddings of finite numbers, received NaN or infinity: the model is damaged"),
        (np.zeros(16), "expected embeddings with a direction, received only zeros: the model is damaged"),
        (np.ones(15), "expected embeddings of 16 numbers, as the gallery has, received shape (15,)"),
        (["a"] * 16, "expected embeddings of 16 numbers, received list"),
    ],
)
def test_embeddings_that_cannot_be_compared_are_refused(make, embedding, message):
    gallery, _ = make()
    for use in (lambda: gallery.add("Ann", embedding), lambda: gallery.search(embedding, threshold=0)):
        with pytest.raises(DataError) as error:
            use()
        assert str(error.value) == message
    assert gallery.list() == {} and gallery.audit_log() == []


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_very_long_and_short_embeddings_have_a_direction(make, faces, size):
    gallery, _ = make()
    gallery.add("Ann", faces[0, 0].astype("float64") * size)
    assert gallery.search(faces[0, 0], threshold=0.99)[0][0].name == "Ann"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected a person's name of 1 to 200 characters, received 0"),
        ("a" * 201, "expected a person's name of 1 to 200 characters, received 201"),
        ("unknown", "'unknown': expected another name: searches answer Unknown below the threshold"),
        ("a\nb", "'a\\nb': expected a person's name in UTF-8 without line breaks and other control characters"),
        ("\x1b[2J", "'\\x1b[2J': expected a person's name in UTF-8 without line breaks and other control characters"),
        ("a\udc80", "'a\\udc80': expected a person's name in UTF-8 without line breaks and other control characters"),
    ],
)
def test_names_that_nobody_has_are_refused(make, faces, name, message):
    with pytest.raises(DataError) as error:
        make()[0].add(name, faces[0])
    assert str(error.value) == message


def test_sources_may_be_paths_and_qualities_numbers_of_numpy(make, faces):
    gallery, _ = make()
    gallery.add("Ann", faces[0, :2], sources=[Path("a.jpg"), None], qualities=[np.float32(0.5), None])
    assert [(image["source"], image["quality"]) for image in gallery.show("Ann")["images"]] == [("a.jpg", 0.5), (None, None)]


def test_a_threshold_of_nan_is_refused(make, faces, tmp_path):
    gallery, _ = make()
    gallery.add("Ann", faces[0])
    for use in (lambda: gallery.search(faces[0], threshold=np.nan), lambda: gallery.verify("Ann", faces[0, 0], np.nan)):
        with pytest.raises(DataError) as error:
            use()
        assert str(error.value) == f"{tmp_path}/people.db: expected a cosine as threshold, received NaN, which no score reaches"


def test_a_closed_gallery_says_so(make, faces, tmp_path):
    gallery, _ = make()
    gallery.close()
    for use, what in ((gallery.list, "read it"), (lambda: gallery.add("Ann", faces[0]), "write to it")):
        with pytest.raises(DataError) as error:
            use()
        assert str(error.value) == f"{tmp_path}/people.db: cannot {what}: it was closed here: open it again"


def test_a_person_with_a_reserved_name_of_an_earlier_version_can_be_removed(make, faces, tmp_path, monkeypatch):
    gallery, _ = make()
    with monkeypatch.context() as earlier:
        earlier.setattr("ppface.gallery.store.checked_name", str)
        gallery.add("Ｕｎｋｎｏｗｎ", faces[0])
    with pytest.raises(DataError, match=r"people.db: 'Ｕｎｋｎｏｗｎ': .*: `gallery remove` this person there first"):
        gallery.export(tmp_path / "copy.db", KEY)
    assert gallery.verify("Ｕｎｋｎｏｗｎ", faces[0, 0], 0.5)[0] and len(gallery.show("Ｕｎｋｎｏｗｎ")["images"]) == 4
    assert gallery.forget("Ｕｎｋｎｏｗｎ")["images"] == 4 and gallery.list() == {}


def test_a_name_in_either_unicode_form_is_one_person(make, faces):
    gallery, _ = make()
    gallery.add("C\u0327elik", faces[0, :1])
    gallery.add("Çelik", faces[0, 1:2])
    assert gallery.list() == {"Çelik": 2}


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"alignment": "aligned pictures of 8x8"}, "alignment aligned, received aligned pictures of 8x8"),
        ({"flip": True}, "flip False, received True"),
    ],
)
def test_the_right_model_with_other_options_is_told_which(make, tmp_path, other, difference):
    with pytest.raises(DataError) as error:
        make(keep_crops=True)[0].check_model(replace(MODEL, **other))
    assert str(error.value) == (
        f"{tmp_path}/people.db: expected its model: {difference}; "
        "the model is right, give --detector, --align and --flip as for its people; "
        f"or `gallery embed {tmp_path}/people.db --model MODEL --out NEW` embeds its stored faces again"
    )


def test_a_gallery_of_another_model_is_not_imported(make, tmp_path):
    gallery, _ = make()
    with Gallery.create(tmp_path / "other.db", replace(MODEL, flip=True), KEY) as other, pytest.raises(DataError) as error:
        gallery.import_(other)
    assert str(error.value) == f"{tmp_path}/other.db: expected the model of {tmp_path}/people.db: flip False, received True"


def test_what_an_unencrypted_gallery_answers_to_a_new_key_is_a_way_to_encrypt_it(make):
    gallery, _ = make(encrypted=False)
    with pytest.raises(DataError, match=r"people.db: not encrypted; `gallery export --out-key FILE` writes an encrypted copy"):
        gallery.rotate_key(KEY)


def test_another_model_is_refused_with_the_command_that_helps(make, tmp_path):
    gallery, _ = make(keep_crops=True)
    with pytest.raises(DataError) as error:
        gallery.check_model(ModelIdentity("a" * 64, 128, order="BGR"))
    assert str(error.value) == (
        f"{tmp_path}/people.db: expected its model: size 16, received 128; order RGB, received BGR; "
        f"`gallery embed {tmp_path}/people.db --model MODEL --out NEW` embeds its stored faces again"
    )


def test_files_that_are_no_gallery_are_refused_by_name(tmp_path, make):
    path = tmp_path / "x.db"
    with pytest.raises(DataError, match="no such gallery"):
        Gallery(path, KEY)
    for content in (b"", b"words" * 1000):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.db: not a gallery of ppface"):
            Gallery(path, KEY)
    path.unlink()
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE t (a)")
    raw.close()
    with pytest.raises(DataError, match=r"x\.db: not a gallery of ppface"):
        Gallery(path, KEY)
    make("newer.db")[0].close()
    with sqlite3.connect(tmp_path / "newer.db") as raw:
        raw.execute("PRAGMA user_version=7")
    raw.close()
    with pytest.raises(DataError, match=r"a gallery of version 7; this ppface reads version 1: install a newer one"):
        Gallery(tmp_path / "newer.db", KEY)
    with pytest.raises(DataError, match="already exists"):
        Gallery.create(path, MODEL, KEY)


def test_a_gallery_that_may_not_be_read_is_one_line(make, monkeypatch):
    _, again = make()
    monkeypatch.setattr(
        sqlite3, "connect", lambda *_, **__: (_ for _ in ()).throw(sqlite3.OperationalError("unable to open database file"))
    )
    with pytest.raises(SaveError, match=r"people\.db: cannot open it: unable to open"):
        again()


def test_a_plain_gallery_in_place_of_an_encrypted_one_is_noticed(make, tmp_path, monkeypatch):
    make(encrypted=False)
    with pytest.raises(DataError, match="expected an encrypted gallery, as a key was given; this one is not: was it replaced"):
        Gallery(tmp_path / "people.db", KEY)
    monkeypatch.delenv("PPFACE_GALLERY_KEY", raising=False)
    with pytest.raises(DataError, match=r"expected a key: write one with `gallery new-key FILE`, or set PPFACE_GALLERY_KEY"):
        Gallery.create(tmp_path / "other.db", MODEL)
    assert not (tmp_path / "other.db").exists()


def test_a_second_writer_waits_and_is_refused_in_one_line(make, faces, monkeypatch):
    monkeypatch.setattr("ppface.gallery.database.WAIT_S", 0.1)
    gallery, again = make()
    other = again()
    with gallery.database.transaction():
        with pytest.raises(DataError, match=r"cannot write to it: another process uses it; waited 0 s, try again later"):
            other.add("Bob", faces[1])
        gallery.add("Ann", faces[0])
    other.add("Bob", faces[1])
    assert list(gallery.list()) == ["Ann", "Bob"]


@pytest.mark.parametrize("stays", [False, True])
def test_a_removal_waits_for_who_reads_and_gives_no_receipt_while_bytes_remain(make, faces, tmp_path, monkeypatch, caplog, stays):
    monkeypatch.setattr("ppface.gallery.database.WAIT_S", 0.02)
    monkeypatch.setattr("ppface.gallery.database.PURGE_WAIT_S", 0.1 if stays else 20)
    gallery, again = make(encrypted=False)
    filled(gallery, faces)
    unit = gallery.database.rows("SELECT vector FROM images WHERE seq = 1")[0][0]
    writer = again()
    reader = sqlite3.connect(tmp_path / "people.db", isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM images").fetchall()
    if stays:
        path = writer.database.path
        with pytest.raises(DataError) as error:
            writer.forget("Ann")
        assert str(error.value) == (
            f"'Ann': removed, but bytes remain in the file: {path}: cannot rebuild it without the removed bytes: another process uses it; "
            f"waited 0 s: when that one has ended, `ppface gallery list {path}` rebuilds it"
        )
        reader.close()
        assert "Ann" not in again().list() and not caplog.messages
    else:
        threading.Timer(0.1, reader.close).start()
        assert writer.forget("Ann")["images"] == 4
    assert unit not in files(tmp_path)


def test_a_removal_on_a_full_disk_says_how_much_room_it_needs_and_is_finished_later(make, faces, tmp_path, monkeypatch):
    gallery, again = make(encrypted=False)
    filled(gallery, faces)
    unit, path = gallery.database.rows("SELECT vector FROM images WHERE seq = 1")[0][0], gallery.database.path

    def full(until):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(gallery.database, "_checkpoint", full)
        with pytest.raises(SaveError) as error:
            gallery.forget("Ann")
    assert str(error.value) == (
        f"'Ann': removed, but bytes remain in the file: {path}: cannot rebuild it without the removed bytes: database or disk is full; "
        f"it needs up to 2 MB free on its disk: make room, then `ppface gallery list {path}` rebuilds it"
    )
    assert unit in files(tmp_path)
    gallery.close()
    assert "Ann" not in again().list() and unit not in files(tmp_path)


def test_a_full_disk_leaves_what_was_there(make, faces):
    gallery, again = make()
    gallery.add("Ann", faces[0])
    pages = gallery.database.rows("PRAGMA page_count")[0][0]
    gallery.database.rows(f"PRAGMA max_page_count={pages}")
    with pytest.raises(
        SaveError, match="cannot write to it: database or disk is full; what was stored before is unchanged: make room on its disk"
    ):
        gallery.add("Bob", np.repeat(faces[1], 500, axis=0))
    assert gallery.list() == {"Ann": 4} == again().list()
    assert gallery.search(faces[0, 0], threshold=0.9)[0][0].name == "Ann"


def test_keys_are_written_for_their_owner_alone_and_never_shown(tmp_path, monkeypatch):
    file = tmp_path / "key"
    new_key(file)
    assert file.stat().st_mode & 0o777 == 0o600 and len(read_key(file)) == 32
    with pytest.raises(DataError, match="already exists"):
        new_key(file)
    monkeypatch.setenv("PPFACE_GALLERY_KEY", KEY.hex())
    assert read_key() == KEY
    for wrong in ("secret", "00" * 31):
        monkeypatch.setenv("PPFACE_GALLERY_KEY", wrong)
        with pytest.raises(DataError) as error:
            read_key()
        assert str(error.value) == "PPFACE_GALLERY_KEY: expected a key of 64 hexadecimal digits, as `gallery new-key FILE` writes"


def test_a_key_that_cannot_be_written_is_one_line_and_leaves_no_file(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"^expected the name of a new file for the key, received an empty text$"):
        new_key("")
    with pytest.raises(DataError, match=f"^{tmp_path}/no/key: cannot write this key: No such file or directory$"):
        new_key(tmp_path / "no" / "key")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=f"^{tmp_path}/key: cannot write this key: No space left on device$"):
        new_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_can_read_is_one_warning_with_the_command_that_helps(tmp_path, caplog):
    file = tmp_path / "a key"
    new_key(file)
    read_key(file)
    assert not caplog.messages
    file.chmod(0o640)
    assert len(read_key(file)) == len(read_key(file)) == 32
    assert caplog.messages == [f"{file}: other users can read this key (its mode is 640): chmod go= '{file}'"]


def test_an_import_of_changed_vectors_is_refused(make, faces, tmp_path):
    gallery, _ = make()
    gallery.add("Ann", faces[0, 0])
    other, again = make("other.db", encrypted=False)
    other.add("Bob", faces[1, :2])
    for changed in (np.full(16, np.nan, "f4"), np.full(16, 2, "f4"), np.ones(15, "f4")):
        with sqlite3.connect(tmp_path / "other.db") as database:
            database.execute("UPDATE images SET vector = ? WHERE seq = 2", (changed.tobytes(),))
        database.close()
        with pytest.raises(DataError, match=r"other\.db: image [0-9a-f]{32}: expected a vector of length 1: it was changed$"):
            gallery.import_(again())
    assert gallery.list() == {"Ann": 1}


def test_of_several_who_create_one_gallery_one_does_and_the_others_find_all_of_it(tmp_path, monkeypatch):
    path, inside, taken = tmp_path / "people.db", [], []
    write = Database.write

    def while_created(self, *values):
        if not inside:
            inside.append(True)
            assert not path.exists()  # nobody finds half a gallery
            Gallery.create(path, MODEL, KEY).close()
            taken.append(path.read_bytes())
        return write(self, *values)

    monkeypatch.setattr(Database, "write", while_created)
    with pytest.raises(ExistsError, match=r"people\.db: already exists; expected the name of a new gallery"):
        Gallery.create(path, MODEL, KEY)
    assert path.read_bytes() == taken[0] and [file.name for file in tmp_path.iterdir()] == ["people.db"]
    assert path.stat().st_mode & 0o777 == 0o600
    Gallery(path, KEY).close()


def test_galleries_are_created_without_hard_links_too(tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    with Gallery.create(tmp_path / "people.db", MODEL, KEY) as gallery:
        assert gallery.list() == {}
    assert [file.name for file in tmp_path.iterdir()] == ["people.db"]
    with pytest.raises(ExistsError):
        Gallery.create(tmp_path / "people.db", MODEL, KEY)
