"""Sets of pairs: what each layout means, and the one line that each mistake in it gets."""

import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data.pairs import BinPairs, CfpPairs, DrawnPairs, LfwPairs, PairList
from ppface.data.pictures.picture import Picture
from ppface.evaluators.folds import cut

LFW = "2\t1\nAnn\t1\t2\nAnn\t1\tBob_Lee\t3\nBob_Lee\t3\t4\nBob_Lee\t4\tAnn\t2\n"


def encoded(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def images(tmp_path):
    """Pictures of Ann and Bob in the folders of LFW, every one of another grey."""
    for i, (name, number) in enumerate([("Ann", 1), ("Ann", 2), ("Bob_Lee", 3), ("Bob_Lee", 4)]):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}_{number:04d}.png").write_bytes(encoded(10 * i))
    return tmp_path / "images"


def listed(tmp_path, text: str):
    (tmp_path / "pairs.txt").write_text(text)
    return str(tmp_path / "pairs.txt")


def greys(pairs) -> list[tuple[int, int, bool]]:
    """Every pair by the greys of its pictures."""
    grey = [int(pairs.picture(i).decode()[0, 0, 0]) for i in range(len(pairs))]
    return [(grey[a], grey[b], bool(same)) for a, b, same in zip(pairs.first, pairs.second, pairs.issame, strict=True)]


def refused(make, *arguments, **named) -> str:
    with pytest.raises(DataError) as error:
        make(*arguments, **named)
    return str(error.value)


def test_lfw_pairs(tmp_path, images):
    pairs = LfwPairs(listed(tmp_path, LFW), str(images), ".png")
    assert greys(pairs) == [(0, 10, True), (0, 20, False), (20, 30, True), (30, 10, False)]
    assert (len(pairs), pairs.folds) == (4, 2)
    assert LfwPairs(listed(tmp_path, LFW.replace("\t", " ")), str(images), ".png").folds == 2


def test_lfw_pairs_without_folds_are_cut_into_ten_that_hold_both_classes(tmp_path, images):
    """pairsDevTest.txt and pairsDevTrain.txt: one number, all same pairs, all different ones. Here 20 of each, told apart by their order."""
    same = [f"Ann\t{1 + i % 2}\t{2 - i % 2}" for i in range(20)]
    different = [f"Ann\t{1 + i % 2}\tBob_Lee\t{3 + i // 2 % 2}" for i in range(20)]
    pairs = LfwPairs(listed(tmp_path, "\n".join(["20", *same, *different])), str(images), ".png")
    assert pairs.folds == 10 and cut(pairs.issame, 10)[1].tolist() == [[2, 2]] * 10
    grey = {1: 0, 2: 10, 3: 20, 4: 30}
    want = (
        [(grey[1 + i % 2], grey[2 - i % 2], True) for i in range(20)],
        [(grey[1 + i % 2], grey[3 + i // 2 % 2], False) for i in range(20)],
    )
    fold = cut(pairs.issame, 10)[0]
    for k in range(10):
        here = [pair for pair, at in zip(greys(pairs), fold, strict=True) if at == k]
        assert [pair for pair in here if pair[2]] == want[0][2 * k : 2 * k + 2]
        assert [pair for pair in here if not pair[2]] == want[1][2 * k : 2 * k + 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "PAIRS:1: expected 'folds pairs' as in LFW's pairs.txt (10 300), received ''"),
        ("Ann 1 2\n", "PAIRS:1: expected 'folds pairs' as in LFW's pairs.txt (10 300), received 'Ann 1 2'"),
        (LFW.replace("Ann\t1\t2", "Ann\t1"), "PAIRS:2: expected 'name number number' or 'name number name number', received 'Ann\\t1'"),
        (LFW.replace("3\t4", "3\tx"), "PAIRS:4: expected 'name number number' or 'name number name number', received 'Bob_Lee\\t3\\tx'"),
        (LFW.replace("2\t1", "10\t300"), "PAIRS: expected 6000 pairs according to its first line, received 4"),
        ("1 1\n", "PAIRS: expected at least one pair, found none"),
        ("1\nAnn\t1\t2\nAnn\t1\t2\n", "PAIRS: expected as many pairs of one person as of two, received 2 and 0"),
        (
            LFW.replace("3\t4", "3\t5"),
            "PAIRS:4: no such picture file IMAGES/Bob_Lee/Bob_Lee_0005.png; 1 of 5 pictures of the pairs are missing",
        ),
    ],
)
def test_mistakes_in_lfw_pairs_are_named_with_their_line(tmp_path, images, text, message):
    told = refused(LfwPairs, listed(tmp_path, text), str(images), ".png")
    assert told == message.replace("PAIRS", str(tmp_path / "pairs.txt")).replace("IMAGES", str(images))


def test_missing_lists_and_folders_are_named(tmp_path, images):
    path = listed(tmp_path, LFW)
    assert refused(LfwPairs, "gone.txt", str(images)) == "gone.txt: cannot read this list of pairs: No such file or directory"
    assert refused(LfwPairs, path, "gone") == "gone: no such folder; expected the pictures of the pairs"
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00")
    assert (
        refused(PairList, path, str(images))
        == f"{path}: expected a list of pairs in UTF-8 text: it contains zero bytes, as UTF-16 and binary files do: save it as UTF-8"
    )


@pytest.mark.parametrize("form", ["{0} {1} {2}", "{2} {0} {1}", "{0}\t{1}\t{2}", "{2}\t{0}\t{1}"])
def test_plain_lists(tmp_path, images, form):
    names = ["Ann/Ann_0001.png", "Ann/Ann_0002.png", "Bob_Lee/Bob_Lee_0003.png"]
    if "\t" in form:
        (images / names[1]).rename(images / "a b.png")
        names[1] = "a b.png"
    lines = [form.format(names[0], names[1], 1), "", form.format(names[2], names[0], 0)]
    pairs = PairList(listed(tmp_path, "\n".join(lines)), str(images), folds=2)
    assert greys(pairs) == [(0, 10, True), (20, 0, False)]
    assert (len(pairs), pairs.folds) == (3, 2)


def test_mistakes_in_plain_lists_are_named_with_their_line(tmp_path, images):
    path = listed(tmp_path, "Ann/Ann_0001.png Ann/Ann_0002.png 1\nAnn/Ann_0001.png Ann/Ann_0002.png 2\n")
    told = "expected 'a.jpg b.jpg 1' or '1 a.jpg b.jpg' (0: different people), received 'Ann/Ann_0001.png Ann/Ann_0002.png 2'"
    assert refused(PairList, path, str(images)) == f"{path}:2: {told}"
    path = listed(tmp_path, "\nAnn/Ann_0001.png gone.png 1\n")
    assert (
        refused(PairList, path, str(images))
        == f"{path}:2: no such picture file {images}/gone.png; 1 of 2 pictures of the pairs are missing"
    )
    with pytest.raises(ValueError, match="PairList: expected at least two folds, received 1"):
        PairList(path, str(images), folds=1)


@pytest.fixture
def cfp(tmp_path):
    """Three people, two splits: frontal pictures are darker than profiles."""
    for person in (1, 2):
        for i, kind in enumerate(("frontal", "profile")):
            folder = tmp_path / "images" / f"00{person}" / kind
            folder.mkdir(parents=True)
            for k in (1, 2):
                (folder / f"0{k}.jpg").write_bytes(encoded(100 * i + 10 * person + k))
    lists = [(person, k) for person in (1, 2) for k in (1, 2)]
    for letter, kind in (("F", "frontal"), ("P", "profile")):
        text = "".join(f"{i} ../Data/Images/00{person}/{kind}/0{k}.jpg\n" for i, (person, k) in enumerate(lists, 1))
        (tmp_path / f"Pair_list_{letter}.txt").write_text(text)
    for against in ("FP", "FF"):
        for split, (same, diff) in {"01": ("1,2\n", "2,3\n"), "02": ("3,4\n", "4,1")}.items():
            folder = tmp_path / "Split" / against / split
            folder.mkdir(parents=True)
            (folder / "same.txt").write_text(same)
            (folder / "diff.txt").write_text(diff)
    return tmp_path


def test_cfp_pairs(cfp):
    pairs = CfpPairs(str(cfp), str(cfp / "images"), "FP", [1, 2])
    assert greys(pairs) == [(11, 112, True), (12, 121, False), (21, 122, True), (22, 111, False)]
    assert (len(pairs), pairs.folds) == (8, 2)
    frontal = CfpPairs(str(cfp), str(cfp / "images"), "FF", [2, 1])
    assert greys(frontal) == [(21, 22, True), (22, 11, False), (11, 12, True), (12, 21, False)]


def test_mistakes_in_the_cfp_protocol_are_named(cfp):
    images = str(cfp / "images")
    split = cfp / "Split" / "FP" / "01"
    assert refused(CfpPairs, str(cfp), images) == f"{cfp}/Split/FP/03/same.txt: cannot read this list of pairs: No such file or directory"
    (split / "same.txt").write_text("1;2")
    assert refused(CfpPairs, str(cfp), images, splits=[1, 2]) == f"{split}/same.txt:1: expected 'number,number', received '1;2'"
    (split / "same.txt").write_text("1,2\n1,5")
    assert (
        refused(CfpPairs, str(cfp), images, splits=[1, 2])
        == f"{split}/same.txt:2: expected a picture number from the protocol's list of 4, received 5"
    )
    (split / "same.txt").write_text("1,2")
    (cfp / "images" / "001" / "profile" / "02.jpg").unlink()
    told = f"{split}/same.txt:1: no such picture file {images}/001/profile/02.jpg; 1 of 8 pictures of the pairs are missing"
    assert refused(CfpPairs, str(cfp), images, splits=[1, 2]) == told
    (cfp / "Pair_list_P.txt").write_text("1\n")
    assert refused(CfpPairs, str(cfp), images, splits=[1, 2]) == f"{cfp}/Pair_list_P.txt:1: expected 'number path', received '1'"
    for splits in ([1], [1, 1], [0, 1], [10, 11]):
        with pytest.raises(ValueError, match="CfpPairs: expected at least two different splits of 1 to 10, received"):
            CfpPairs(str(cfp), images, splits=splits)


def binary(tmp_path, pictures, flags):
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps((pictures, flags)))
    return str(tmp_path / "lfw.bin")


def test_bin_pairs_hold_equal_pictures_once(tmp_path):
    pictures = [encoded(grey) for grey in (1, 2, 2, 3, 1, 1)]
    pairs = BinPairs(binary(tmp_path, pictures, [True, False, True]), folds=2)
    assert greys(pairs) == [(1, 2, True), (2, 3, False), (1, 1, True)]
    assert (len(pairs), pairs.folds) == (3, 2)
    assert [pairs.picture(i).name.split(": ")[1] for i in range(3)] == ["picture 0", "picture 1", "picture 3"]


def test_mistakes_in_bin_pairs_are_named(tmp_path):
    one = encoded(1)
    path = binary(tmp_path, [one] * 3, [True])
    assert refused(BinPairs, path) == f"{path}: expected two pictures per pair, received an odd number, 3"
    assert refused(BinPairs, binary(tmp_path, [one] * 4, [True])) == f"{path}: expected two pictures for each of the 1 flags, received 4"
    assert refused(BinPairs, binary(tmp_path, [], [])) == f"{path}: expected two pictures for each of the 0 flags, received 0"
    broken = BinPairs(binary(tmp_path, [one, b"text"], [True]))
    assert refused(broken.picture, 1).startswith(f"{path}: picture 1: not a picture, or a damaged header")
    with pytest.raises(ValueError, match="BinPairs: expected at least two folds, received 0"):
        BinPairs(path, folds=0)


def test_a_hostile_bin_runs_nothing(tmp_path):
    class Command:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'witness'}",)

    path = binary(tmp_path, [Command()], [True])
    assert refused(BinPairs, path) == f"{path}: expected only bytes and bools, but the file refers to posix.system; it was not loaded"
    assert not (tmp_path / "witness").exists()


class People:
    """A data set of identities whose pictures are grey as their number."""

    def __init__(self, labels):
        self.labels = np.array(labels)

    def name(self, index):
        return f"picture {index}"

    def __getitem__(self, index):
        return {"picture": Picture.of(np.full((4, 4, 3), index, np.uint8)), "label": self.labels[index]}


def test_drawn_pairs_are_half_same_and_all_different_pictures():
    people = People([7, 2, 2, 7, 2, 0, 9, 9])  # 0 has one picture
    pairs = DrawnPairs(people, count=400, folds=4, seed=1)
    assert pairs.issame.sum() == 200 and pairs.folds == 4
    for one, two, same in greys(pairs):
        assert one != two
        assert (people.labels[one] == people.labels[two]) == same
    assert {pair[:2] for pair in greys(pairs) if pair[2]} == {
        (0, 3),
        (3, 0),
        (1, 2),
        (2, 1),
        (1, 4),
        (4, 1),
        (2, 4),
        (4, 2),
        (6, 7),
        (7, 6),
    }
    assert len(pairs) == 8 and pairs.picture(5).name == "picture 5"
    assert greys(DrawnPairs(people, count=400, folds=4, seed=1)) == greys(pairs) != greys(DrawnPairs(people, count=400, folds=4, seed=2))


def test_mistakes_in_drawn_pairs_are_named():
    told = "DrawnPairs: expected two people, one of them with two pictures; received "
    assert refused(DrawnPairs, People([0, 0, 0]), 20) == told + "1, 1 with two"
    assert refused(DrawnPairs, People([0, 1, 2]), 20) == told + "3, 0 with two"
    with pytest.raises(
        ValueError, match=r"DrawnPairs: expected folds of at least 2, two pairs per fold and .*, received folds=10, count=19, seed=0"
    ):
        DrawnPairs(People([0, 0, 1]), 19)
    with pytest.raises(ValueError, match="DrawnPairs: expected a data set of identities, received list, which has no labels"):
        DrawnPairs([], 20)


def test_the_real_protocols(shared_data):
    lfw = LfwPairs(str(shared_data / "lfw" / "pairs.txt"), str(shared_data / "lfw" / "images"))
    assert (len(lfw), len(lfw.issame), lfw.issame.sum(), lfw.folds) == (7701, 6000, 3000, 10)
    assert np.array_equal(lfw.issame, np.tile(np.repeat([True, False], 300), 10))
    cfp = CfpPairs(str(shared_data / "cfp" / "protocol"), str(shared_data / "cfp" / "aligned112"), splits=list(range(1, 9)))
    assert (len(cfp.issame), cfp.issame.sum(), cfp.folds) == (5600, 2800, 8)
    assert [cfp.files[i].parts[-3:] for i in (cfp.first[0], cfp.second[0])] == [("001", "frontal", "05.jpg"), ("001", "profile", "01.jpg")]
