"""Angular distillation: a student's embeddings point where those of a frozen teacher do."""

from typing import Annotated

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import Kind, register


@register("loss")
class AngularDistillation(nn.Layer):
    """Angular distillation loss of VarGFaceNet, Yan et al. 2019, https://arxiv.org/abs/1910.04985, equation 3, beside that of the classes.

        L = weight * mean_i ||t_i / |t_i| - s_i / |s_i|||^2,   t of the teacher without gradient, s of the student

    Recursive distillation, section 3.4, is a chain of runs: each starts from the weights of the last student (`weights` of the config)
    and has the same teacher. In float32, also under autocast.

    Args:
        teacher: a run, an export or weights whose embeddings have the student's size, and which takes pictures of the student's size.
        weight: factor of the returned loss, >= 0.

    Shape:
        outputs["embedding"] (N, D), batch["image"] (N, 3, H, W) -> {"distillation": scalar}

    Raises:
        ValueError: a negative weight.
        UserError: a teacher without embeddings, or with embeddings of another size.
    """

    def __init__(self, teacher: Annotated[nn.Layer, Kind("network", "FrozenModel")], weight: float = 7.0):
        super().__init__()
        if weight < 0:
            raise ValueError(f"AngularDistillation: expected weight >= 0, received weight={weight}")
        self.teacher, self.weight = teacher, weight

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        given = self.teacher(batch["image"])
        if "embedding" not in given:
            raise UserError(f"AngularDistillation: expected a teacher with embeddings, received one with {', '.join(given)}")
        with paddle.amp.auto_cast(enable=False):
            student, target = outputs["embedding"].astype("float32"), given["embedding"].astype("float32")
            if student.shape[1] != target.shape[1]:
                received = f"{target.shape[1]} of the teacher and {student.shape[1]} of the student"
                advice = f"set embedding_size={target.shape[1]} in model.backbone and model.head, or choose another teacher"
                raise UserError(f"AngularDistillation: expected embeddings of one size, received {received}: {advice}")
            apart = F.normalize(target, axis=1, epsilon=1e-12) - F.normalize(student, axis=1, epsilon=1e-12)
            return {"distillation": self.weight * (apart**2).sum(axis=1).mean()}
