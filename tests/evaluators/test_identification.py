"""Closed-set identification against loops, as a component over drawn people and over TinyFace's lists, and its mistakes."""

import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from ppface.core.errors import DataError
from ppface.data import IdentityFolder, Subset, SyntheticIdentities, TinyFace
from ppface.evaluators import Identification, embedding, identification
from ppface.evaluators.identification import evaluate
from tests.evaluators.test_template_verification import Rows

SIZE = (32, 32)


def reference(gallery, people, probes, subjects, distractors, rank):
    """Sorts all pictures for each probe and looks for a mate among the first."""
    hits = []
    for probe, subject in zip(probes, subjects, strict=True):
        length = np.sqrt(probe @ probe)
        scored = [(float(probe @ row / length / np.sqrt(row @ row)), who) for row, who in zip(gallery, people, strict=True)]
        scored += [(float(probe @ row / length / np.sqrt(row @ row)), None) for row in distractors]
        scored.sort(key=lambda one: -one[0])
        hits.append(any(who == subject for _, who in scored[:rank]))
    return np.mean(hits)


@pytest.mark.parametrize("noise", [0.5, 1.5])
def test_it_agrees_with_loops(rng, noise, monkeypatch):
    monkeypatch.setattr(identification, "ROWS", 16)
    centres = rng.normal(size=(40, 6))
    people = np.repeat(np.arange(40), 2)  # two mates each
    gallery = centres[people] + noise * rng.normal(size=(80, 6))
    subjects = rng.integers(0, 40, 50)  # four blocks of probes
    probes = 3 * (centres[subjects] + noise * rng.normal(size=(50, 6)))
    distractors = rng.normal(size=(100, 6))
    found = evaluate(gallery, people, probes, subjects, distractors)
    assert found == {f"rank{k}": reference(gallery, people, probes, subjects, distractors, k) for k in (1, 5, 20)}
    assert 0 < found["rank1"] < found["rank5"] < found["rank20"] <= 1
    without = evaluate(gallery, people, probes, subjects, ranks=[2])
    assert without == {"rank2": reference(gallery, people, probes, subjects, [], 2)} and without["rank2"] > found["rank1"]


def test_a_stranger_who_scores_as_high_counts_before_the_mate():
    x = np.eye(2)
    assert evaluate(x[[0, 0]], np.array([1, 2]), x[[0]], np.array([1]), ranks=[1, 2]) == {"rank1": 0, "rank2": 1}
    assert evaluate(x[[0, 0]], np.array([1, 1]), x[[0]], np.array([1]), ranks=[1]) == {"rank1": 1}  # two mates


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"probe_subjects": np.array([1, 7])}, "probes: expected people of the gallery, received 7"),
        ({"probe_subjects": np.array([1])}, "probes: expected embeddings (N, D) and as many subjects, received (2, 2) and (1,)"),
        ({"gallery": np.zeros((0, 2))}, "gallery: expected embeddings (N, D) and as many subjects, received (0, 2) and (2,)"),
        ({"probes": np.diag([1, np.nan])}, "probes: expected embeddings of finite numbers: the model has diverged or a file is damaged"),
    ],
)
def test_arrays_that_do_not_fit(changed, message):
    arrays = {"gallery": np.eye(2), "gallery_subjects": np.array([1, 2]), "probes": np.eye(2), "probe_subjects": np.array([2, 1])}
    with pytest.raises(DataError) as error:
        evaluate(**(arrays | changed))
    assert str(error.value) == message


@pytest.fixture(scope="module")
def people():
    return SyntheticIdentities(6, 4, SIZE, difficulty=0.3)


@pytest.fixture
def distractors(tmp_path):
    drawn = SyntheticIdentities(5, 1, SIZE, seed=1, difficulty=0.3)
    folder = tmp_path / "Gallery_Distractor"
    folder.mkdir()
    for i in range(5):
        Image.fromarray(drawn.read(i)[0].decode()).save(folder / f"{i}.png")
    return folder


def embeddings(pictures) -> np.ndarray:
    model, rows = Rows(), []
    for i in range(len(pictures)):
        pixels = pictures[i]["picture"].decode().transpose(2, 0, 1)[None]
        views = (pixels, np.ascontiguousarray(pixels[..., ::-1]))
        rows.append(sum(model({"image": view})["embedding"][0] for view in views))
    return np.array(rows)


def test_the_component_gives_what_its_arrays_give(people, distractors):
    gallery, probes = Subset(people, stop=24, every=4), Subset(people, stop=24, every=4, rest=True)
    evaluator = Identification(gallery, probes, str(distractors), ranks=[1, 3], batch_size=5)
    evaluator.check(Rows())
    values, strangers = dict(evaluator(Rows())), IdentityFolder(str(distractors.parent), SIZE)
    want = evaluate(embeddings(gallery), gallery.labels, embeddings(probes), probes.labels, embeddings(strangers), [1, 3])
    assert values == want and list(values) == evaluator.values()
    assert 0 < values["rank1"] <= values["rank3"] <= 1


def test_it_continues_from_its_cache(people, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "PART", 6)
    gallery, probes = Subset(people, stop=24, every=4), Subset(people, stop=24, every=4, rest=True)
    want = dict(Identification(gallery, probes)(Rows()))
    evaluator = Identification(gallery, probes, cache=str(tmp_path), batch_size=6)
    with pytest.raises(KeyboardInterrupt):
        dict(evaluator(Rows(after=30)))
    model = Rows()
    assert dict(evaluator(model)) == want and model.shown == 2 * (24 - 12)


def cells(words):
    column = np.empty((len(words), 1), object)
    column[:, 0] = words
    return column


@pytest.fixture
def tiny(people, distractors):
    """TinyFace's folder: the first picture of a person is its probe."""
    root = distractors.parent
    for kind, folder, chosen in (("gallery", "Gallery_Match", (1, 2, 3)), ("probe", "Probe", (0,))):
        (root / folder).mkdir()
        files = [f"{40 + person}_{k}.png" for person in range(6) for k in chosen]
        for file, index in zip(files, (4 * person + k for person in range(6) for k in chosen), strict=True):
            Image.fromarray(people.read(index)[0].decode()).save(root / folder / file)
        numbers = np.array([[int(file[:2])] for file in files])
        name = "gallery_match_img_ID_pairs" if kind == "gallery" else "probe_img_ID_pairs"
        savemat(root / f"{name}.mat", {f"{kind}_set": cells(files), f"{kind}_ids": numbers})
    return root


def test_the_lists_of_tiny_face(tiny, people):
    mates = TinyFace(f"{tiny}/gallery_match_img_ID_pairs.mat", f"{tiny}/Gallery_Match", SIZE)
    evaluator = Identification(mates, TinyFace(f"{tiny}/probe_img_ID_pairs.mat", f"{tiny}/Probe", SIZE), f"{tiny}/Gallery_Distractor")
    assert [len(pictures) for pictures in evaluator.sets] == [18, 6, 5] and evaluator.subjects[1].tolist() == [
        "40",
        "41",
        "42",
        "43",
        "44",
        "45",
    ]
    gallery, probes = Subset(people, stop=24, every=4, rest=True), Subset(people, stop=24, every=4)
    strangers = IdentityFolder(str(tiny), SIZE)
    where = [i for i in range(len(strangers)) if "Distractor" in strangers.name(i)]
    rows = embeddings(strangers)[where]
    assert dict(evaluator(Rows())) == evaluate(embeddings(gallery), gallery.labels, embeddings(probes), probes.labels, rows)


def test_lists_of_tiny_face_that_do_not_fit(tiny):
    file = tiny / "probe_img_ID_pairs.mat"

    def message() -> str:
        with pytest.raises(DataError) as error:
            TinyFace(str(file), str(tiny / "Probe"), SIZE)
        return str(error.value)

    savemat(file, {"probe_set": cells(["a.png", "b.png"]), "probe_ids": np.array([[1]])})
    assert message() == f"{file}: expected a number for each of 2 pictures, received 1"
    savemat(file, {"probe_set": np.zeros((2, 1)), "gallery_ids": np.array([[1]])})
    assert message() == f"{file}: expected a variable 'probe_ids'; take the file from TinyFace's Testing_Set"
    savemat(file, {"probe_set": cells(["a.png", np.array([1, 2])]), "probe_ids": np.array([[1], [2]])})
    assert message().startswith(f"{file}: expected a name in each cell of probe_set and numbers in probe_ids (")
    file.write_text("words")
    assert message().startswith(f"{file}: not a readable .mat file (")
    shutil.rmtree(tiny / "Probe")
    assert message() == f"TinyFace: expected a folder, but {tiny}/Probe does not exist: expected the pictures that {file} names"


def test_mistakes_are_named_before_anything_is_embedded(people, tmp_path, distractors):
    with pytest.raises(DataError) as error:
        Identification(Subset(people, stop=4), Subset(people, start=3, stop=6))
    lines = [f"synthetic-0-1-{k}: expected probes of people in the gallery, 'synthetic-0-1' is not" for k in (0, 1)]
    assert str(error.value).splitlines() == lines
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"^Identification: expected pictures of distractors in .*/empty, found none$"):
        Identification(people, people, str(tmp_path / "empty"))
    with pytest.raises(ValueError, match=r"^Identification: expected ranks and batch_size of at least 1, received \[0\] and 64$"):
        Identification(people, people, ranks=[0])
    with pytest.raises(ValueError, match=r"^Identification: expected gallery with labels, received list, which names no people$"):
        Identification([], people)
    Image.new("RGB", (16, 16)).save(distractors / "3.png")
    with pytest.raises(DataError, match=r"3.png: expected an aligned face of 32x32 pixels, received 16x16"):
        Identification(people, people, str(distractors)).check(Rows())
