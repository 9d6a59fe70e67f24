"""What to do with a step whose loss or gradients are not finite numbers."""

import math
from typing import Any, Literal

import paddle

from ppface.core.errors import NumericError
from ppface.core.run.log import log
from ppface.engine.step import Step
from ppface.engine.world import World

Policy = Literal["raise", "skip", "rollback"]
MAX_BAD_STEPS = 3  # this many bad steps one after another end a run under every policy
ADVICE = "Try a smaller learning rate or clip_norm"


class Guard:
    """Checks each step's losses and gradients before the update, in all processes alike.

    One number is read for all gradients: their sum, which is finite only if every one of them is. Under dynamic loss scaling (fp16) only
    the losses are checked, since the scaler handles infinite gradients itself.

    Args:
        policy: "raise" ends the run; "skip" omits the update, and weights and buffers stay bit-equal; "rollback" restores the weights,
            loss state, optimizer and average of the last checkpoint, and continues with the data that follow.
        step: whose buffers, of model and losses, a skipped step must not change.
        optimizer: holds the parameters, and for a step the sampled parts of some.
        world: the processes of the run.
        undoes: whether a step may have to be undone, whatever the policy.

    Shape:
        losses: name -> sum over the step's batches; names: the samples of this process
    """

    def __init__(self, policy: Policy, step: Step, optimizer: Any, world: World, undoes: bool = False):
        self.policy, self.step, self.optimizer, self.world = policy, step, optimizer, world
        self.undoes = undoes or policy == "skip"
        self.bad: list[str] = []  # reports of the last bad steps, one after another
        self._buffers: list[tuple[paddle.Tensor, paddle.Tensor]] = []

    def begin(self) -> None:
        """Before a step: keeps copies of what its forward pass changes, if it may have to be undone."""
        if self.undoes:
            moved = [parameter for parameter in self.step.parameters() if parameter.stop_gradient]  # batch norm keeps its statistics so
            self._buffers = [(value, value.clone()) for value in [*moved, *self.step.buffers()]]

    def passes(self, step: int, losses: dict[str, float], names: list[str], judge_gradients: bool = True) -> bool:
        """Whether the step may update the weights. If it may not, gradients and buffers are cleaned up.

        Raises:
            NumericError: by policy, or after MAX_BAD_STEPS bad steps, with the steps, losses and samples.
        """
        faults = [f"loss '{name}' is {value}" for name, value in losses.items() if not math.isfinite(value)]
        if judge_gradients and not faults:
            faults = [f"the gradient of {name} is not finite" for name in self._bad_gradients()]
        report = f"step {step}: {', '.join(faults[:3])}. Its batch: {', '.join(names)}" if faults else ""
        reports = [report for report in self.world.gather_text(report) if report]
        if not reports:
            self.bad = []
            return True
        self.bad.append("\n".join(reports))
        self.undo()
        if self.policy == "raise":
            raise NumericError(f"{self.bad[-1]}\nTraining stopped before the update. {ADVICE}")
        if len(self.bad) == MAX_BAD_STEPS:
            raise NumericError("\n".join([*self.bad, f"{MAX_BAD_STEPS} steps in a row were not finite: training stopped. {ADVICE}"]))
        log.warning("%s (%d in a row): %s", self.bad[-1], len(self.bad), "rolling back" if self.policy == "rollback" else "skipped")
        return False

    def _bad_gradients(self) -> list[str]:
        """Names of parameters whose gradient is not finite; a parameter that was split for a step has the name of the whole."""
        given = [parameter for parameter in self.optimizer._parameter_list if parameter.grad is not None]
        if not given:
            return []
        sums = paddle.stack([parameter.grad.sum(dtype="float32") for parameter in given])
        if math.isfinite(float(sums.sum())):
            return []
        ours = self.step.parameter_names()
        found = [parameter.name for parameter, value in zip(given, sums.numpy(), strict=True) if not math.isfinite(value)]
        return [ours.get(name.removesuffix(".part"), name) for name in found]

    @paddle.no_grad()
    def undo(self) -> None:
        """Restores the buffers of model and losses to the start of the step; the weights are not changed before the update."""
        self.optimizer.clear_grad()
        for buffer, value in self._buffers:
            buffer.set_value(value)
