"""What happens when an evaluation or a checkpoint is due: evaluate, save, keep the best."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ppface.core.errors import SaveError, UserError
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.registry import nearest
from ppface.core.run import signals
from ppface.core.run.log import log
from ppface.engine.journal import Journal


class Checkpointer:
    """Evaluates and saves, in the first process of a run.

    Args:
        folder: the run's checkpoints.
        metric: name of the value that decides which checkpoint is the best; None: the first one that an evaluator returns.
        higher_is_better: whether more of it is better.
        failed_save: whether training continues after a checkpoint that could not be saved ("warn"), or ends ("stop").

    Attributes:
        best: the best value of the metric so far.
        owes_evaluation: whether a signal interrupted the evaluation of the last checkpoint, so that a resumed run repeats it.
        metrics: of the last evaluation.
    """

    def __init__(self, folder: CheckpointFolder, metric: str | None, higher_is_better: bool, failed_save: Literal["warn", "stop"]):
        self.folder, self.metric, self.sign, self.failed_save = folder, metric, 1 if higher_is_better else -1, failed_save
        self.best: float | None = None
        self.owes_evaluation = False
        self.metrics: dict[str, float] = {}

    def run(
        self,
        files: dict[str, dict[str, np.ndarray]],
        state: dict[str, Any],
        evaluate: Callable[[], dict[str, float]] | None,
        journal: Journal,
        last: bool,
    ) -> bool:
        """Evaluates if asked to, then saves; returns whether a signal interrupted the evaluation, so that training must end.

        Args:
            files: the tensors of the checkpoint.
            state: the rest of it, with "step".
            evaluate: returns the metrics; None: only save.
            journal: receives the metrics.
            last: whether this is the last checkpoint of the run: failing to save it is an error.

        Raises:
            SaveError: the checkpoint cannot be written, and training is not to continue without it.
            UserError: a metric that no evaluator returns; the checkpoint is saved.
        """
        metrics, self.owes_evaluation = {}, False
        if evaluate:
            try:
                with signals.interruptible():
                    metrics = evaluate()
            except signals.Stopped:
                self.owes_evaluation = True
        if metrics:
            journal.write(state["step"], metrics)
            log.info("step %d: %s", state["step"], " ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
            self.metrics = metrics
        is_best = self._is_best(metrics)
        state |= {"best": self.best, "metrics": metrics, "owes_evaluation": self.owes_evaluation, "log_window": journal.window}
        try:
            self.folder.save(files, state, is_best)
        except SaveError as error:
            if self.failed_save == "stop" or last or signals.stop_signal():
                raise
            log.error("%s. Training continues: make room before the next checkpoint", error)
        self._check_metric(metrics, state["step"])
        return self.owes_evaluation

    def _is_best(self, metrics: dict[str, float]) -> bool:
        value = metrics.get(self.metric or next(iter(metrics), ""))
        if value is None or (self.best is not None and self.sign * value <= self.sign * self.best):
            return False
        self.best = value
        return True

    def _check_metric(self, metrics: dict[str, float], step: int) -> None:
        if metrics and self.metric and self.metric not in metrics:
            meant = nearest(self.metric, list(metrics)) or next(iter(metrics))
            available = f"the evaluators return {', '.join(metrics)}; the checkpoint of step {step} is saved"
            raise UserError(f"trainer.metric={self.metric} is not evaluated: {available}. Resume with -o trainer.metric={meant}")
