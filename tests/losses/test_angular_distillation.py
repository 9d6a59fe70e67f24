"""Angular distillation by hand, its gradient, and teachers that do not fit."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppface.core.errors import UserError
from ppface.losses import AngularDistillation
from ppface.predict.frozen_model import FrozenModel
from tests.nets.heads.test_margins import differences


class Teacher(nn.Layer):
    def __init__(self, embedding, name="embedding"):
        super().__init__()
        self.given = {name: paddle.to_tensor(np.array(embedding, "float32"))}

    def forward(self, image):
        return self.given


def test_value_and_gradient_follow_the_equation(rng):
    student, teacher = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)) * 30

    def reference(x):
        return 7 * np.mean([np.sum((t / np.linalg.norm(t) - s / np.linalg.norm(s)) ** 2) for t, s in zip(teacher, x, strict=True)])

    x = paddle.to_tensor(student.astype("float32"), stop_gradient=False)
    loss = AngularDistillation(Teacher(teacher))({"embedding": x}, {"image": None})["distillation"]
    assert float(loss) == pytest.approx(reference(student), rel=1e-5)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), differences(reference, student), atol=1e-4)


def test_a_student_that_agrees_has_no_loss(rng):
    teacher = rng.normal(size=(3, 4)).astype("float32")
    loss = AngularDistillation(Teacher(teacher))({"embedding": paddle.to_tensor(5 * teacher)}, {"image": None})["distillation"]
    assert float(loss) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (
            Teacher(np.ones((2, 6))),
            "AngularDistillation: expected embeddings of one size, received 6 of the teacher and 4 of the student: set embedding_size=6 in "
            "model.backbone and model.head, or choose another teacher",
        ),
        (Teacher(np.ones((2, 6)), "boxes"), "AngularDistillation: expected a teacher with embeddings, received one with boxes"),
    ],
)
def test_teachers_that_do_not_fit_are_named(teacher, message):
    with pytest.raises(UserError) as error:
        AngularDistillation(teacher)({"embedding": paddle.ones([2, 4])}, {"image": None})
    assert str(error.value) == message


def test_a_negative_weight_is_named():
    with pytest.raises(ValueError, match="AngularDistillation: expected weight >= 0, received weight=-1"):
        AngularDistillation(Teacher(np.ones((1, 2))), weight=-1)


def test_the_teacher_may_be_an_export(toy_embedder, toy_export, rng):
    image = paddle.to_tensor(rng.integers(0, 256, (2, 3, *toy_embedder.input.size), dtype="uint8"))
    teacher, target = FrozenModel(str(toy_export)), toy_embedder({"image": image})["embedding"]
    assert teacher.loaded_from["source"] == str(toy_export) and len(teacher.loaded_from["sha256"]) == 64
    np.testing.assert_allclose(teacher(image)["embedding"].numpy(), target.numpy(), atol=1e-4)
    student = paddle.to_tensor(rng.normal(size=target.shape).astype("float32"), stop_gradient=False)
    AngularDistillation(teacher)({"embedding": student}, {"image": image})["distillation"].backward()
    assert student.grad.numpy().any() and not teacher.state_dict()
    with pytest.raises(ValueError) as error:
        FrozenModel(str(toy_export), names="names.yaml")
    assert str(error.value) == f"FrozenModel: expected no weights, names or overrides for an export, which has its own: {toy_export}"


def test_a_teacher_for_pictures_of_another_size_is_named(toy_embedder, toy_export):
    (height, width), teacher = toy_embedder.input.size, FrozenModel(str(toy_export))
    with pytest.raises(UserError) as error:
        teacher(paddle.zeros([1, 3, height + 16, width], "uint8"))
    assert str(error.value) == (
        f"FrozenModel: {toy_export}: expected pictures of [height, width] = [{height}, {width}], the only size that this model takes, "
        f"received [{height + 16}, {width}] of the model in training: choose a source for that size, or train with [{height}, {width}]"
    )
