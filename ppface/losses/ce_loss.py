"""Cross entropy over classes."""

import paddle
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import register
from ppface.ops.cross_entropy import cross_entropy


@register("loss")
class CELoss(nn.Layer):
    """Cross entropy with label smoothing, Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.

        L = mean_i sum_j -q_ij log softmax(logits_i)_j,   q_ij = (1 - e) [j = y_i] + e / C

    In float32, also under autocast.

    Args:
        label_smoothing: e, 0..1.

    Shape:
        outputs["logits"] (N, C), outputs["label"] where the head has renumbered them, else batch["label"], (N,) int64 -> {"ce": scalar};
        outputs["columns"], where the head spreads its classes over processes, says how many there are in all

    Raises:
        ValueError: label_smoothing outside 0..1.
        UserError: a head without logits.
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"CELoss: expected label_smoothing in 0..1, received label_smoothing={label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        if "logits" not in outputs:
            raise UserError(f"CELoss: expected a head with logits, received one with {', '.join(outputs)}: choose another loss or head")
        with paddle.amp.auto_cast(enable=False):
            logits = outputs["logits"].astype("float32")
            label = (outputs if "label" in outputs else batch)["label"].flatten().astype("int64")
            return {"ce": cross_entropy(logits, label, self.label_smoothing, outputs.get("columns"))}
