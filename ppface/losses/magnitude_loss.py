"""Magnitude loss: the regularizer of MagFace, which pulls the norms of embeddings up."""

import paddle
from paddle import nn

from ppface.core.errors import UserError
from ppface.core.registry import register
from ppface.core.run.log import log


@register("loss")
class MagnitudeLoss(nn.Layer):
    """Regularizer of MagFace, Meng et al. 2021, https://arxiv.org/abs/2103.06627, section 3.2, beside CELoss and a MagMargin head.

        L = weight * mean_i (a_i / u_a^2 + 1 / a_i)

    Args:
        weight: lambda_g, >= 0; below the bound that follows from the head's numbers a warning is logged once.
        u_a: largest norm, as of the head, > 0.

    Shape:
        outputs["magnitude"] (N,) of MagMargin -> {"magnitude": scalar}

    Raises:
        ValueError: an argument out of its range.
        UserError: a head without magnitudes.
    """

    def __init__(self, weight: float = 35.0, u_a: float = 110.0):
        super().__init__()
        if weight < 0 or u_a <= 0:
            raise ValueError(f"MagnitudeLoss: expected weight >= 0 and u_a > 0, received weight={weight}, u_a={u_a}")
        self.weight, self.u_a, self._compared = weight, u_a, False

    def forward(self, outputs: dict, batch: dict) -> dict[str, paddle.Tensor]:
        if "magnitude" not in outputs:
            raise UserError("MagnitudeLoss: expected a head with magnitudes, received one without: set model.head={name: MagMargin}")
        bound = outputs.get("magnitude_bound", 0.0)
        if not self._compared and self.weight < bound:
            log.warning(
                f"MagnitudeLoss: weight={self.weight:g} is below {bound:.4g}, the bound of MagFace for the head's s, l_a, u_a, l_m and "
                "u_m: norms may have no optimum"
            )
        self._compared = True
        a = outputs["magnitude"]
        return {"magnitude": self.weight * (a / self.u_a**2 + 1 / a).mean()}
