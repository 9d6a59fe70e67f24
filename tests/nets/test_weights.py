"""Loading weights by name: what is reported, what is refused, and that a refusal changes nothing."""

import logging
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from safetensors.numpy import save_file

from ppface.core.config.spec import build_model, load_config
from ppface.core.errors import WeightsError
from ppface.nets.layers.fast import PReLU, Whiten
from ppface.nets.weights import load_weights
from tests.core.files.torch_writer import WRITERS, Tensor

ROOT = Path(__file__).resolve().parents[2]
ADVICE = (
    "build the model the weights were trained with; to train with the arrays that fit: ppface train --weights, from Python strict=False"
)
MAPPING = ROOT / "configs" / "weights" / "arcface_mobilefacenet_pytorch.yaml"


class Small(nn.Layer):
    published_names = ((r"^old_(\w+)\.", r"\1."),)

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)


@pytest.fixture
def model():
    return Small()


@pytest.fixture
def arrays(rng, model):
    return {name: rng.normal(size=tensor.shape).astype("float32") for name, tensor in model.state_dict().items()}


def saved(tmp_path, arrays):
    save_file(arrays, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def values(model):
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def test_own_names_load_and_extra_ones_are_reported(tmp_path, model, arrays):
    report = load_weights(model, saved(tmp_path, {**arrays, "third.bias": np.zeros(2, "float32")}))
    assert set(report.matched) == set(arrays) and report.unexpected == ("third.bias",)
    assert report.missing == () and report.mismatched == {}
    assert str(report) == "4 matched, 0 missing, 1 unexpected, 0 of another shape"
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, arrays[name])


def test_published_names_load_from_paddles_own_file(tmp_path, model, arrays):
    other = Small()
    paddle.save(other.state_dict(), str(tmp_path / "w.pdparams"))
    load_weights(model, tmp_path / "w.pdparams")
    np.testing.assert_array_equal(model.first.weight.numpy(), other.first.weight.numpy())
    load_weights(model, saved(tmp_path, {f"old_{name}": value for name, value in arrays.items()}))
    np.testing.assert_array_equal(model.second.bias.numpy(), arrays["second.bias"])


def test_a_name_given_twice_counts_once(tmp_path, model, arrays):
    report = load_weights(model, saved(tmp_path, {**arrays, "old_first.bias": arrays["first.bias"]}))
    assert len(report.matched) == 4 and len(report.unexpected) == 1


def test_other_number_types_are_converted(tmp_path, model, arrays):
    load_weights(model, saved(tmp_path, {name: value.astype("float64") for name, value in arrays.items()}))
    assert model.first.weight.dtype == paddle.float32
    np.testing.assert_array_equal(model.first.weight.numpy(), arrays["first.weight"])


def test_another_shape_is_an_error_unless_allowed(tmp_path, model, arrays):
    before = values(model)
    path = saved(tmp_path, {**arrays, "second.weight": np.zeros((4, 5), "float32")})
    with pytest.raises(WeightsError) as error:
        load_weights(model, path)
    assert str(error.value) == (
        f"{path}: 1 of 4 arrays have another shape than the model: second.weight: expected [4, 2], received [4, 5]; " + ADVICE
    )
    assert all((value == before[name]).all() for name, value in values(model).items())

    report = load_weights(model, path, strict=False)
    assert report.mismatched == {"second.weight": ((4, 2), (4, 5))} and len(report.matched) == 3
    np.testing.assert_array_equal(model.second.weight.numpy(), before["second.weight"])
    np.testing.assert_array_equal(model.first.weight.numpy(), arrays["first.weight"])


def test_missing_names_are_an_error_unless_allowed(tmp_path, model, arrays):
    del arrays["second.bias"]
    path = saved(tmp_path, arrays)
    with pytest.raises(WeightsError) as error:
        load_weights(model, path)
    assert str(error.value) == (f"{path}: 1 of the model's 4 names are missing: second.bias; {ADVICE}")
    assert load_weights(model, path, strict=False).missing == ("second.bias",)


def test_weights_of_another_network_are_told_with_examples(tmp_path, model, arrays):
    path = saved(tmp_path, {f"layer{i}.conv.weight": np.zeros(2, "float32") for i in range(5)})
    for strict in (True, False):
        with pytest.raises(WeightsError) as error:
            load_weights(model, path, strict)
        assert str(error.value) == (
            f"{path}: these are weights of another network: 0 of the model's 4 names are among the file's 5; "
            "the model has first.weight, first.bias, second.weight, ..., the file has "
            "layer0.conv.weight, layer1.conv.weight, layer2.conv.weight, ..."
        )


def test_a_part_of_a_network_loads_only_when_allowed(tmp_path, model, arrays):
    path = saved(tmp_path, {"first.bias": arrays["first.bias"]})
    with pytest.raises(WeightsError, match="another network: 1 of the model's 4 names"):
        load_weights(model, path)
    assert load_weights(model, path, strict=False).matched == ("first.bias",)


@pytest.mark.parametrize("affine", [True, False])
def test_the_frozen_weights_of_a_whitening_may_be_missing(tmp_path, rng, affine):
    """PyTorch's BatchNorm1d, with `affine` or without: what the file has is applied."""
    model = nn.Sequential(nn.Linear(4, 4), Whiten(4))
    names = ["1.running_mean", "1.running_var", "1.weight", "1.bias"][: 4 if affine else 2]
    arrays = {name: rng.uniform(0.5, 2, 4).astype("float32") for name in names}
    arrays |= {"0.weight": rng.normal(size=(4, 4)).astype("float32"), "0.bias": np.zeros(4, "float32")}
    path = WRITERS["zip"](tmp_path / "w.pth", {name: Tensor(array) for name, array in arrays.items()})
    assert load_weights(model, path).missing == (() if affine else ("1.weight", "1.bias"))
    model.eval()
    x = rng.normal(size=(2, 4)).astype("float32")
    want = (x @ arrays["0.weight"].T - arrays["1.running_mean"]) / np.sqrt(arrays["1.running_var"] + 1e-5)
    want = want * arrays.get("1.weight", 1) + arrays.get("1.bias", 0)
    np.testing.assert_allclose(model(paddle.to_tensor(x)).numpy(), want, atol=1e-5)


class Torchlike(nn.Layer):
    """Every layer that PyTorch names or lays out in its own way, and class centres."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act, self.linear = nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), PReLU(4), nn.Linear(4, 4)
        self.head = nn.Layer()
        self.head.kernel = self.create_parameter([4, 4])


@pytest.fixture
def theirs(rng):
    """What PyTorch has for it, names and layouts."""
    shapes = {
        "conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "norm.weight": (4,), "norm.bias": (4,), "norm.running_mean": (4,),
        "norm.running_var": (4,), "act.weight": (4,), "linear.weight": (4, 4), "linear.bias": (4,), "head.weight": (4, 4),
    }  # fmt: skip
    arrays = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    return arrays | {"norm.num_batches_tracked": np.array(7)}


def rules(tmp_path, text):
    (tmp_path / "names.yaml").write_text(text)
    return tmp_path / "names.yaml"


def check(model, theirs):
    got = values(model)
    turned = {"linear.weight": "linear.weight", "head.kernel": "head.weight"}
    renamed = {"norm._mean": "norm.running_mean", "norm._variance": "norm.running_var", "act._weight": "act.weight"}
    for name, value in got.items():
        wanted = theirs[turned[name]].T if name in turned else theirs[renamed.get(name, name)]
        np.testing.assert_array_equal(value, wanted, err_msg=name)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_pytorch_names_and_lays_out_otherwise_is_turned(tmp_path, write, theirs):
    content = {"state_dict": {f"module.{name}": Tensor(array) for name, array in theirs.items()}, "epoch": 3}
    path, names = write(tmp_path / "w.pth.tar", content), rules(tmp_path, "names:\n  - ['^head\\.weight$', head.kernel]\n")
    model = Torchlike()
    report = load_weights(model, path, names=names)
    assert report.unexpected == () and report.missing == ()
    check(model, theirs)


def test_safetensors_from_pytorch_say_so_in_the_file_of_names(tmp_path, theirs):
    path = saved(tmp_path, {f"net.{name}": array for name, array in theirs.items()})
    names = rules(tmp_path, "layout: torch\nnames:\n  - ['^net\\.', '']\n  - ['^head\\.weight$', head.kernel]\n")
    model = Torchlike()
    load_weights(model, path, names=names)
    check(model, theirs)


def test_names_that_do_not_fit_are_told_with_what_the_rules_make_of_them(tmp_path, theirs):
    path = WRITERS["zip"](tmp_path / "w.pth", {f"net.{name}": Tensor(array) for name, array in theirs.items()})
    with pytest.raises(WeightsError) as error:
        load_weights(Torchlike(), path)
    assert str(error.value) == (
        f"{path}: these are weights of another network: 0 of the model's 10 names are among the file's 11; "
        "the model has conv.weight, conv.bias, norm.weight, ..., the file has net.conv.weight, net.conv.bias, net.norm.weight, ...; "
        "weights of other projects need a file of names, see configs/weights"
    )
    names = rules(tmp_path, "names:\n  - ['^net\\.', '']\n  - ['^linear\\.', 'fc.']\n")
    with pytest.raises(WeightsError) as error:
        load_weights(Torchlike(), path, names=names)
    assert str(error.value) == (
        f"{path}: 3 of the model's 10 names are missing: linear.weight, linear.bias, head.kernel; {ADVICE}; the rules of {names} translate 'net.linear.weight' to 'fc.weight'"
    )


def test_two_names_that_become_one_are_an_error(tmp_path, model, arrays):
    path, names = saved(tmp_path, arrays), rules(tmp_path, "names: [['^(first|second)', both]]")
    with pytest.raises(WeightsError) as error:
        load_weights(model, path, names=names)
    assert str(error.value) in [
        f"{names}: 'first.{last}' and 'second.{last}' of {path} both become 'both.{last}'; change the rules so that they differ"
        for last in ("weight", "bias")
    ]


def test_a_rule_that_does_nothing_is_told(tmp_path, model, arrays, caplog):
    names = rules(tmp_path, "names:\n  - [third, fourth]\n")
    with caplog.at_level(logging.WARNING, "ppface"):
        path = saved(tmp_path, arrays)
        load_weights(model, path, names=names)
    assert caplog.messages == [f"{names}:2: 'third' matches no name of {path}: this rule has no effect"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- [a, b]", ": expected a mapping with `names:`, a list of [pattern, replacement]"),
        ("layout: torch", ": expected a mapping with `names:`, a list of [pattern, replacement]"),
        ("names: [[a, b]]\nrules: []", ":2: expected layout, part, order, activations, names, received 'rules'"),
        ("names: [[a, b]]\nactivations:\n  - [a, 8]", ":3: activations: expected [layer, output channels, act], received ['a', 8]"),
        ("names: [[a, b]]\nactivations: relu", ":2: activations: expected [layer, output channels, act], received 'relu'"),
        ("names: [[a, b]]\nlayout: tf", ":2: layout: expected paddle or torch, received 'tf'"),
        ("names: [[a, b]]\norder: GBR", ":2: order: expected RGB or BGR, received 'GBR'"),
        ("names: [[a, b]]\npart: [a]", ":2: part: expected a string, received ['a']"),
        ("names: {a: b}", ":1: names: expected a list of [pattern, replacement], received {'a': 'b'}"),
        ("names:\n  - [a, b]\n  - [a]", ":3: expected [pattern, replacement], two quoted strings, received ['a']"),
        ("names:\n  - [a, 1]", ":2: expected [pattern, replacement], two quoted strings, received ['a', 1]"),
        ("names:\n  - ['(', b]", ":2: '(' is not a regular expression: missing ), unterminated subpattern at position 0"),
        ("names:\n  - [first, '\\2']", ":2: the replacement '\\\\2' does not match 'first': invalid group reference 2 at position 1"),
        (
            "names: [",
            ": expected a file of names in YAML; NAMES:1: this is not valid YAML: expected the node content, but found '<stream end>'",
        ),
    ],
)
def test_mistakes_in_a_file_of_names_are_named_with_their_line(tmp_path, model, arrays, text, message):
    names = rules(tmp_path, text)
    with pytest.raises(WeightsError) as error:
        load_weights(model, saved(tmp_path, arrays), names=names)
    assert str(error.value) == f"{names}{message.replace('NAMES', str(names))}"


def test_a_file_of_names_in_another_encoding_says_what_to_do(tmp_path, model, arrays):
    (tmp_path / "names.yaml").write_bytes("names: [[Köpfe, b]]".encode("latin-1"))
    with pytest.raises(WeightsError, match=r"names.yaml: expected a file of names in UTF-8, received another encoding: save it as UTF-8$"):
        load_weights(model, saved(tmp_path, arrays), names=tmp_path / "names.yaml")


def test_a_missing_file_of_names_is_named(tmp_path, model, arrays):
    with pytest.raises(WeightsError) as error:
        load_weights(model, saved(tmp_path, arrays), names=tmp_path / "gone.yaml")
    assert str(error.value) == f"{tmp_path / 'gone.yaml'}: cannot read this file of names: No such file or directory"


@pytest.fixture
def mobilefacenet():
    return build_model(load_config(ROOT / "configs" / "recognition" / "adaface_mobilefacenet_cfp.yml"))


def test_the_public_mobilefacenet_loads_whole(mobilefacenet, shared_data, caplog):
    report = load_weights(mobilefacenet, shared_data / "weights" / "mobilefacenet_arcface.pth", names=MAPPING)
    assert report.unexpected == () and report.mismatched == {}
    assert set(report.missing) == {name for name in mobilefacenet.state_dict() if name.startswith("head.")}
    assert not caplog.messages  # every rule is needed


def test_the_public_mobilefacenet_tells_people_apart(mobilefacenet, shared_data):
    """Two pictures each of twenty people; all 6,000 pairs of LFW take half an hour on a core, and give what the config's header says."""
    from ppface.data.pictures.picture import Picture
    from ppface.ops.embedding import embed

    load_weights(mobilefacenet, shared_data / "weights" / "mobilefacenet_arcface.pth", names=MAPPING)
    people = [folder for folder in sorted((shared_data / "lfw" / "images").iterdir()) if len(list(folder.iterdir())) > 1][:20]
    images = [Picture.open(file).decode() for folder in people for file in sorted(folder.iterdir())[:2]]
    found = embed(mobilefacenet.predictor(), images, flip=True)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    cosine = found[0::2] @ found[1::2].T
    assert (np.diag(cosine) > 0.3).sum() >= 19 and (cosine[~np.eye(20, dtype=bool)] < 0.3).mean() > 0.97


def test_bfloat16_of_paddle_is_read_as_the_numbers_it_holds(tmp_path):
    theirs, ours = paddle.nn.Linear(4, 3), paddle.nn.Linear(4, 3)
    theirs.weight.set_value(paddle.linspace(-2, 2, 12).reshape([4, 3]))
    theirs.to(dtype="bfloat16")
    paddle.save(theirs.state_dict(), str(tmp_path / "half.pdparams"))
    load_weights(ours, tmp_path / "half.pdparams")
    np.testing.assert_allclose(ours.weight.numpy().ravel(), np.linspace(-2, 2, 12), atol=2**-8)


class Classifier(nn.Layer):
    """A network with a classifier that only training needs."""

    def __init__(self, classes):
        super().__init__()
        self.body, self.head = Small(), nn.Linear(2, classes)
        self.head.training_only = True


def test_parts_for_training_alone_of_another_shape_keep_their_values_with_one_line(tmp_path, caplog):
    trained, model = Classifier(40), Classifier(8)
    path = saved(tmp_path, values(trained))
    before = values(model)
    with caplog.at_level(logging.INFO, "ppface"):
        report = load_weights(model, path)
    assert len(report.matched) == 4 and set(report.mismatched) == {"head.weight", "head.bias"}
    assert caplog.messages == [
        f"{path}: not loaded, as only training needs them and their shapes differ: "
        "head.weight ([2, 8] in the model, [2, 40] in the file), head.bias ([8] in the model, [40] in the file)"
    ]
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name] if name.startswith("head.") else values(trained)[name])


def test_what_does_not_fit_is_named_and_counted_where_a_share_is_enough(tmp_path, caplog):
    trained, model = Classifier(40), Classifier(8)
    arrays = values(trained)
    del arrays["body.second.bias"]
    path = saved(tmp_path, {**arrays, "third.bias": np.zeros(2, "float32")})
    with caplog.at_level(logging.INFO, "ppface"):
        load_weights(model, path, strict=False, least=0.5)
        load_weights(trained, saved(tmp_path, values(trained)), strict=False, least=0.5)
    assert caplog.messages == [
        f"{path}: 3 of the model's 6 arrays are loaded; 3 start anew: body.second.bias (not in the file), "
        "head.weight ([2, 8] in the model, [2, 40] in the file), head.bias ([8] in the model, [40] in the file); "
        "1 of the file are not used: third.bias",
        f"{path}: 6 of the model's 6 arrays are loaded",
    ]
    np.testing.assert_array_equal(values(model)["body.first.weight"], arrays["body.first.weight"])


def test_class_centres_start_anew_for_other_classes(tmp_path, caplog):
    trained, model = Classifier(8), Classifier(8)
    path, before = saved(tmp_path, values(trained)), values(model)
    with caplog.at_level(logging.INFO, "ppface"):
        load_weights(model, path, strict=False, least=0.5, same_classes=False)
    assert caplog.messages == [
        f"{path}: 4 of the model's 6 arrays are loaded; 2 start anew: head.weight (of other classes), head.bias (of other classes)"
    ]
    kept = {name: before[name] if name.startswith("head.") else value for name, value in values(trained).items()}
    assert all((value == kept[name]).all() for name, value in values(model).items())


def test_a_smaller_share_than_asked_for_is_refused_and_changes_nothing(tmp_path):
    trained, model = Classifier(8), Classifier(8)
    arrays = values(trained)
    del arrays["body.second.bias"]
    path = saved(tmp_path, arrays | {name: np.zeros((3, 3), "float32") for name in ("body.first.weight", "body.second.weight")})
    before = values(model)
    with pytest.raises(WeightsError) as error:
        load_weights(model, path, strict=False, least=0.5)
    assert str(error.value) == (
        f"{path}: expected weights of which at least 50% of the model's 4 arrays can be loaded, received 1: 2 have another shape and 1 are "
        "missing: body.first.weight ([3, 4] in the model, [3, 3] in the file), body.second.weight ([4, 2] in the model, [3, 3] in the file), "
        "body.second.bias (missing); choose the backbone the weights were trained with"
    )
    assert all((value == before[name]).all() for name, value in values(model).items())
