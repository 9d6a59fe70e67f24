"""TemplateVerification: its values against loops over the files' content, restarts, stored embeddings, exports, and bad input."""

import csv
import json
import re
import shutil
from itertools import product

import cv2
import numpy as np
import pytest

from ppface.core.config.spec import load_config, resolve
from ppface.core.config.yaml_tree import parse
from ppface.core.errors import ConfigError, DataError, UserError
from ppface.core.files import parts
from ppface.engine.evaluation import no_model
from ppface.evaluators import TemplateVerification, embedding
from ppface.ops.align import similarity, template
from ppface.ops.resize import TestSize
from tests.evaluators.drawn_templates import SIZE, draw
from tests.evaluators.test_templates import reference_identify, reference_nearest, reference_roc, reference_templates

MODES = [f"N{n}D{d}F{f}" for n, d, f in product("10", "10", "20")]


class Rows:
    """A model whose embedding is every fourth pixel, squared so that mirroring is not linear; counts the pictures that it is shown.

    Args:
        after: pictures after which it stops, as a kill would.
        text: its identity.
    """

    def __init__(self, after: int = 10**9, text: str = "rows"):
        self.test_size, self.shown, self.after, self.text = TestSize("stretch", SIZE), 0, after, text

    def identity(self):
        return self.text

    def __call__(self, batch):
        self.shown += len(batch["image"])
        if self.shown > self.after:
            raise KeyboardInterrupt
        x = batch["image"][:, :, ::4, ::4].reshape(len(batch["image"]), -1).astype("float32") / 255
        x = (x - x.mean(axis=1, keepdims=True)) * np.linspace(0.2, 1, x.shape[1], dtype="float32")
        return {"embedding": x, "variance": 1 + x**2}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("ijb") / "IJBC")


@pytest.fixture
def copied(drawn, tmp_path):
    """A copy of the files that a test may damage."""
    shutil.copytree(drawn.root, tmp_path / "IJBC")
    return tmp_path / "IJBC"


def embedded(drawn, model) -> dict:
    """The arrays of `reference_templates`, from pictures that are read and warped one at a time."""
    rows, flipped = [], []
    for at, points in enumerate(drawn.points):
        pixels = cv2.imread(str(drawn.root / "loose_crop" / f"{at + 1}.png"))[:, :, ::-1]
        aligned = cv2.warpAffine(np.ascontiguousarray(pixels), similarity(points, template(SIZE)), SIZE, flags=cv2.INTER_LINEAR)
        assert np.abs(aligned.astype(float) - drawn.pictures[at]).mean() < 8  # the points undo what the drawing did
        rows.append(model({"image": aligned.transpose(2, 0, 1)[None]})["embedding"][0])
        flipped.append(model({"image": np.ascontiguousarray(aligned[:, ::-1].transpose(2, 0, 1)[None])})["embedding"][0])
    return {
        "embedding": np.array(rows),
        "flipped": np.array(flipped),
        "template": np.array(drawn.templates),
        "media": np.array(drawn.media),
        "detector_score": np.array(drawn.score),
    }


def test_all_modes_agree_with_loops_over_the_files(drawn, tmp_path):
    evaluator = TemplateVerification(str(drawn.root), modes="all", save_dir=str(tmp_path), batch_size=7)
    model = Rows()
    values = dict(evaluator(model))
    assert list(values) == evaluator.values() and model.shown == 2 * len(drawn.templates)
    arrays = embedded(drawn, Rows())
    ids = sorted(drawn.people)
    same = np.array([bool(s) for _, _, s in drawn.pairs])
    for mode in MODES:
        vectors = reference_templates(arrays, mode[1] == "1", mode[3] == "1", mode[5] == "2")
        scores = np.array([vectors[ids.index(a)] @ vectors[ids.index(b)] for a, b, _ in drawn.pairs])
        points = reference_roc(scores, same)
        fp, tp = points[-1]
        for far in (1e-2, 1e-1):
            name = f"@1e-{-round(np.log10(far))}"
            assert values[f"ijbc/{mode}/tpr{name}"] == reference_nearest(points, far)
            assert values[f"ijbc/{mode}/tpr_strict{name}"] == max(t for f, t in points if f / fp <= far) / tp
        assert values[f"ijbc/{mode}/auc"] == pytest.approx(np.mean(scores[same][:, None] > scores[~same]), abs=1e-9)
        for fpir in (0.01, 0.1):
            want = reference_identify(vectors, ids, drawn.galleries, drawn.probes, fpir)
            got = [values[f"ijbc/{mode}/{key}"] for key in (f"tpir@{fpir}", "rank1", "rank5", "rank10")]
            assert got == pytest.approx(want, abs=1e-12)
    assert len({values[f"ijbc/{mode}/auc"] for mode in MODES}) == 8 and 0.6 < values["ijbc/N1D1F2/auc"] < 1
    with (tmp_path / "templates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["mode"] for row in rows] == MODES
    assert float(rows[3]["tpir@0.1"]) == pytest.approx(values[f"ijbc/{MODES[3]}/tpir@0.1"], abs=1e-6)


def test_only_rates_that_the_pairs_can_show(drawn):
    names = TemplateVerification(str(drawn.root)).values()
    assert sum(s == 0 for _, _, s in drawn.pairs) == 720
    assert [name for name in names if "/tpr@" in name] == ["ijbc/N1D1F2/tpr@1e-2", "ijbc/N1D1F2/tpr@1e-1"]


@pytest.mark.parametrize("fusion", ["norm_weighted", "precision"])
def test_other_fusions_agree_with_loops(drawn, fusion):
    evaluator = TemplateVerification(str(drawn.root), ["N0D0F0"], fusion)
    arrays = embedded(drawn, Rows())
    vectors, ids = [], sorted(drawn.people)
    for ident in ids:
        rows = [arrays["embedding"][i].astype(float) for i, own in enumerate(drawn.templates) if own == ident]
        if fusion == "norm_weighted":
            units = [x / np.sqrt((x * x).sum()) for x in rows]
            weights = [np.sqrt((x * x).sum()) for x in rows]
            total = sum(w * u for w, u in zip(weights, units, strict=True)) / sum(weights)
        else:
            units = [x / np.sqrt((x * x).sum()) for x in rows]
            total = sum(u / (1 + x**2) for u, x in zip(units, rows, strict=True)) / sum(1 / (1 + x**2) for x in rows)
        vectors.append(total / np.sqrt((total * total).sum()))
    same = np.array([bool(s) for _, _, s in drawn.pairs])
    scores = np.array([vectors[ids.index(a)] @ vectors[ids.index(b)] for a, b, _ in drawn.pairs])
    values = dict(evaluator(Rows()))
    assert values["ijbc/N0D0F0/auc"] == pytest.approx(np.mean(scores[same][:, None] > scores[~same]), abs=1e-6)
    media = dict(TemplateVerification(str(drawn.root), ["N0D0F0"])(Rows()))
    assert values["ijbc/N0D0F0/auc"] != media["ijbc/N0D0F0/auc"]


def test_a_killed_evaluation_continues_without_embedding_again(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "PART", 8)
    count, want = len(drawn.templates), dict(TemplateVerification(str(drawn.root))(Rows()))
    cache = str(tmp_path / "cache")
    evaluator = TemplateVerification(str(drawn.root), cache=cache, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        dict(evaluator(Rows(after=45)))  # in the third part: two parts of eight pictures and their mirror images are finished
    (folder,) = (tmp_path / "cache").iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["000000000.npz", "000000008.npz"]
    model = Rows()
    assert dict(evaluator(model)) == want and model.shown == 2 * (count - 16)
    assert [file.name for file in folder.iterdir()] == ["embeddings.npz"]
    again = Rows()
    all_modes = TemplateVerification(str(drawn.root), "all", cache=cache)
    assert dict(all_modes(again)).items() >= want.items() and again.shown == 0


def test_a_damaged_part_is_embedded_again(drawn, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(embedding, "PART", 8)
    evaluator = TemplateVerification(str(drawn.root), cache=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        dict(evaluator(Rows(after=45)))
    (part,) = tmp_path.glob("*/000000008.npz")
    part.write_bytes(part.read_bytes()[:-40])
    model = Rows()
    dict(evaluator(model))
    assert model.shown == 2 * (len(drawn.templates) - 8) and f"{part}: damaged" in caplog.text


def test_another_model_or_list_takes_nothing_from_the_cache(drawn, copied, tmp_path):
    cache = str(tmp_path / "cache")
    dict(TemplateVerification(str(drawn.root), cache=cache)(Rows()))
    for root, model in ((drawn.root, Rows(text="other")), (copied, Rows())):
        dict(TemplateVerification(str(root), cache=cache)(model))
        assert model.shown == 2 * len(drawn.templates)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    with pytest.raises(DataError, match=r"cache: .+: expected a model with a method identity\(\)"):
        dict(TemplateVerification(str(drawn.root), cache=cache)(lambda batch: {}))


def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_embedded(drawn, tmp_path):
    (tmp_path / "file").touch()
    model = Rows()
    with pytest.raises(DataError, match=rf"^{tmp_path}/file/[0-9a-f]+: cannot write here \(Not a directory\); choose another cache$"):
        dict(TemplateVerification(str(drawn.root), cache=f"{tmp_path}/file")(model))
    assert model.shown == 0


def test_stored_embeddings_need_neither_model_nor_pictures(drawn, copied, tmp_path):
    want = dict(TemplateVerification(str(drawn.root), "all", cache=str(tmp_path / "cache"))(Rows()))
    (stored,) = (tmp_path / "cache").glob("*/embeddings.npz")
    shutil.rmtree(copied / "loose_crop")
    assert dict(TemplateVerification(str(copied), "all", embeddings=str(stored))(None)) == want
    np.save(tmp_path / "rows.npy", parts.read(stored, "embedding"))
    one = dict(TemplateVerification(str(copied), ["N0D0F0"], embeddings=str(tmp_path / "rows.npy"))(None))
    assert one.items() <= want.items() and len(one) == 10


def test_pairs_or_galleries_alone(copied):
    meta = copied / "meta"
    kept = (meta / "ijbc_template_pair_label.txt").read_text()
    (meta / "ijbc_template_pair_label.txt").unlink()
    assert next(iter(dict(TemplateVerification(str(copied))(Rows())))) == "ijbc/N1D1F2/tpir@0.01"
    (meta / "ijbc_template_pair_label.txt").write_text(kept)
    for file in meta.glob("*.csv"):
        file.unlink()
    assert list(dict(TemplateVerification(str(copied))(Rows())))[-1] == "ijbc/N1D1F2/auc"


def test_a_protocol_of_any_name_with_names_that_have_spaces(copied):
    meta = copied / "meta"
    for file in meta.iterdir():
        file.rename(meta / file.name.replace("ijbc", "mine"))
    for file in (meta / "mine_face_tid_mid.txt", meta / "mine_name_5pts_score.txt"):
        file.write_text(file.read_text().replace("3.png ", "a b/3.png ", 1))
    moved = copied / "loose_crop" / "a b" / "3.png"
    moved.parent.mkdir()
    (copied / "loose_crop" / "3.png").rename(moved)
    assert "mine/N1D1F2/tpr@1e-1" in dict(TemplateVerification(str(copied))(Rows()))


def edited(old: str, new: str):
    def edit(text: str) -> str:
        assert re.search(old, text, re.M)
        return re.sub(old, new, text, count=1, flags=re.M)

    return edit


def last_lines_cut(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-3])


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (
            "name_5pts_score.txt",
            last_lines_cut,
            "{file}: expected the 60 pictures of ijbc_face_tid_mid.txt, in the same order, received 57",
        ),
        (
            "name_5pts_score.txt",
            edited("^2.png", "9.png"),
            "{file}: expected the pictures of ijbc_face_tid_mid.txt in the same order, 2.png as picture 2, received 9.png",
        ),
        (
            "name_5pts_score.txt",
            edited("^(2.png) \\S+", r"\1 nan"),
            "{file}:2: expected 'picture x1 y1 ... x5 y5 score', received '2.png nan ",
        ),
        (
            "name_5pts_score.txt",
            edited("^(1.png) .*", r"\1 " + "4 5 " * 5 + ".9"),
            "{file}: expected five points that differ for 1.png, received",
        ),
        (
            "face_tid_mid.txt",
            edited("^3.png (\\d+) (\\d+)$", r"3.png \1 x"),
            "{file}:3: expected 'picture template media', whole numbers after the picture, received '3.png ",
        ),
        ("face_tid_mid.txt", edited("^3.png (\\d+)", r"3.png \1.5"), "{file}:3: expected 'picture template media', whole numbers"),
        ("face_tid_mid.txt", lambda text: " \n", "{file}: an empty label file"),
        ("template_pair_label.txt", edited("^5 19 1$", "5 19"), "{file}:2: expected 'template template 1' for one person or "),
        ("template_pair_label.txt", edited("^5 19 1$", "5 19 2"), "{file}:2: expected 'template template 1' for one person or "),
        ("template_pair_label.txt", edited("^5 19 1$", "5 x 1"), "{file}:2: expected 'template template 1' for one person or "),
        (
            "template_pair_label.txt",
            edited("^5 19 1$", "5 20 1"),
            "{file}: expected templates with images in ijbc_face_tid_mid.txt, received 20 without",
        ),
        (
            "template_pair_label.txt",
            lambda text: text.replace(" 0\n", " 1\n"),
            "{file}: expected pairs of one person (1) and of two (0), received 780 and 0",
        ),
        ("1N_gallery_G1.csv", edited("^33,", "x,"), "{file}:4: expected 'template,subject', received 'x,1001,img/33_0.jpg'"),
        ("1N_gallery_G1.csv", edited("^33,1001", "33"), "{file}:5: expected one subject of template 33, received img/33_0.jpg and 1001"),
        (
            "1N_gallery_G1.csv",
            lambda text: "TEMPLATE_ID,SUBJECT_ID\n",
            "{file}: expected lines 'template,subject' after a header, found none",
        ),
        (
            "1N_gallery_G2.csv",
            lambda text: re.sub("^1[0-9]{2},", "999,", text, flags=re.M).replace(",1006", ",1005").replace(",1007", ",1005"),
            "{file}: expected templates with images in ijbc_face_tid_mid.txt, received 999 without",
        ),
        (
            "1N_probe_mixed.csv",
            lambda text: text.replace(",1", ",2"),
            "{file}: expected probes of people in a gallery, received 30 probes of others",
        ),
        (
            "1N_gallery_G2.csv",
            lambda text: text.replace(",1", ",7"),
            "{file}: expected probes of people in it and of others, received 0 and 30: the thresholds come from the others",
        ),
    ],
)
def test_lists_that_do_not_fit_are_refused_before_anything_is_embedded(copied, file, edit, message):
    path = copied / "meta" / f"ijbc_{file}"
    path.write_text(edit(path.read_text()))
    with pytest.raises(DataError) as error:
        TemplateVerification(str(copied))
    assert str(error.value).startswith(message.format(file=path)), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: shutil.rmtree(root),
            "TemplateVerification: expected a folder, but {root} does not exist: expected meta/NAME_face_tid_mid",
        ),
        (lambda root: shutil.rmtree(root / "meta"), "TemplateVerification: expected a folder, but {root}/meta does not exist: "),
        (
            lambda root: (root / "meta" / "ijbc_face_tid_mid.txt").unlink(),
            "{root}/meta: expected one list NAME_face_tid_mid.txt, such as ijbc_face_tid_mid.txt, received none",
        ),
        (
            lambda root: shutil.copy(root / "meta" / "ijbc_face_tid_mid.txt", root / "meta" / "ijbb_face_tid_mid.txt"),
            "{root}/meta: expected one list NAME_face_tid_mid.txt, such as ijbc_face_tid_mid.txt, received ijbb_face_tid_mid.txt, ijbc_",
        ),
        (
            lambda root: (root / "meta" / "ijbc_name_5pts_score.txt").unlink(),
            "TemplateVerification: no label file {root}/meta/ijbc_name_5pts_score.txt: ",
        ),
        (
            lambda root: (root / "meta" / "ijbc_1N_probe_mixed.csv").unlink(),
            "{root}/meta: expected galleries (NAME_1N_gallery_*.csv) and one NAME_1N_probe_*.csv, received ijbc_1N_gallery_G1.csv, ijbc_1N_g",
        ),
        (
            lambda root: [file.unlink() for file in (root / "meta").iterdir() if "1N" in file.name or "pair" in file.name],
            "{root}/meta: expected pairs in ijbc_template_pair_label.txt, or ijbc_1N_gallery_*.csv and ijbc_1N_probe_*.csv, received none of",
        ),
        (
            lambda root: [(root / "loose_crop" / name).unlink() for name in ("4.png", "7.png")],
            "{root}/loose_crop/4.png: no such picture file\n{root}/loose_crop/7.png: no such picture file",
        ),
    ],
)
def test_missing_files_are_named(copied, damage, message):
    damage(copied)
    with pytest.raises(DataError) as error:
        TemplateVerification(str(copied))
    assert str(error.value).startswith(message.format(root=copied)), str(error.value)


def test_broken_pictures_are_listed_before_a_training(copied):
    for name in ("4.png", "7.png"):
        (copied / "loose_crop" / name).write_text("words")
    evaluator = TemplateVerification(str(copied))
    with pytest.raises(DataError) as error:
        evaluator.check(Rows())
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [f"{copied}/loose_crop/{n}.png" for n in (4, 7)]
    with pytest.raises(DataError, match=r"4.png: not a picture"):
        dict(evaluator(Rows()))


@pytest.mark.parametrize(
    ("arrays", "modes", "message"),
    [
        (
            {"embedding": np.ones((60, 3))},
            "all",
            "expected embedding, flipped, which these modes and this fusion need, received embedding: flipped is missing: set others, or st",
        ),
        ({"embedding": np.ones((9, 3))}, ["N1D1F0"], "expected embedding of 60 pictures (N, D), in the order of the list, received (9, 3)"),
        (
            {"x": np.ones((60, 3))},
            ["N1D1F0"],
            "expected embedding, which these modes and this fusion need, received x: embedding is missing",
        ),
        (None, ["N1D1F0"], "expected stored embeddings, .npz or .npy ("),
    ],
)
def test_stored_embeddings_that_do_not_fit(drawn, tmp_path, arrays, modes, message):
    path = tmp_path / "e.npz"
    np.savez(path, **arrays) if arrays else path.write_text("words")
    with pytest.raises(DataError) as error:
        TemplateVerification(str(drawn.root), modes, embeddings=str(path))
    assert str(error.value).startswith(f"{path}: {message}"), str(error.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "modes: [N1D1F3]",
            "t.yml:5: evaluators.0.modes.0: expected one of N1D1F2, N1D1F0, N1D0F2, N1D0F0, N0D1F2, N0D1F0, N0D0F2, N0D0F0, ",
        ),
        (
            "modes: []",
            "t.yml:3: evaluators.0: TemplateVerification: expected different modes and batch_size of at least 1, received none and 64",
        ),
        (
            "batch_size: 0",
            "t.yml:3: evaluators.0: TemplateVerification: expected different modes and batch_size of at least 1, received N1D1F2 and 0",
        ),
        ("fusion: precision", "t.yml:3: evaluators.0: TemplateVerification: fusion: precision: expected modes with F0, received N1D1F2"),
    ],
)
def test_mistakes_in_the_config_are_named_with_their_line(drawn, more, message):
    with pytest.raises(ConfigError) as error:
        resolve(parse(f"\nevaluators:\n- name: TemplateVerification\n  root: {drawn.root}\n  {more}\n", "t.yml"))["evaluators"][0]()
    assert str(error.value).startswith(message), str(error.value)


def test_a_model_without_variance(drawn):
    class Plain(Rows):
        def __call__(self, batch):
            return {"embedding": super().__call__(batch)["embedding"]}

    evaluator = TemplateVerification(str(drawn.root), ["N0D0F0"], "precision")
    for used in (evaluator.check, lambda predict: dict(evaluator(predict))):
        with pytest.raises(DataError) as error:
            used(Plain())
        assert str(error.value) == (
            "TemplateVerification: fusion: precision: expected a model with the output 'variance' (UncertaintyHead), received one with "
            "embedding: set fusion to media or norm_weighted, or choose such a model"
        )


def test_probes_of_people_in_no_gallery_are_reported_once_for_all_modes(drawn, caplog):
    evaluator = TemplateVerification(str(drawn.root), modes="all")
    dict(evaluator(Rows()))
    dict(evaluator(Rows()))
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    probes = drawn.root / "meta" / "ijbc_1N_probe_mixed.csv"
    assert warning == f"{probes}: 6 of 30 probes are of people in no gallery: they count as not enrolled"


def test_a_live_model_and_its_export_agree(drawn, toy_embedder, toy_export, tmp_path):
    from ppface.predict import load_predictor

    evaluator, live = TemplateVerification(str(drawn.root), "all", cache=str(tmp_path)), toy_embedder.predictor()
    by_live, by_export = dict(evaluator(live)), dict(evaluator(load_predictor(toy_export)))
    assert by_export == pytest.approx(by_live, abs=2e-3) and len(set(by_live.values())) > 20
    one, two = (parts.read(file, "embedding") for file in tmp_path.glob("*/embeddings.npz"))  # each model has its own
    assert one.shape == (60, 6) and 0 < np.abs(one - two).max() < 1e-3


def test_the_identity_of_a_live_model_follows_its_arrays(toy_embedder):
    import paddle

    predict, toy_embedder.head.training_only = toy_embedder.predictor(), True
    before, kept = predict.identity(), toy_embedder.backbone.linear.bias.numpy()
    assert before == toy_embedder.predictor().identity()
    toy_embedder.backbone.linear.bias.set_value(kept + 1e-6)
    changed = predict.identity()
    toy_embedder.backbone.linear.bias.set_value(kept)
    mean = toy_embedder.input.mean.numpy()
    toy_embedder.input.mean.set_value(mean + 1)
    other_mean = predict.identity()
    toy_embedder.input.mean.set_value(mean)
    toy_embedder.input.order = "BGR"
    other_order, toy_embedder.input.order = predict.identity(), "RGB"
    toy_embedder.head.centres = paddle.create_parameter([2], "float32")
    assert len({before, changed, other_mean, other_order}) == 4 and predict.identity() == before
    del toy_embedder.head.centres, toy_embedder.head.training_only


def test_tools_eval_takes_the_evaluators_of_a_config_without_model(drawn, toy_embedder, toy_export, run_tool, tmp_path):
    config, table = tmp_path / "ijb.yml", tmp_path / "e.json"
    config.write_text(f"evaluators:\n- {{name: TemplateVerification, root: {drawn.root}, cache: {tmp_path}/cache}}\n")
    done = run_tool("tools/eval.py", toy_export, "-c", config, "--json", table)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(table.read_text())["metrics"]
    evaluator = load_config(config, ["evaluators.0.cache=null"])["evaluators"][0]()
    assert metrics == pytest.approx(dict(evaluator(toy_embedder.predictor())), abs=2e-3)
    assert done.stdout.splitlines()[0] == f"ijbc/N1D1F2/tpr@1e-2         {metrics['ijbc/N1D1F2/tpr@1e-2']:.4f}"
    (stored,) = (tmp_path / "cache").glob("*/embeddings.npz")
    done = run_tool("tools/eval.py", "-c", config, "--json", table, "-o", f"evaluators.0.embeddings={stored}")
    assert done.returncode == 0 and json.loads(table.read_text())["metrics"] == metrics, done.stderr


def test_evaluators_that_need_a_model_say_so(drawn):
    with pytest.raises(UserError, match=r"^expected a model for these evaluators: give the folder of a run or an export, or a config with"):
        dict(TemplateVerification(str(drawn.root))(no_model))
