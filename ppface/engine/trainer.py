"""The training loop: one for every task, readable from top to bottom."""

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import paddle

from ppface.core.errors import NumericError, SaveError, UserError, WeightsError
from ppface.core.registry import Supplied, nearest, register
from ppface.core.run import signals
from ppface.core.run.log import log
from ppface.engine import checkpoint
from ppface.engine.checkpoint import CheckpointFolder
from ppface.engine.ema import EMA
from ppface.engine.evaluation import measure
from ppface.engine.journal import Journal
from ppface.engine.nonfinite_guard import Guard, Policy
from ppface.engine.tensors import Tensors
from ppface.engine.world import STOPPING, World

ByRun = Supplied("by the run")


@register("trainer")
class Trainer:
    """Trains a model: forward, losses, backward, step; evaluates, saves and logs on the way.

    Source: gradient accumulation and clipping, mixed precision (Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740) and the
    running average (see EMA) around plain forward, backward, step.

    Args:
        epochs: length in passes over the data; give this or `iterations`.
        iterations: length in optimizer steps.
        accumulate: batches whose gradients make one step, >= 1.
        ema: decay of the running average of the weights that is evaluated and saved beside them, 0..1; 0: none.
        amp: automatic mixed precision; CPUs have no such kernels, and the run says so.
        eval_every: evaluate and save after so many epochs (with `iterations`: steps), and at the end; null: each epoch; 0: only at the end.
        save_every: save without evaluating, likewise.
        save_steps: save besides after every so many steps, whatever the unit of the others; 0: not. A run that is killed loses no more.
        log_every: steps between two lines of the log.
        metric: the evaluated value that tells the best checkpoint; none: the first one.
        higher_is_better: whether more of it is better.
        keep: how many of the newest checkpoints stay.
        nonfinite: what becomes of a step whose loss or gradients are not finite: "raise" ends the run, "skip" leaves its update out,
            "rollback" goes back to the last checkpoint's weights and on with the data that follow; three in a row always end the run.
        failed_save: whether training goes on after a checkpoint that could not be saved, loudly ("warn"), or ends ("stop").

    Shape:
        batch -> `model(batch)` -> outputs; `loss(outputs, batch)` -> {"name": scalar}, already weighted, summed here.

    Raises:
        ValueError: no length or two, or numbers out of range.
        NumericError: losses or gradients that are not finite, before the weights are touched.
        DataError: the data cannot be read on; what is trained until then is saved.
        Stopped: a signal asked to stop; the step is finished and saved.
        UserError: a metric that no evaluator yields, or data that lacks what the model or loss asks for.
    """

    def __init__(
        self,
        model: Annotated[Any, ByRun],
        loss: Annotated[Any, ByRun],
        optimizer: Annotated[Any, ByRun],
        loader: Annotated[Any, ByRun],
        evaluators: Annotated[list, ByRun],
        world: Annotated[World, ByRun],
        folder: Annotated[Path, ByRun],
        seed: Annotated[int, ByRun],
        about: Annotated[dict | None, ByRun] = None,
        epochs: int | None = None,
        iterations: int | None = None,
        accumulate: int = 1,
        ema: float = 0.0,
        amp: Literal["off", "bf16", "fp16"] = "off",
        eval_every: int | None = None,
        save_every: int | None = None,
        save_steps: int = 0,
        log_every: int = 20,
        metric: str | None = None,
        higher_is_better: bool = True,
        keep: int = 2,
        nonfinite: Policy = "raise",
        failed_save: Literal["warn", "stop"] = "warn",
    ):
        length = epochs if iterations is None else iterations
        if (epochs is None) == (iterations is None) or length is None or length < 1:
            raise ValueError(f"Trainer: expected epochs or iterations, one of them, at least 1; received {epochs} and {iterations}")
        if accumulate < 1 or log_every < 1 or keep < 1 or min(eval_every or 0, save_every or 0, save_steps) < 0:
            raise ValueError(
                "Trainer: expected accumulate, log_every and keep of at least 1, eval_every, save_every and save_steps of at least 0"
            )
        self.model, self.loss, self.loader, self.evaluators, self.world = model, loss, loader, evaluators, world
        self.folder, self.seed, self.accumulate = folder, seed, accumulate
        if accumulate > len(loader):
            raise ValueError(f"Trainer: expected accumulate of at most the {len(loader)} batches of an epoch, received {accumulate}")
        self.steps_per_epoch = len(loader) // accumulate
        unit = 1 if epochs is None else self.steps_per_epoch
        self.total = length * unit
        self.optimizer = optimizer(
            parameters=[p for p in model.parameters() if not p.stop_gradient], steps_per_epoch=self.steps_per_epoch, total_steps=self.total
        )
        self.eval_every = self.steps_per_epoch if eval_every is None else eval_every * unit
        self.save_every = self.steps_per_epoch if save_every is None else save_every * unit
        self.save_steps, self.log_every = save_steps, log_every
        self.metric, self.sign = metric, 1 if higher_is_better else -1
        self.checkpoints, self.failed_save, self.about = CheckpointFolder(folder / "checkpoints", keep), failed_save, about or {}
        self.average = EMA(model, ema) if ema else None
        self.amp = amp if world.device == "gpu" else "off"
        if amp != "off" and self.amp == "off":
            log.warning("trainer.amp=%s has no effect: Paddle has no %s kernels for the CPU; training goes on in float32", amp, amp)
        self.scaler = paddle.amp.GradScaler(enable=self.amp == "fp16")
        self.guard = Guard(nonfinite, model, self.optimizer, world, undoes=accumulate > 1)
        self.step = self.saved = 0  # steps done, and those of the last checkpoint
        self.best: float | None = None
        self.window: dict[str, Any] | None = None  # of the log, where a run is resumed between two of its lines
        self.owes_evaluation = False  # of the present step: a signal broke it off
        self.last_metrics: dict[str, float] = {}

    def train(self) -> dict[str, float]:
        """Trains from the present step to the end; returns the last evaluation's metrics."""
        network = self.world.wrap(self.model)
        own = self.folder if self.world.rank == 0 else None
        journal = Journal(own, self.total, self.step, self.log_every, self.loader.batch_size * self.accumulate, self.window)
        stream = self.loader.stream(self.step * self.accumulate, self.total * self.accumulate)
        self.model.train()
        self.saved = self.step
        with (
            self.world.failing_together(),
            signals.deferred(STOPPING),
            contextlib.closing(journal),
            contextlib.closing(stream),
        ):
            ends = self._evaluate_and_save(journal, self.owes_evaluation, False)
            while self.step < self.total and not ends:
                sums, names, waited = self._gradients(network, stream, journal)
                rate = self.optimizer.get_lr()
                passes = self.guard.passes(self.step + 1, sums, names, judge_gradients=self.amp != "fp16")
                if passes:
                    self.scaler.step(self.optimizer)
                    self.scaler.update()
                    self.optimizer.clear_grad()
                elif self.guard.policy == "rollback":
                    self._roll_back()
                if hasattr(self.optimizer._learning_rate, "step"):
                    self.optimizer._learning_rate.step()
                if self.average and passes:
                    self.average.update()
                self.step += 1
                journal.step(self.step, self.world.mean(sums) if passes else {}, rate, waited)
                ends = self.world.stops(self.step)
                ends |= self._evaluate_and_save(journal, self._due(self.eval_every), ends or self._due(self.save_every, self.save_steps))
        return self.last_metrics

    def _gradients(self, network: Any, stream: Any, journal: Journal) -> tuple[dict[str, float], list[str], float]:
        """Adds up the gradients of one step's batches; returns their mean losses, the samples, and the seconds waited for data."""
        waited, names = 0.0, []
        sums: dict[str, float] = {}
        self.guard.begin()
        for part in range(self.accumulate):
            before = time.perf_counter()
            loaded = self._next(stream, journal)
            waited += time.perf_counter() - before
            names += loaded.names
            batch = Tensors((key, paddle.to_tensor(array)) for key, array in loaded.arrays.items())
            paddle.seed(self._draw(part))
            last = part == self.accumulate - 1
            with self._autocast(), contextlib.nullcontext() if last or network is self.model else network.no_sync():
                outputs = network(batch)
                losses = self.loss(outputs, batch)
                total = sum(losses.values()) / self.accumulate
                self.scaler.scale(total).backward()
            values = paddle.stack([value.detach().astype("float32").reshape([]) for value in losses.values()]).numpy()
            for name, value in zip(losses, values, strict=True):
                sums[name] = sums.get(name, 0.0) + float(value) / self.accumulate
        return sums, names, waited

    def _next(self, stream: Any, journal: Journal) -> Any:
        """The next batch. Where one process has none, the step is undone, and all end after they have saved those before it."""
        loaded = self.world.all_or_none(lambda: next(stream))
        if not isinstance(loaded, Exception):
            return loaded
        self.guard.undo()  # whatever is wrong with the data, or with the program that reads it: the weights are sound
        self._evaluate_and_save(journal, False, self.step > self.saved)
        if not (signals.stop_signal() and isinstance(loaded, UserError)):
            raise loaded
        log.error("%s", loaded)
        raise signals.Stopped(signals.stop_signal()) from loaded

    def resume(self, source: Path | CheckpointFolder) -> dict[str, Any]:
        """Goes on from a checkpoint: weights, optimizer, running average, schedule and place in the data. Returns its whole state.

        Raises:
            WeightsError: a broken checkpoint, or one of another network or optimizer.
        """
        state = self._restore(source)
        self.step, self.best, self.owes_evaluation = state["step"], state["best"], state.get("owes_evaluation", False)
        self.window = state.get("log_window")
        if hasattr(self.optimizer._learning_rate, "step"):
            self.optimizer._learning_rate.step(self.step)
        log.info("resumed at step %d of %d", self.step, self.total)
        if self.step >= self.total and not self.owes_evaluation:
            log.warning("nothing is left to train: this run is at its end; a larger trainer.epochs or trainer.iterations goes on with it")
        return state

    def _roll_back(self) -> None:
        try:
            self._restore(self.checkpoints)
        except WeightsError as error:
            raise NumericError(f"{self.guard.bad[-1]}\nThere is nothing to roll back to: {error}") from error

    def _restore(self, source: Path | CheckpointFolder) -> dict[str, Any]:
        state = checkpoint.restore(source, self.model, self.optimizer, self.average.average if self.average else None)
        if self.average:
            self.average.updates = state["ema_updates"]
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        return state

    def _draw(self, part: int) -> int:
        """The seed of one batch's randomness: a function of (seed, process, step) alone, so that a resumed run draws the same."""
        return int(np.random.SeedSequence([self.seed, self.world.rank, self.step, part]).generate_state(1)[0])

    def _autocast(self) -> Any:
        if self.amp == "off":
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(dtype="bfloat16" if self.amp == "bf16" else "float16")

    def _due(self, *every: int) -> bool:
        return self.step == self.total or any(steps > 0 and self.step % steps == 0 for steps in every)

    def _evaluate_and_save(self, journal: Journal, evaluates: bool, saves: bool) -> bool:
        """Does what is due; returns whether a signal broke the evaluation off, so that training must end here."""
        if not (evaluates or saves):
            return False
        with journal.paused():
            self.saved = self.step
            files = checkpoint.remember(self.model, self.optimizer, self.average.average if self.average else None)
            return self.world.first_does(lambda: self._do_both(journal, evaluates, files))

    def _do_both(self, journal: Journal, evaluates: bool, files: dict[str, dict[str, np.ndarray]]) -> bool:
        metrics, self.owes_evaluation = {}, False
        if evaluates and self.evaluators:
            try:
                with signals.interruptible():
                    metrics = self.evaluate()
            except signals.Stopped:
                self.owes_evaluation = True
        if metrics:
            journal.write(self.step, metrics)
            log.info("step %d: %s", self.step, " ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
            self.last_metrics = metrics
        best = self._is_best(metrics)
        try:
            self.checkpoints.save(files, self._state(metrics, journal.window), best)
        except SaveError as error:
            if self.failed_save == "stop" or self.step == self.total or signals.stop_signal():
                raise
            log.error("%s. Training goes on: make room before the next one", error)
        if metrics and self.metric and self.metric not in metrics:
            meant = nearest(self.metric, list(metrics)) or next(iter(metrics))
            there = f"there are {', '.join(metrics)}; the checkpoint of step {self.step} is saved"
            raise UserError(f"trainer.metric={self.metric} is not evaluated: {there}. Go on with --resume and -o trainer.metric={meant}")
        return self.owes_evaluation

    def _state(self, metrics: dict[str, float], window: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds besides tensors. All randomness follows from seed, process and step, so these are its whole state."""
        batches = self.step * self.accumulate
        return {
            "step": self.step,
            "total": self.total,
            "epoch": batches // len(self.loader),
            "samples": batches * self.loader.batch_size,
            "rng": {"seed": self.seed, "drawn_by": "seed, process, step, batch of the step", "step": self.step},
            "best": self.best,
            "metrics": metrics,
            "owes_evaluation": self.owes_evaluation,
            "log_window": window,
            "ema_updates": self.average.updates if self.average else 0,
            "scaler": checkpoint.plain(self.scaler.state_dict()),
            **self.about,
        }

    def evaluate(self) -> dict[str, float]:
        """All evaluators' values by name, of the running average where there is one."""
        with self.average.applied() if self.average else contextlib.nullcontext():
            return measure(self.evaluators, self.model.predictor())

    def _is_best(self, metrics: dict[str, float]) -> bool:
        if not metrics:
            return False
        name = self.metric or next(iter(metrics))
        if name not in metrics:
            return False  # told after the checkpoint is saved
        if self.best is not None and self.sign * metrics[name] <= self.sign * self.best:
            return False
        self.best = metrics[name]
        return True
