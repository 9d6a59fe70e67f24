"""The weights of an export do not depend on what the process has made before."""

from types import SimpleNamespace

import paddle
import pytest
from paddle import nn
from paddle.utils import unique_name

from ppface.engine import export


class TwoLayers(nn.Layer):
    any_size = False

    def __init__(self):
        super().__init__()
        self.input = SimpleNamespace(size=(2, 2))
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)

    def infer(self, image: paddle.Tensor) -> dict[str, paddle.Tensor]:
        return {"embedding": self.second(self.first(image.astype("float32").flatten(1)))}


@pytest.fixture
def files(tmp_path):
    found = []
    for made in (0, 9):  # Paddle's own names of the two layers are linear_9 and linear_10 then, in the other order
        folder = tmp_path / str(made)
        folder.mkdir()
        with unique_name.guard():
            for _ in range(made):
                unique_name.generate("linear")
            paddle.seed(0)
            model = TwoLayers()
        names = [parameter.name for parameter in model.parameters()]
        export.trace(model, folder)
        assert [parameter.name for parameter in model.parameters()] == names
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
    return found


def test_its_weights_are_the_same_whatever_was_made_before(files):
    first, second = (found["model.pdiparams"] for found in files)  # model.json counts the layers of the process, for Paddle's profiler
    assert first == second


def test_its_parameters_have_the_names_of_checkpoints(files):
    text = files[0]["model.json"].decode()
    assert all(f'"{name}"' in text for name in ("first.weight", "first.bias", "second.weight", "second.bias"))
    assert "linear_" not in text
