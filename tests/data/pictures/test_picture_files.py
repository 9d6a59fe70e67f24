"""Which files of a folder are pictures: one list of endings for all readers, and what is left out is counted."""

import os
from pathlib import Path

import pytest
from PIL import Image

from ppface.data.detection.picture_lookup import PictureLookup
from ppface.data.pictures import picture_files
from ppface.data.pictures.picture import Picture
from ppface.data.recognition.identity_folder import IdentityFolder
from ppface.predict.extract import entries

ROOT = Path(__file__).resolve().parents[3]


def save(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_the_deployed_copy_is_the_same():
    name = "picture_files.py"
    assert (ROOT / "deploy" / "python" / name).read_text() == (ROOT / "ppface" / "data" / "pictures" / name).read_text()


def test_no_other_list_of_endings():
    for folder in ("ppface", "tools", "deploy"):
        lists = [path for path in (ROOT / folder).rglob("*.py") if '".tiff"' in path.read_text()]
        assert {path.name for path in lists} <= {"picture_files.py"}


@pytest.mark.parametrize("ending", picture_files.ENDINGS)
def test_every_ending_can_be_read(tmp_path, ending):
    kinds = {".jpe": "JPEG", ".jfif": "JPEG", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM"}
    mode = {".pgm": "L", ".pbm": "1"}.get(ending, "RGB")
    file = tmp_path / f"x{ending}"
    Image.new(mode, (6, 4)).save(file, kinds.get(ending))
    assert Picture.open(file).decode().shape == (4, 6, 3)
    assert picture_files.is_picture(f"X{ending.upper()}") and not picture_files.is_picture(f"._x{ending}")


def test_all_readers_find_the_same_files(tmp_path):
    names = [f"x{i:02d}{ending}" for i, ending in enumerate(picture_files.ENDINGS)]
    save(*(tmp_path / "person" / name for name in [*names, "._x00.jpg", "notes.txt"]))
    assert picture_files.find(tmp_path).files == [f"person/{name}" for name in names]
    assert IdentityFolder(str(tmp_path)).files == [f"person/{name}" for name in names]
    assert [entry.line for entry in entries(tmp_path)] == [f"person/{name}" for name in names]
    lookup = PictureLookup(tmp_path / "person")
    assert [lookup.find(f"{Path(name).stem}.xyz", "") for name in names] == names


def test_what_is_left_out_is_counted(tmp_path):
    save(
        tmp_path / "a.jpg", tmp_path / "b" / "c.PGM", tmp_path / "b" / "._c.pgm", tmp_path / ".cache" / "d.jpg", tmp_path / "out" / "a.jpg"
    )
    save(*(tmp_path / name for name in ("1.txt", "2.TXT", "README")))
    os.mkfifo(tmp_path / "pipe.jpg")
    found = picture_files.find(tmp_path, output=tmp_path / "b" / ".." / "out")
    assert found.files == ["a.jpg", "b/c.PGM"]
    assert found.left_out == {"hidden": 2, ".txt": 2, "without an ending": 1, "output folder": 1, "special files": 1}
    assert sorted(found.summary().split(", ")) == ["1 output folder", "1 special files", "1 without an ending", "2 .txt", "2 hidden"]
    assert picture_files.find(tmp_path / "b", output=tmp_path / "not there yet").files == ["c.PGM"]


def test_many_kinds_are_added_up(tmp_path):
    save(*(tmp_path / f"{i}.{kind}" for kind in range(9) for i in range(10 - kind)))
    assert picture_files.find(tmp_path).summary() == "10 .0, 9 .1, 8 .2, 7 .3, 6 .4, 5 .5, 9 others"


def test_linked_folders_and_pictures_are_followed_once(tmp_path):
    save(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "one").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "two").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "in" / "self.jpg").symlink_to("self.jpg")
    found = picture_files.find(tmp_path / "in")
    assert found.files == ["gone.jpg", "one/a.jpg", "self.jpg", "two/a.jpg"]  # broken links are reported when they are read
    assert found.left_out == {"links back to a folder that contains them": 1}


def test_people_say_what_was_left_out(tmp_path, caplog):
    caplog.set_level("INFO", "ppface")
    save(tmp_path / "p" / "a.gif", tmp_path / "p" / "Thumbs.db", tmp_path / "q" / "b.jfif", tmp_path / "list.txt", tmp_path / "beside.jpg")
    data = IdentityFolder(str(tmp_path))
    assert data.files == ["p/a.gif", "q/b.jfif"]
    (line,) = caplog.messages
    start, _, kinds = line.partition(": left out: ")
    assert start == f"IdentityFolder: {tmp_path}"
    assert sorted(kinds.split(", ")) == ["1 .db", "1 .txt", "1 pictures beside the people's folders"]


def test_the_order_is_that_of_the_bytes_of_names_in_any_locale(tmp_path):
    names = [b"\xc6\xc6", b"\xd0\xb4\xd5\xe6", "é".encode(), "你".encode(), b"z"]  # the second begins with the bytes of a letter in UTF-8
    for name in names:
        save(*(tmp_path / os.fsdecode(name) / os.fsdecode(picture + b".png") for picture in names))
    files = [os.fsencode(file) for file in picture_files.find(tmp_path).files]
    assert files == sorted(a + b"/" + b + b".png" for a in names for b in names)
    people = IdentityFolder(str(tmp_path))
    assert [os.fsencode(name) for name in people.class_names] == sorted(names)
    assert [os.fsencode(file) for file in people.files] == files
