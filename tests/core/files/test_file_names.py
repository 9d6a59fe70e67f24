"""File names in any encoding, in any locale: read from lists, opened, written back byte by byte, and shown."""

import os
import subprocess
import sys

import pytest

from ppface.core.errors import DataError
from ppface.core.files import file_names
from ppface.core.files.atomic_write import replace_text
from ppface.core.run.signals import _print_error

GBK = os.fsdecode(b"\xc4\xe3.jpg")  # as unpacked from an archive of a Chinese Windows
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_list_keeps_the_bytes_of_its_names(tmp_path):
    data = b"\xc4\xe3.jpg 0\n\xe4\xbd\xa0.jpg 1\n"
    text = file_names.from_text(b"\xef\xbb\xbf" + data, "l.txt", "a list")
    assert text.splitlines() == [f"{GBK} 0", "你.jpg 1"]
    assert file_names.to_bytes(text) == data
    replace_text(tmp_path / "l.txt", text)
    assert (tmp_path / "l.txt").read_bytes() == data


def test_bytes_that_are_utf8_in_any_locale_are_shown_as_characters():
    assert file_names.printable(os.fsdecode(b"\xc4").join(["\udce4\udcbd\udca0", "é"])) == r"你\udcc4é"


def test_what_no_file_can_be_named_does_no_harm():
    assert file_names.on_disk("\ud800") == "\ud800" and not file_names.is_utf8("\ud800")
    assert file_names.printable("\ud800") == r"\ud800"


def test_what_is_no_text_is_reported():
    with pytest.raises(DataError) as refusal:
        file_names.from_text("a.jpg 0\n".encode("utf-16"), "l.txt", "a list")
    assert (
        str(refusal.value)
        == "l.txt: expected a list in UTF-8 text: it contains zero bytes, as UTF-16 and binary files do: save it as UTF-8"
    )


@pytest.mark.parametrize(
    ("name", "shown", "utf8"), [("a.jpg", "a.jpg", True), ("你.jpg", "你.jpg", True), (GBK, r"\udcc4\udce3.jpg", False)]
)
def test_names_are_shown_whole(name, shown, utf8):
    assert file_names.printable(name) == shown
    assert file_names.is_utf8(name) is utf8
    assert file_names.on_disk(name) == name == file_names.to_unicode(name)


def test_a_locale_without_unicode_changes_no_name(tmp_path):
    (tmp_path / "你.jpg").write_bytes(b"1")
    code = (
        "import os, sys\nfrom ppface.core.files import file_names as f\n"
        "listed, = os.listdir(sys.argv[1])\nwritten = f.on_disk('\\u4f60.jpg')\nwith open(os.path.join(sys.argv[1], written)): pass\n"
        "assert listed == written == f.from_text(b'\\xe4\\xbd\\xa0.jpg', '', '') and f.to_unicode(listed) == '\\u4f60.jpg' and f.is_utf8(listed)\n"
        "print(sys.getfilesystemencoding(), f.to_bytes(listed))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=os.environ | POSIX)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "ascii b'\\xe4\\xbd\\xa0.jpg'\n")


def test_the_last_words_of_a_signal_show_any_name(capfd):
    _print_error(f"{GBK}: stopped")
    assert capfd.readouterr().err == "\\udcc4\\udce3.jpg: stopped\n"


def test_paths_for_libraries_are_utf8_in_any_locale():
    assert (
        file_names.for_library("a/é.json") == file_names.for_library("a/\udcc3\udca9.json") == "a/é.json"
    )  # the second: of a POSIX locale
    with pytest.raises(DataError, match=r"^a/\\udcc4\.json: expected a path in UTF-8, .* rename the folder, or choose another one$"):
        file_names.for_library("a/\udcc4.json")
