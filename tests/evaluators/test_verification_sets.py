"""Verification as a component: several sets in one run, each picture once, mirror images, sizes, and what it writes."""

import io
import json
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppface.core.config.spec import load_config, resolve
from ppface.core.config.yaml_tree import parse
from ppface.core.errors import ConfigError, DataError
from ppface.data import SyntheticIdentities
from ppface.evaluators import Verification
from ppface.evaluators.error_reject import error_reject
from ppface.evaluators.verification import evaluate
from ppface.ops.resize import TestSize


class Pixels:
    """A model whose embedding is the picture itself, made small; remembers what it was shown."""

    def __init__(self, size=(16, 16)):
        self.test_size, self.batches, self.seen = TestSize("stretch", size), [], []

    def __call__(self, batch):
        image = batch["image"]
        assert image.dtype == np.uint8 and image.flags.c_contiguous
        self.batches.append(len(image))
        self.seen += [pixels.tobytes() for pixels in image]
        rows = image[:, :, ::4, ::2].reshape(len(image), -1).astype("float32") - 128
        return {"embedding": rows, "norm": np.linalg.norm(rows, axis=1, keepdims=True)}


@pytest.fixture
def faces(tmp_path):
    """Twelve people with three pictures each; a list with 40 pairs, and the same pairs as .bin; (first, second, issame) of them."""
    rng = np.random.default_rng(0)
    files, people = [], []
    for person in range(12):
        base = rng.integers(40, 216, (16, 16, 3))
        for k in range(3):
            files.append(tmp_path / "images" / f"p{person}" / f"{k}.png")
            files[-1].parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((base + rng.integers(-40, 40, base.shape)).astype("uint8")).save(files[-1])
            people.append(person)
    first, second = rng.integers(0, 36, 40), rng.integers(0, 36, 40)
    first[::2] = second[::2] // 3 * 3 + (second[::2] + 1) % 3  # every other pair shows one person
    issame = np.array(people)[first] == np.array(people)[second]
    names = [str(file.relative_to(tmp_path / "images")) for file in files]
    lines = [f"{names[a]} {names[b]} {int(same)}" for a, b, same in zip(first, second, issame, strict=True)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    data = [files[i].read_bytes() for pair in zip(first, second, strict=True) for i in pair]
    (tmp_path / "pairs.bin").write_bytes(pickle.dumps((data, issame.tolist())))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    return tmp_path, pixels, first, second, issame


def built(folder, more: str = "", sets: str = "") -> Verification:
    text = f"""
evaluators:
- name: Verification
  sets:
    list: {{name: PairList, pairs: {folder}/pairs.txt, images: {folder}/images, folds: 5}}
    {sets or f"bin: {{name: BinPairs, path: {folder}/pairs.bin, folds: 5}}"}
  {more}
"""
    return resolve(parse(text, "v.yml"))["evaluators"][0]()


@pytest.mark.parametrize("flip", [True, False])
def test_the_sets_of_one_config_give_what_their_arrays_give(faces, flip):
    folder, pixels, first, second, issame = faces
    values = dict(built(folder, f"flip: {str(flip).lower()}\n  batch_size: 7")(Pixels()))
    plain = Pixels()
    embeddings = plain({"image": np.ascontiguousarray(pixels)})["embedding"]
    if flip:
        embeddings = embeddings + plain({"image": np.ascontiguousarray(pixels[..., ::-1])})["embedding"]
    want = evaluate(embeddings[first], embeddings[second], issame, 5)
    low, high = want.pop("accuracy_ci95")
    want |= {"accuracy_ci95_low": low, "accuracy_ci95_high": high}
    assert values == {f"{name}/{key}": value for name in ("list", "bin") for key, value in want.items()}
    assert next(iter(values)) == "list/accuracy"
    assert 0.6 < values["list/accuracy"] <= 1


def test_it_says_which_values_it_yields(faces):
    one = built(faces[0])
    assert sorted(one.values()) == sorted(name for name, _ in one(Pixels()))


def test_every_picture_is_shown_once_and_the_last_batch_counts(faces):
    folder, _, first, second, _ = faces
    model = Pixels()
    dict(built(folder, "flip: false\n  batch_size: 10")(model))
    count = len(np.unique([first, second]))
    assert len(model.seen) == 2 * count == 2 * len(set(model.seen))
    rest = count % 10
    assert rest > 0 and model.batches == 2 * ([10] * (count // 10) + [rest])


class Rated(Pixels):
    def __call__(self, batch):
        found = super().__call__(batch)
        return found | {"quality": -found["norm"][:, 0]}


@pytest.mark.parametrize(("model", "sign"), [(Pixels, 1), (Rated, -1)])
def test_error_versus_reject_curves_on_request(faces, model, sign):
    folder, pixels, first, second, issame = faces
    plain = dict(built(folder, "flip: false")(model()))
    values = dict(built(folder, f"flip: false\n  save_dir: {folder}/out\n  reject_fmr: 0.1")(model()))
    assert values == plain
    numbers = json.loads((folder / "out" / "verification.json").read_text())
    x = Pixels()({"image": np.ascontiguousarray(pixels)})
    unit = x["embedding"] / x["norm"]
    quality = sign * x["norm"][:, 0]  # the model's, else the norm
    want = error_reject(((unit[first] - unit[second]) ** 2).sum(1), issame, quality[first], quality[second], 0.1)
    for name in ("list", "bin"):
        found = numbers[name]["reject"]
        assert sorted(found) == ["fmr", "fnmr", "rejected", "threshold"]
        np.testing.assert_allclose(found["rejected"], want.rejected, atol=1e-12)
        np.testing.assert_allclose(found["fnmr"], want.fnmr, atol=1e-12)
    assert np.asarray(Image.open(folder / "out" / "reject.png")).std() > 5


def test_a_curve_that_cannot_be_made_is_refused_before_anything_else(faces):
    with pytest.raises((ValueError, ConfigError)) as caught:
        built(faces[0], "reject_fmr: 0.1")
    told = "Verification: expected save_dir, the folder for error-versus-reject curves, with reject_fmr, received none"
    assert told in str(caught.value)
    with pytest.raises((DataError, ConfigError)) as caught:
        built(faces[0], f"reject_fmr: 0.001\n  save_dir: {faces[0]}/out")
    different = int((~faces[4]).sum())
    assert f"list: expected at least 1,000 pairs of different people for an FMR of 0.001, received {different}" in str(caught.value)


def test_it_writes_numbers_and_pictures(faces):
    folder, _, _, _, issame = faces
    values = dict(built(folder, f"save_dir: {folder}/out/deep")(Pixels()))
    out = folder / "out" / "deep"
    assert sorted(file.name for file in out.iterdir()) == ["bin_scores.png", "list_scores.png", "roc.png", "verification.json"]
    assert all(np.asarray(Image.open(file)).std() > 5 for file in out.glob("*.png"))
    numbers = json.loads((out / "verification.json").read_text())
    assert numbers["list"]["accuracy"] == values["list/accuracy"]
    assert numbers["list"]["accuracy_ci95"] == [values["list/accuracy_ci95_low"], values["list/accuracy_ci95_high"]]
    assert (numbers["list"]["pairs"], numbers["list"]["same"]) == (40, issame.sum())
    assert np.mean(numbers["list"]["fold_accuracy"]) == pytest.approx(values["list/accuracy"])
    assert len(numbers["list"]["fold_threshold"]) == 5


def test_a_picture_of_another_size_is_named_unless_a_resize_is_asked_for(faces):
    folder = faces[0]
    with pytest.raises(DataError) as error:
        dict(built(folder)(Pixels((20, 24))))
    told = "expected an aligned face of 24x20 pixels, received 16x16: align it with ppface align, or enable `resize`"
    assert str(error.value).startswith(f"{folder}/images/p") and str(error.value).endswith(told)
    assert "list/accuracy" in dict(built(folder, "resize: true")(Pixels((20, 24))))


def test_a_model_without_embeddings_and_one_that_diverged_are_named(faces):
    folder = faces[0]
    with pytest.raises(DataError, match=r"^expected a model with the output 'embedding', received one with boxes, scores$"):
        dict(built(folder)(lambda batch: {"scores": 0, "boxes": 0}))
    with pytest.raises(DataError, match=r"^list: embeddings1: row 0 holds a number that is not finite"):
        dict(built(folder)(lambda batch: {"embedding": np.full((len(batch["image"]), 4), np.nan)}))


def test_one_class_alone_in_a_fold_is_reported_with_its_set_before_anything_is_embedded(faces):
    folder = faces[0]
    lines = (folder / "pairs.txt").read_text().splitlines()
    (folder / "pairs.txt").write_text("\n".join(sorted(lines, key=lambda line: line[-1])))
    with pytest.raises(
        DataError, match=r"^list: fold 1 of 5 \(pairs 1 to 8\) holds only different pairs; expected both kinds in every fold"
    ):
        built(folder)


def test_more_folds_than_pairs_are_reported_before_anything_is_embedded(faces):
    folder = faces[0]
    with pytest.raises(DataError) as error:
        built(folder, sets=f"bin: {{name: BinPairs, path: {folder}/pairs.bin, folds: 41}}")
    assert str(error.value) == "bin: folds: expected 2 to 40, the number of pairs, received 41"


def test_a_broken_picture_ends_the_evaluation(faces):
    folder = faces[0]
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    (folder / "images" / "p3" / "1.png").write_bytes(buffer.getvalue()[:-30])
    with pytest.raises(DataError, match=rf"^{folder}/images/p3/1.png: "):
        dict(built(folder)(Pixels()))


@pytest.mark.parametrize(
    ("more", "sets", "message"),
    [
        ("batch_size: 0", "", "v.yml:3: evaluators.0: Verification: expected batch_size of at least 1, received 0"),
        (
            "",
            "a/b: {name: BinPairs, path: FOLDER/pairs.bin}",
            "v.yml:3: evaluators.0: Verification: expected at least one set, names of letters, digits and . + - _; received ['a/b']",
        ),
        ("", "b: {name: BinPair, path: x}", "v.yml:6: evaluators.0.sets.b.name: there is no pairs 'BinPair'. Did you mean 'BinPairs'?"),
        ("flip: 3", "", "v.yml:7: evaluators.0.flip: expected true or false, received 3"),
    ],
)
def test_mistakes_in_the_config_are_named_with_their_line(faces, more, sets, message):
    with pytest.raises(ConfigError) as error:
        built(faces[0], more, sets.replace("FOLDER", str(faces[0])))
    assert str(error.value) == message


def test_an_export_is_judged_by_tools_eval(toy_export, toy_embedder, run_tool, tmp_path):
    import shutil

    folder = tmp_path / "export"
    shutil.copytree(toy_export, folder)
    people = "{name: SyntheticIdentities, identities: 4, images: 3, size: [32, 32]}"
    (folder / "config.yml").write_text(f"""
evaluators:
- name: Verification
  resize: true
  sets: {{drawn: {{name: DrawnPairs, dataset: {people}, count: 20, folds: 2}}}}
""")
    done = run_tool("tools/eval.py", folder)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "evaluation.json").read_text())["metrics"]
    live = dict(load_config(folder / "config.yml")["evaluators"][0]()(toy_embedder.predictor()))
    assert metrics == pytest.approx(live, abs=1e-3)
    assert done.stdout.splitlines()[0] == f"drawn/accuracy            {metrics['drawn/accuracy']:.4f}"


def test_lfw_of_raw_pixels_is_what_literal_loops_say(shared_data):
    """All 6,000 pairs, each picture a row of 147 numbers."""
    reference = runpy.run_path(str(Path(__file__).with_name("test_verification.py")))["reference"]
    lfw = shared_data / "lfw"
    text = f"evaluators: [{{name: Verification, flip: false, sets: {{lfw: {{name: LfwPairs, pairs: {lfw}/pairs.txt, images: {lfw}/images}}}}}}]"
    evaluator = resolve(parse(text, "v.yml"))["evaluators"][0]()

    class Small:
        test_size = TestSize("stretch", (112, 112))

        def __call__(self, batch):
            rows = batch["image"][:, :, 8::16, 8::16].astype("float32").reshape(len(batch["image"]), -1)
            return {"embedding": rows - rows.mean(axis=1, keepdims=True)}

    values = dict(evaluator(Small()))
    pairs = evaluator.sets["lfw"]
    embeddings = evaluator._described(Small(), pairs)["embedding"]
    want = reference(embeddings[pairs.first], embeddings[pairs.second], pairs.issame, 10)
    assert {name: values[f"lfw/{name}"] for name in want} == pytest.approx(want, abs=1e-9)


def test_its_data_is_looked_at_before_training(faces):
    folder, *_ = faces
    people = f"{{name: IdentityFolder, root: {folder}/images, size: [16, 16]}}"
    sets = f"drawn: {{name: DrawnPairs, count: 200, folds: 5, dataset: {people}}}"
    evaluator, model = built(folder, sets=sets), Pixels()
    evaluator.check(model)
    assert model.batches == [1, 1]  # an empty picture for each set, to know that the model embeds
    with pytest.raises(DataError, match="expected a model with the output 'embedding', received one with boxes, scores"):
        evaluator.check(lambda batch: {"boxes": 0, "scores": 0})
    Image.new("RGB", (20, 18)).save(folder / "images" / "p3" / "1.png")
    (folder / "images" / "p5" / "2.png").write_bytes(b"words")
    one, other = f"{folder}/images/p3/1.png: ", f"{folder}/images/p5/2.png: not a picture, or a damaged header"
    with pytest.raises(DataError) as caught:
        evaluator.check(model)
    first, second = sorted(str(caught.value).removeprefix("list: ").splitlines())
    assert first == f"{one}expected an aligned face of 16x16 pixels, received 20x18: align it with ppface align, or enable `resize`"
    assert second.startswith(other)
    del evaluator.sets["list"]
    with pytest.raises(DataError, match=r"^drawn: ") as caught:
        evaluator.check(model)
    assert "p3/1.png: expected 16x16 pixels, received 20x18" in str(caught.value) and other in str(caught.value)


def test_pairs_of_other_sizes_are_found_before_training_unless_they_are_stretched(faces):
    folder, *_ = faces
    with pytest.raises(
        DataError, match=r"^list: .*: expected an aligned face of 24x24 pixels, received 16x16: .*\n(.*\n){9}\.\.\. and \d+ more$"
    ):
        built(folder).check(Pixels((24, 24)))
    built(folder, "resize: true").check(Pixels((24, 24)))


def test_of_synthetic_pairs_one_picture_is_drawn_before_training(monkeypatch):
    drawn = []
    pairs = "{name: DrawnPairs, count: 8, folds: 2, dataset: {name: SyntheticIdentities, identities: 4, images: 3, size: [32, 32]}}"
    evaluator = resolve(parse(f"evaluators: [{{name: Verification, sets: {{new: {pairs}}}}}]", "v.yml"))["evaluators"][0]()
    read = SyntheticIdentities.read
    monkeypatch.setattr(SyntheticIdentities, "read", lambda self, index: drawn.append(index) or read(self, index))
    evaluator.check(Pixels((32, 32)))
    assert len(drawn) == 1
    with pytest.raises(DataError, match=r"new: synthetic-0-\d-\d: expected an aligned face of 48x48 pixels, received 32x32: "):
        evaluator.check(Pixels((48, 48)))
