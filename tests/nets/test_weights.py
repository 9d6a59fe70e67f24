"""Loading weights by name: what is reported, what is refused, and that a refusal changes nothing."""

import numpy as np
import paddle
import pytest
from paddle import nn
from safetensors.numpy import save_file

from ppface.core.errors import WeightsError
from ppface.nets.weights import load_weights


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
        f"{path}: 1 of 4 arrays have another shape than the model: second.weight: expected [4, 2], received [4, 5]; "
        "build the model the weights were trained with, or load with strict=False"
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
    assert str(error.value) == (
        f"{path}: 1 of the model's 4 names are missing: second.bias; "
        "build the model the weights were trained with, or load with strict=False"
    )
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
