"""Center loss against the paper's rules in loops, and on two processes against one."""

import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppface.core.errors import DataError, UserError
from ppface.engine import devices
from ppface.losses import CenterLoss

ROOT = Path(__file__).resolve().parents[2]


def reference(x, y, c, alpha, weight):
    loss = weight / 2 * np.mean([np.sum((xi - c[yi]) ** 2) for xi, yi in zip(x, y, strict=True)])
    new = c.copy()
    for j in range(len(c)):
        mine = [c[j] - xi for xi, yi in zip(x, y, strict=True) if yi == j]
        new[j] = c[j] - alpha * sum(mine, np.zeros_like(c[j])) / (1 + len(mine))
    return loss, new


def ask(loss, x, y):
    return loss({"embedding": paddle.to_tensor(x, "float32")}, {"label": paddle.to_tensor(y)})["center"]


def test_four_steps_follow_the_paper(rng):
    loss, centers = CenterLoss(embedding_size=3, class_num=5, alpha=0.5, weight=0.1), np.zeros((5, 3))
    for _ in range(4):
        x, y = rng.normal(size=(8, 3)), rng.integers(0, 4, 8)  # class 4 never appears: its centre must not move
        want, centers = reference(x, y, centers, 0.5, 0.1)
        assert float(ask(loss, x, y)) == pytest.approx(want, abs=1e-6)
        np.testing.assert_allclose(loss.centers.numpy(), centers, atol=1e-6)


def test_the_gradient_is_the_papers_and_reaches_no_centre(rng):
    loss = CenterLoss(3, 5, weight=0.1)
    centers = rng.normal(size=(5, 3)).astype("float32")
    loss.centers.set_value(centers)
    x, y = paddle.to_tensor(rng.normal(size=(8, 3)).astype("float32"), stop_gradient=False), rng.integers(0, 5, 8)
    loss({"embedding": x}, {"label": paddle.to_tensor(y)})["center"].backward()
    np.testing.assert_allclose(x.grad.numpy(), 0.1 / 8 * (x.numpy() - centers[y]), rtol=1e-5, atol=1e-7)
    assert loss.centers.stop_gradient and not list(loss.parameters())


def test_in_evaluation_centres_do_not_move(rng):
    loss = CenterLoss(3, 5)
    loss.eval()
    ask(loss, rng.normal(size=(4, 3)), np.arange(4))
    assert not loss.centers.numpy().any()


def test_one_embedding_moves_its_centre_by_half_of_alpha():
    loss = CenterLoss(2, 1, alpha=0.5, weight=2.0)
    assert float(ask(loss, np.array([[3.0, 4.0]]), np.array([0]))) == pytest.approx(25.0)
    np.testing.assert_allclose(loss.centers.numpy(), [[0.75, 1.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 1.5}, "CenterLoss: expected alpha in 0..1 and weight >= 0, received alpha=1.5, weight=0.003"),
        ({"weight": -1.0}, "CenterLoss: expected alpha in 0..1 and weight >= 0, received alpha=0.5, weight=-1.0"),
        ({"class_num": 0}, "CenterLoss: expected embedding_size and class_num of at least 1, received 3 and 0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        CenterLoss(**{"embedding_size": 3, "class_num": 5} | arguments)
    assert str(caught.value) == message


def test_labels_and_embeddings_that_do_not_fit(rng):
    with pytest.raises(DataError, match=r"^CenterLoss: expected labels in 0..4 \(class_num=5\), received 5$"):
        ask(CenterLoss(3, 5), rng.normal(size=(2, 3)), np.array([0, 5]))
    with pytest.raises(UserError, match=r"^CenterLoss: expected embedding_size=3, that of the model, received 4$"):
        ask(CenterLoss(4, 5), rng.normal(size=(2, 3)), np.array([0, 1]))


def test_two_processes_give_what_one_gives(tmp_path, run_tool):
    """A whole training with centres and a learned scale: a class may be in both halves of a batch."""
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport paddle\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import tests.engine.toys as t\nfrom ppface.engine.world import World\nfrom ppface.data.loading.loader import Loader\n"
        "from ppface.losses import CenterLoss\nfrom ppface.optim import Momentum\n"
        "class Plain(t.Line):\n"
        "    def forward(self, batch):\n"
        "        x = self.linear(batch['image'].astype('float32').reshape([-1, 12]) / 255)\n"
        "        return {'logits': x, 'embedding': x}\n"
        "class Scaled(paddle.nn.Layer):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(1.0))\n"
        "    def forward(self, outputs, batch):\n"
        "        return {'ce': paddle.nn.functional.cross_entropy(outputs['logits'] * self.scale, batch['label'])}\n"
        "world = World('cpu')\npaddle.seed(0)\nmodel = Plain()\nmake = lambda **s: Momentum(learning_rate=0.1, clip_norm=1.0, **s)\n"
        "loader = Loader(t.Pixels(), [], batch_size=8, seed=3, rank=world.rank, world=world.size)\n"
        "folder = Path(sys.argv[1]); folder.mkdir(exist_ok=True)\n"
        "step = t.step(model, Scaled(), CenterLoss(2, 2, weight=0.5))\n"
        "t.Trainer(step, make, loader, [], world, folder, 0, iterations=6).train()\n"
    )
    assert run_tool(script, tmp_path / "one", fresh=True).returncode == 0
    assert devices.launch([sys.executable, str(script), str(tmp_path / "two")], 2) == 0
    from tests.engine.toys import files

    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert set(one["loss.safetensors"]) == {"0.scale", "1.centers"} and "loss.0.scale/velocity" in one["optimizer.safetensors"]
    for file, arrays in one.items():
        for name, array in arrays.items():
            np.testing.assert_allclose(two[file][name], array, rtol=1e-5, atol=1e-5, err_msg=f"{file} {name}")
    assert abs(one["loss.safetensors"]["1.centers"]).max() > 1e-3 and one["loss.safetensors"]["0.scale"] != 1
