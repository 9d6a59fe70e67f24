"""tools/convert_identities.py and tools/data_info.py: the same people in every form, and what is said of them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data import IdentityFolder, IdentityList, RecordIdentities, SyntheticIdentities
from ppface.data.recognition.identity_convert import convert, open_identities
from ppface.data.recognition.identity_report import report

GBK = os.fsdecode(b"\xc4\xe3")
CONVERT, INFO = "tools/convert_identities.py", "tools/data_info.py"


@pytest.fixture
def faces(tmp_path):
    """Twelve people, the first with three pictures and every other with one more than the one before, up to eight."""
    people = SyntheticIdentities(12, 8, size=(32, 32), difficulty=0)
    for person in range(12):
        (tmp_path / "faces" / f"person {person:02d}").mkdir(parents=True)
        for number in range(min(8, person + 3)):
            pixels = people[person * 8 + number]["picture"].decode()
            Image.fromarray(pixels).save(tmp_path / "faces" / f"person {person:02d}" / f"{number}.{'png' if number % 2 else 'jpg'}")
    return tmp_path / "faces"


def contents(data):
    return [(data.encoded(i), int(data.labels[i])) for i in range(len(data))]


def test_the_same_people_in_every_form(faces, tmp_path):
    folder = IdentityFolder(str(faces))
    want = contents(folder)
    assert len(want) == 3 + 4 + 5 + 6 + 7 + 8 * 7
    ways = [("a.rec", folder)]
    for name, source in ways:
        assert convert(source, tmp_path / name) == {}
    records = RecordIdentities(str(tmp_path / "a.rec"))
    convert(records, tmp_path / "b")
    convert(folder, tmp_path / "c.txt")
    lines = IdentityList(str(tmp_path), "c.txt")
    convert(lines, tmp_path / "d.rec")
    convert(records, tmp_path / "e.txt")
    for data in (
        records,
        IdentityFolder(str(tmp_path / "b")),
        lines,
        RecordIdentities(str(tmp_path / "d.rec")),
        open_identities(tmp_path / "e.txt"),
    ):
        assert contents(data) == want and data.facts() == {"class_num": 12}
    assert (tmp_path / "a.rec").read_bytes() == (tmp_path / "d.rec").read_bytes()
    assert [path.name for path in sorted((tmp_path / "b").iterdir())] == [f"{label:02d}" for label in range(12)]


@pytest.mark.parametrize("place", ["l.txt", "deep/down/l.txt", "faces/l.txt"])
def test_a_list_is_read_back_as_it_is(faces, tmp_path, monkeypatch, place):
    folder = IdentityFolder(str(faces))
    convert(folder, tmp_path / "a.rec")
    monkeypatch.chdir(tmp_path)
    for source, out in ((folder, Path(place)), (open_identities(Path("a.rec")), Path("of_records") / place)):
        convert(source, out)
        again = open_identities(out)
        assert contents(again) == contents(folder)
        convert(again, Path("elsewhere") / out)  # a list of a list
        assert contents(open_identities(Path("elsewhere") / out)) == contents(folder)
    first = {"l.txt": "faces/", "deep/down/l.txt": "../../faces/", "faces/l.txt": ""}[place]
    assert Path(place).read_text().splitlines()[0] == f"{first}person 00/0.jpg 0"
    assert (Path("of_records") / place).read_text().splitlines()[0] == "l/00/0000000.jpg 0"


def test_a_list_of_absolute_paths_keeps_them(faces, tmp_path):
    (tmp_path / "in.txt").write_text(f"{faces}/person 00/0.jpg 0\n")
    convert(open_identities(tmp_path / "in.txt"), tmp_path / "deep" / "out.txt")
    assert (tmp_path / "deep" / "out.txt").read_text() == f"{faces}/person 00/0.jpg 0\n"


def test_a_list_in_any_order_becomes_records_identity_by_identity(faces, tmp_path):
    folder = IdentityFolder(str(faces))
    order = np.random.default_rng(0).permutation(len(folder))
    (faces / "list.txt").write_text("".join(f"{folder.files[i]} {folder.labels[i]}\n" for i in order))
    convert(open_identities(faces / "list.txt"), tmp_path / "x.rec")
    assert sorted(contents(open_identities(tmp_path / "x.rec"))) == sorted(contents(folder))


@pytest.mark.parametrize("names", [["1", "7", "10"], ["Ann Li", "bo", "cy"]])
def test_conversions_keep_the_labels_of_a_list(faces, tmp_path, names):
    folder = IdentityFolder(str(faces))
    (faces / "list.txt").write_text("".join(f"{folder.files[i]}\t{names[i % 3]}\n" for i in range(9)))
    data = open_identities(faces / "list.txt")
    for out in ("again.txt", "people", "a.rec"):
        convert(data, tmp_path / out)
        assert sorted(contents(open_identities(tmp_path / out))) == sorted(contents(data))
    assert data.class_names == open_identities(tmp_path / "again.txt").class_names == names
    assert open_identities(tmp_path / "people").class_names == (names if names[0] != "1" else ["01", "07", "10"])


def test_the_tool_leaves_out_and_names_what_is_broken(faces, tmp_path, run_tool):
    (faces / "person 03" / "0.jpg").write_bytes(b"no picture")
    done = run_tool(CONVERT, faces, "--out", tmp_path / "out.rec")
    assert (done.returncode, done.stdout) == (3, f"{tmp_path}/out.rec: 80 pictures of 12 identities, 1 broken\n")
    assert f"broken: {faces}/person 03/0.jpg: not a picture" in done.stderr
    again = run_tool(CONVERT, faces, "--out", tmp_path / "out.rec")
    assert (again.returncode, again.stderr) == (3, f"error: {tmp_path}/out.rec: exists already; expected the name of a new file\n")


def test_names_in_any_encoding_and_locale(foreign_names, tmp_path, run_tool, locale):
    source = IdentityFolder(str(foreign_names))
    done = run_tool(CONVERT, foreign_names, "--out", tmp_path / "l.txt", **locale)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/l.txt: 10 pictures of 2 identities, 0 broken\n"), done.stderr
    lines = [os.fsencode(f"faces/{file} {label}\n") for file, label in zip(source.files, source.labels, strict=True)]
    assert sorted((tmp_path / "l.txt").read_bytes().splitlines(keepends=True)) == sorted(lines)
    for out, told in (("x.rec", "broken: "), ("people", "broken: ")):
        done = run_tool(CONVERT, tmp_path / "l.txt", "--out", tmp_path / out, **locale)
        assert done.returncode == 3 and "Traceback" not in done.stderr
        assert f"{told}{tmp_path}/faces/\\udcc4\\udce3 " in done.stderr
        assert sorted(contents(open_identities(tmp_path / out))) == sorted(
            (code, label) for code, label in contents(source) if code != b"words"
        )
    done = run_tool(INFO, tmp_path / "l.txt", "--json", tmp_path / "i.json", "--plot", tmp_path / f"{GBK}.png", **locale)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert [os.fsencode(name)[-6:] for name in json.loads((tmp_path / "i.json").read_text())["broken"]] == [b"/7.png"]


def test_a_list_that_cannot_be_written_leaves_nothing_behind(faces, tmp_path, monkeypatch):
    (faces / "person 01" / "0.jpg").rename(faces / "person 01" / "a\u2028b.jpg")
    with pytest.raises(DataError) as refusal:
        convert(open_identities(faces), tmp_path / "l.txt")
    told = "a list cannot hold a name with a line break in it: rename the file, or convert to a .rec"
    assert str(refusal.value) == f"{str(faces / 'person 01')!r}: {told}".replace("person 01'", "person 01/a\\u2028b.jpg'")
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]
    (faces / "person 01" / "a\u2028b.jpg").unlink()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    for out in ("l.txt", "x.rec", "people"):
        with pytest.raises(DataError, match="No space left on device"):
            convert(open_identities(faces), tmp_path / out)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and faces not in path.parents] == []


@pytest.mark.parametrize("kind", ["GIF", "PPM", "TIFF", "WEBP"])
def test_records_become_files_with_the_ending_of_their_format(tmp_path, kind):
    (tmp_path / "faces" / "p").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "faces" / "p" / "a.bmp", kind)
    convert(open_identities(tmp_path / "faces"), tmp_path / "x.rec")
    convert(open_identities(tmp_path / "x.rec"), tmp_path / "out")
    ending = {"GIF": "gif", "PPM": "ppm", "TIFF": "tif", "WEBP": "webp"}[kind]
    assert [path.name for path in (tmp_path / "out" / "0").iterdir()] == [f"0000000.{ending}"]


def test_an_identity_that_loses_all_its_pictures_ends_the_conversion(faces, tmp_path):
    for path in (faces / "person 00").iterdir():
        path.write_bytes(b"")
    for name in ("out.rec", "out"):
        with pytest.raises(DataError) as refusal:
            convert(open_identities(faces), tmp_path / name)
        reason = f"no picture of identity 0 can be read; the last: {faces}/person 00/2.jpg: empty, expected a picture"
        assert str(refusal.value) == reason
    assert not list(tmp_path.glob("*.rec*")) and not list(tmp_path.glob(".*"))


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(DataError) as refusal:
        open_identities(tmp_path / "no")
    assert str(refusal.value) == f"{tmp_path}/no: expected a folder of people, a list of pictures, or a .rec: no such file or folder"


def test_the_report_counts_everything(faces):
    found = report(open_identities(faces), sample=0)
    assert found.counts.tolist() == [3, 4, 5, 6, 7, *[8] * 7] and found.looked_at == 81 and found.sizes == {(32, 32): 81}
    edges, bars = found.histogram()
    assert (edges, bars) == ([1, 2, 4, 8, 16], [0, 1, 4, 7])
    assert report(open_identities(faces), sample=10).looked_at == 10


def test_the_tool_prints_and_saves_what_it_found(faces, tmp_path, run_tool):
    Image.new("RGB", (20, 40)).save(faces / "person 03" / "0.jpg")
    (faces / "person 04" / "0.jpg").write_bytes(b"no picture")
    done = run_tool(INFO, faces, "--json", tmp_path / "i.json", "--plot", tmp_path / "i.png")
    assert done.returncode == 3
    told = done.stdout
    assert told.startswith("identities         12\nimages             81\n\nimages per identity: min 3, median 8, mean 6.8, max 8\n")
    assert "        4..7          4  #############\n" in told and "       20x40          1\n" in told
    assert f"broken: 1\n  {faces}/person 04/0.jpg: not a picture" in told
    numbers = json.loads((tmp_path / "i.json").read_text())
    assert (numbers["identities"], numbers["images"]) == (12, 81)
    assert numbers["image_sizes"] == [{"size": [32, 32], "images": 79}, {"size": [40, 20], "images": 1}]
    with Image.open(tmp_path / "i.png") as plot:
        assert plot.size == (1200, 480)


@pytest.mark.parametrize("given", [["--plot", "p.xyz"], ["--plot", "p"], ["--sample", -3]])
def test_what_the_options_cannot_mean_is_reported_before_anything_is_read(tmp_path, run_tool, given):
    done = run_tool(INFO, tmp_path / "gone", *given)
    told = "data_info.py: error: expected --plot FILE.png and a --sample of at least 0"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, told)


def test_the_data_of_a_config(tmp_path, run_tool):
    config = tmp_path / "c.yml"
    config.write_text("train: {dataset: {name: SyntheticIdentities, identities: 3, images: 2}, transforms: [], batch_size: 2}\n")
    done = run_tool(INFO, "-c", config)
    assert done.returncode == 0 and "     112x112          6  ####" in done.stdout
    done = run_tool(INFO, "-c", config, "-o", "train.dataset={name: SyntheticFaces, length: 3}")
    message = f"error: {config}: train.dataset: expected a data set of identities, received SyntheticFaces, which has no labels\n"
    assert (done.returncode, done.stderr) == (3, message)


def test_real_people_as_records(shared_data, tmp_path):
    source = open_identities(shared_data / "orl" / "images")
    convert(source, tmp_path / "orl.rec")
    assert contents(open_identities(tmp_path / "orl.rec")) == contents(source)


def wrong_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    return ["empty"], "IdentityFolder: no folder in {0}/empty: expected root/person/pictures, one folder per person"


def wrong_person(tmp_path):
    (tmp_path / "faces" / "person 99").mkdir()
    return ["faces"], "IdentityFolder: no picture in {0}/faces/person 99: remove the folder, or add pictures"


def wrong_list(tmp_path):
    (tmp_path / "list.txt").write_text("faces/person 00/0.jpg 0\nb.jpg -2\n")
    return ["list.txt"], "{0}/list.txt:2: expected a label that is a whole number of at least 0, or a word, received -2"


def wrong_record(tmp_path):
    convert(open_identities(tmp_path / "faces"), tmp_path / "x.rec")
    (tmp_path / "x.rec").write_bytes((tmp_path / "x.rec").read_bytes()[:-1])
    return ["x.rec"], "{0}/x.rec: record 93: the file ends within this record: it is truncated"


def wrong_index(tmp_path):
    convert(open_identities(tmp_path / "faces"), tmp_path / "x.rec")
    (tmp_path / "x.idx").write_text("0\t0\n1\t900000000\n")
    size = (tmp_path / "x.rec").stat().st_size
    reason = f"expected multiples of 4 that lie in the {size} bytes of x.rec, received 900000000 on line 2"
    return ["x.rec"], "{0}/x.idx: " + reason + ": the .rec is truncated, or this index belongs to another file"


def wrong_label(tmp_path):
    (tmp_path / "list.txt").write_text("faces/person 00/0.jpg 0\nb.jpg 2\n")
    data = f"{{name: IdentityList, root: {tmp_path}, list_file: list.txt, class_num: 3}}"
    (tmp_path / "c.yml").write_text(f"train: {{dataset: {data}, transforms: [], batch_size: 2}}\n")
    return ["-c", "c.yml"], "{0}/list.txt: expected class_num=3 identities, received 2, with the labels 0, 2"


@pytest.mark.parametrize("case", [wrong_folder, wrong_person, wrong_list, wrong_record, wrong_index, wrong_label])
def test_wrong_data_is_one_line_and_exit_code_3(case, faces, tmp_path, run_tool):
    arguments, message = case(tmp_path)
    done = run_tool(INFO, *arguments[:-1], tmp_path / arguments[-1])
    assert (done.returncode, done.stdout, done.stderr) == (3, "", f"error: {message.format(tmp_path)}\n")
