"""What happens when an evaluation or a checkpoint is due: save, evaluate, keep the best."""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np

from ppface.core.errors import SaveError, UserError
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.core.registry import nearest
from ppface.core.run import signals
from ppface.core.run.log import log
from ppface.engine.journal import Journal

T = TypeVar("T")


class Checkpointer:
    """Saves and evaluates, in the first process of a run.

    Args:
        folder: the run's checkpoints.
        metric: name of the value that decides which checkpoint is the best; None: the first one that an evaluator returns.
        higher_is_better: whether more of it is better.
        failed_save: whether training continues after a checkpoint that could not be saved ("warn"), or ends ("stop").

    Attributes:
        best: the best value of the metric so far.
        owes_evaluation: whether the evaluation of the last checkpoint was interrupted or failed, so that a resumed run repeats it.
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
        """Saves, then evaluates if asked to, so that whatever an evaluator raises costs no trained step.

        Args:
            files: the tensors of the checkpoint.
            state: the rest of it, with "step".
            evaluate: returns the metrics; None: only save.
            journal: receives the metrics.
            last: whether this is the last checkpoint of the run: failing to save it is an error.

        Returns:
            whether a signal interrupted the evaluation, so that training must end

        Raises:
            SaveError: the checkpoint cannot be written, and training is not to continue without it.
            UserError: a metric that no evaluator returns; the checkpoint is saved.
        """
        self.owes_evaluation = evaluate is not None
        state |= {"best": self.best, "metrics": {}, "owes_evaluation": self.owes_evaluation, "log_window": journal.window}
        saved = self._tried(lambda: self.folder.save(files, state, best=False), last)
        if evaluate is None:
            return False
        try:
            with signals.interruptible():
                metrics = evaluate()
        except signals.Stopped:
            return True
        except Exception:
            if saved:
                log.error("the evaluation after step %d failed. %s is saved; --resume repeats the evaluation", state["step"], saved)
            raise
        self.owes_evaluation = False
        if metrics:
            journal.write(state["step"], metrics)
            log.info("step %d: %s", state["step"], " ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
            self.metrics = metrics
        if saved:
            is_best = self._is_best(metrics)
            results = {"best": self.best, "metrics": metrics, "owes_evaluation": False}
            self._tried(lambda: self.folder.record(saved, results, is_best), last)
        self._check_metric(metrics, state["step"])
        return False

    def _tried(self, work: Callable[[], T], last: bool) -> T | None:
        """What `work` returns; None, with an error in the log, if it cannot save and training continues all the same."""
        try:
            return work()
        except SaveError as error:
            if self.failed_save == "stop" or last or signals.stop_signal():
                raise
            log.error("%s. Training continues: free disk space before the next checkpoint", error)
            return None

    def _is_best(self, metrics: dict[str, float]) -> bool:
        value = metrics.get(self.metric or next(iter(metrics), ""))
        if value is None or math.isnan(value) or (self.best is not None and self.sign * value <= self.sign * self.best):
            return False
        self.best = value
        return True

    def _check_metric(self, metrics: dict[str, float], step: int) -> None:
        if metrics and self.metric and self.metric not in metrics:
            meant = nearest(self.metric, list(metrics)) or next(iter(metrics))
            available = f"the evaluators return {', '.join(metrics)}; the checkpoint of step {step} is saved"
            raise UserError(f"trainer.metric={self.metric} is not evaluated: {available}. Resume with -o trainer.metric={meant}")
