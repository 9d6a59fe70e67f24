"""The training loop: one for every task, readable from top to bottom."""

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import paddle

from ppface.core.errors import NumericError, UserError, WeightsError
from ppface.core.registry import Supplied, register
from ppface.core.run import signals
from ppface.core.run.log import log
from ppface.engine import checkpoint
from ppface.engine.checkpoint import CheckpointFolder
from ppface.engine.checkpointer import Checkpointer
from ppface.engine.ema import EMA
from ppface.engine.evaluation import measure, more_is_better
from ppface.engine.journal import Journal
from ppface.engine.nonfinite_guard import Guard, Policy
from ppface.engine.step import Step
from ppface.engine.tensors import Tensors
from ppface.engine.world import STOPPING, World

ByRun = Supplied("by the run")


@register("trainer")
class Trainer:
    """Trains a model: forward, losses, backward, update; evaluates, saves and logs on the way.

    Source: gradient accumulation and clipping, mixed precision (Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740) and the
    running average (see EMA) around plain forward, backward, update.

    Args:
        epochs: length in passes over the data; give this or `iterations`.
        iterations: length in optimizer steps.
        accumulate: batches whose gradients make one step, >= 1.
        ema: decay of the running average of the weights that is evaluated and saved beside them, 0..1; 0: none.
        amp: automatic mixed precision; CPUs have no such kernels, and the run says so.
        eval_every: evaluate and save after so many epochs (with `iterations`: steps), and at the end; null: each epoch; 0: only at the end.
        save_every: save without evaluating, likewise.
        save_steps: also save after every so many steps, whatever the unit of the others; 0: never. A killed run loses at most these.
        log_every: steps between two lines of the log.
        metric: the evaluated value that decides which checkpoint is the best; none: the first one.
        higher_is_better: whether more of it is better; none: as its evaluator says, less of errors and more of everything else.
        keep: how many of the newest checkpoints stay.
        nonfinite: what to do with a step whose loss or gradients are not finite: "raise" ends the run, "skip" omits its update,
            "rollback" restores the last checkpoint's weights and continues with the data that follow; three in a row always end the run.
        failed_save: whether training continues after a checkpoint that could not be saved, with an error in the log ("warn"), or ends
            ("stop").

    Shape:
        batch -> `step(batch)` -> {"name": scalar}, already weighted, summed here.

    Raises:
        ValueError: no length or two, or numbers out of range.
        ConfigError: two losses that return a value of the same name.
        NumericError: losses or gradients that are not finite, before the weights are touched.
        DataError: the data cannot be read; the steps before are saved.
        Stopped: a signal asked to stop; the step is finished and saved.
        UserError: a metric that no evaluator returns, or data without a key that the model or a loss needs.
    """

    def __init__(
        self,
        step: Annotated[Step, ByRun],
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
        higher_is_better: bool | None = None,
        keep: int = 2,
        nonfinite: Policy = "raise",
        failed_save: Literal["warn", "stop"] = "warn",
    ):
        length = epochs if iterations is None else iterations
        if (epochs is None) == (iterations is None) or length is None or length < 1:
            raise ValueError(
                f"Trainer: expected either epochs or iterations, at least 1; received epochs={epochs}, iterations={iterations}"
            )
        if accumulate < 1 or log_every < 1 or keep < 1 or min(eval_every or 0, save_every or 0, save_steps) < 0:
            raise ValueError(
                "Trainer: expected accumulate, log_every and keep of at least 1, eval_every, save_every and save_steps of at least 0"
            )
        self.train_step, self.model, self.loader, self.evaluators, self.world = step, step.model, loader, evaluators, world
        self.folder, self.seed, self.accumulate = folder, seed, accumulate
        if accumulate > len(loader):
            raise ValueError(f"Trainer: expected accumulate of at most the {len(loader)} batches of an epoch, received {accumulate}")
        self.steps_per_epoch = len(loader) // accumulate
        unit = 1 if epochs is None else self.steps_per_epoch
        self.total = length * unit
        self.optimizer = optimizer(parameters=step.learned(), steps_per_epoch=self.steps_per_epoch, total_steps=self.total)
        warmup = getattr(self.optimizer._learning_rate, "warmup_steps", 0)
        if warmup >= self.total:
            log.warning("warmup_steps=%d lasts for all %d steps of the run: the learning rate stays below its base", warmup, self.total)
        self.eval_every = self.steps_per_epoch if eval_every is None else eval_every * unit
        self.save_every = self.steps_per_epoch if save_every is None else save_every * unit
        self.save_steps, self.log_every = save_steps, log_every
        self.checkpoints, self.about = CheckpointFolder(folder / "checkpoints", keep), about or {}
        rises = more_is_better(evaluators, metric) if higher_is_better is None else higher_is_better
        self.checkpointer = Checkpointer(self.checkpoints, metric, rises, failed_save)
        self.average = EMA(self.model, ema) if ema else None
        self.amp = amp if world.device == "gpu" else "off"
        if amp != "off" and self.amp == "off":
            log.warning("trainer.amp=%s has no effect: Paddle has no %s kernels for the CPU; training continues in float32", amp, amp)
        self.scaler = paddle.amp.GradScaler(enable=self.amp == "fp16")
        self.guard = Guard(nonfinite, step, self.optimizer, world, undoes=accumulate > 1)
        self.step = self.saved = 0  # steps done, and those of the last checkpoint
        self.window: dict[str, Any] | None = None  # of the log, where a run is resumed between two of its lines

    def train(self) -> dict[str, float]:
        """Trains from the present step to the end; returns the last evaluation's metrics."""
        step = self.world.wrap(self.train_step)
        own = self.folder if self.world.rank == 0 else None
        journal = Journal(own, self.total, self.step, self.log_every, self.loader.batch_size * self.accumulate, self.window)
        stream = self.loader.stream(self.step * self.accumulate, self.total * self.accumulate)
        self.train_step.train()
        self.saved = self.step
        with (
            self.world.failing_together(),
            signals.deferred(STOPPING),
            contextlib.closing(journal),
            contextlib.closing(stream),
        ):
            ends = self._evaluate_and_save(journal, self.checkpointer.owes_evaluation, False)
            while self.step < self.total and not ends:
                sums, names, waited = self._gradients(step, stream, journal)
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
                ends = self.world.stops()
                ends |= self._evaluate_and_save(journal, self._due(self.eval_every), ends or self._due(self.save_every, self.save_steps))
        return self.checkpointer.metrics

    def _gradients(self, step: Any, stream: Any, journal: Journal) -> tuple[dict[str, float], list[str], float]:
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
            with self._autocast(), contextlib.nullcontext() if last or step is self.train_step else step.no_sync():
                losses = step(batch)
                total = sum(losses.values()) / self.accumulate
                self.scaler.scale(total).backward()
            values = paddle.stack([value.detach().astype("float32").reshape([]) for value in losses.values()]).numpy()
            for name, value in zip(losses, values, strict=True):
                sums[name] = sums.get(name, 0.0) + float(value) / self.accumulate
        return sums, names, waited

    def _next(self, stream: Any, journal: Journal) -> Any:
        """The next batch. If a process cannot read one, the step is undone, the steps before it are saved, and all processes end."""
        loaded = self.world.all_or_none(lambda: next(stream))
        if not isinstance(loaded, Exception):
            return loaded
        self.guard.undo()  # a failure to read leaves the weights sound
        self._evaluate_and_save(journal, False, self.step > self.saved)
        if not (signals.stop_signal() and isinstance(loaded, UserError)):
            raise loaded
        log.error("%s", loaded)
        raise signals.Stopped(signals.stop_signal()) from loaded

    def resume(self, source: Path | CheckpointFolder) -> dict[str, Any]:
        """Continues from a checkpoint: weights, loss state, optimizer, running average, schedule and position in the data.

        Returns:
            its state

        Raises:
            WeightsError: a broken checkpoint, or one of another model, loss, optimizer or frozen network.
        """
        state = self._restore(source)
        self.step, self.window = state["step"], state.get("log_window")
        self.loader.restore(state.get("selected"))
        self.checkpointer.best, self.checkpointer.owes_evaluation = state["best"], state.get("owes_evaluation", False)
        if hasattr(self.optimizer._learning_rate, "step"):
            self.optimizer._learning_rate.step(self.step)
        log.info("resumed at step %d of %d", self.step, self.total)
        if self.step >= self.total and not self.checkpointer.owes_evaluation:
            log.warning("nothing is left to train: this run is finished; a larger trainer.epochs or trainer.iterations continues it")
        return state

    def _roll_back(self) -> None:
        try:
            self._restore(self.checkpoints)
        except WeightsError as error:
            raise NumericError(f"{self.guard.bad[-1]}\nThere is nothing to roll back to: {error}") from error

    def _restore(self, source: Path | CheckpointFolder) -> dict[str, Any]:
        state = checkpoint.restore(source, self.train_step, self.optimizer, self.average.average if self.average else None)
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
        """Evaluates and saves if due; returns whether a signal interrupted the evaluation, so that training must end here."""
        if not (evaluates or saves):
            return False
        evaluate = self.evaluate if evaluates and self.evaluators else None
        with journal.paused():
            self.saved = self.step
            files = checkpoint.remember(self.train_step, self.optimizer, self.average.average if self.average else None)
            last = self.step == self.total
            return self.world.first_does(lambda: self.checkpointer.run(files, self._state(), evaluate, journal, last))

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds besides tensors. All randomness follows from seed, process and step, so these are its whole state."""
        batches = self.step * self.accumulate
        return {
            "step": self.step,
            "total": self.total,
            "epoch": batches // len(self.loader),
            "samples": batches * self.loader.batch_size,
            "rng": {"seed": self.seed, "drawn_by": "seed, process, step, batch of the step", "step": self.step},
            "ema_updates": self.average.updates if self.average else 0,
            "scaler": checkpoint.plain(self.scaler.state_dict()),
            "frozen": self.train_step.frozen_networks(),
            "selected": self.loader.state(),
            **self.about,
        }

    def evaluate(self) -> dict[str, float]:
        """All evaluators' values by name, of the running average where there is one."""
        with self.average.applied() if self.average else contextlib.nullcontext():
            return measure(self.evaluators, self.model.predictor())
