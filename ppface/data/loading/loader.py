"""The training loader: composes and reads batches; what they contain depends on (seed, epoch, index), not on the worker that reads them."""

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import printable
from ppface.core.registry import Kind, Supplied, register
from ppface.core.run import signals
from ppface.core.run.log import log
from ppface.data.batch import collate
from ppface.data.loading.digest import digest
from ppface.data.loading.pipeline import Pipeline
from ppface.data.loading.samplers import Shuffled
from ppface.data.loading.workers import FILE_SYSTEM_HINT, Workers, describe_sample, with_note


@dataclass
class Batch:
    """What the loader yields.

    Attributes:
        arrays: keys, shapes and types of ppface.data.batch.KEYS, with a leading batch axis.
        names: of the samples, for messages.
        broken: name -> reason, samples that could not be read and were replaced by the next readable one.
    """

    arrays: dict[str, np.ndarray]
    names: list[str]
    broken: dict[str, str]


class Reader:
    """Reads samples into batches, in this process or in a worker.

    Args:
        dataset: `len`, indexing to samples, `name(i)`.
        pipeline: converts a sample to arrays.
        seed: of all random draws.
        timeout: time limit of one sample in seconds if it is read in the process of a tool; 0: none.

    Attributes:
        current: (index of the last sample begun, 1 while it is being read), for progress monitoring.
    """

    def __init__(self, dataset: Any, pipeline: Pipeline, seed: int, timeout: float = 0.0):
        self.dataset, self.pipeline, self.seed, self.timeout = dataset, pipeline, seed, timeout
        self.current: MutableSequence[int] = [-1, 0]

    def batch(self, epoch: int, indices: list[int]) -> Batch:
        broken: dict[str, str] = {}
        read = [self._sample(epoch, index, broken) for index in indices]
        self.current[1] = 0
        return Batch(collate([arrays for arrays, _ in read]), [name for _, name in read], broken)

    def _sample(self, epoch: int, index: int, broken: dict[str, str]) -> tuple[dict, str]:
        """One sample, or the next readable one."""
        for step in range(len(self.dataset)):
            i = (index + step) % len(self.dataset)
            self.current[:] = i, 1
            start = time.monotonic()
            try:
                rng = np.random.default_rng([self.seed, epoch, i])
                with signals.time_limit(self.timeout):
                    return self.pipeline(self.dataset[i], rng), self.dataset.name(i)
            except signals.Overdue:
                reason = f"reading timed out after {time.monotonic() - start:.0f} s (train.timeout={self.timeout:g})"
                raise DataError(f"{describe_sample(self.dataset, i)}: {reason}; {FILE_SYSTEM_HINT}") from None
            except DataError as error:
                broken[self.dataset.name(i)] = str(error)
            except OSError as error:
                broken[self.dataset.name(i)] = f"{self.dataset.name(i)}: cannot be read: {error}"
            except Exception as error:
                with_note(error, f"while reading {describe_sample(self.dataset, i)}")
                raise
        raise DataError(f"no sample of this data set can be read; the first: {next(iter(broken.values()))}")


@register("loader")
class Loader:
    """Batches of transformed samples, shuffled again each epoch; the last, incomplete batch of an epoch is dropped.

    Source: the order of an epoch is the sampler's, by default `numpy.random.default_rng([seed, epoch]).permutation`; process r of R takes
    every R-th sample of a batch, so that the content of a batch does not depend on the number of processes or workers.

    Args:
        dataset: what to train on.
        transforms: applied to each sample, in this order.
        batch_size: samples per step, summed over all processes.
        shuffle: a new order each epoch; unused with a sampler.
        sampler: selects and orders the samples of an epoch; None: each sample once. One with the attribute `embeds` selects by the model's
            embeddings at the beginning of the epoch, see `follow`.
        workers: reading processes per training process; 0 reads in the training process itself.
        prefetch: batches read ahead per worker.
        timeout: time limit in seconds for reading one sample while the training waits for it; 0: none.
        broken_share: largest share of the data set that may be unreadable, 0..1; more ends the run.

    Shape:
        `stream()` yields Batch objects whose arrays have batch_size / processes rows.

    Attributes:
        broken: name -> reason of every sample that this process could not read.

    Raises:
        ValueError: a batch size that is not a multiple of the processes or of the sampler's group, is not the group of a
            sampler that fills whole batches, or is larger than the data set.
        DataError: too many broken samples, or a worker that died, cannot start or timed out.
    """

    def __init__(
        self,
        dataset: Annotated[Any, Kind("dataset")],
        transforms: list[Annotated[Any, Kind("transform")]],
        batch_size: int,
        seed: Annotated[int, Supplied("by the run")],
        rank: Annotated[int, Supplied("by the run")],
        world: Annotated[int, Supplied("by the run")],
        shuffle: bool = True,
        workers: int = 0,
        prefetch: int = 2,
        broken_share: float = 0.001,
        sampler: Annotated[Any, Kind("sampler")] | None = None,
        timeout: float = 300.0,
    ):
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"Loader: expected a batch_size that is a multiple of the {world} processes, received {batch_size}")
        if workers < 0 or prefetch < 1 or not 0 <= broken_share <= 1:
            received = f"{workers}, {prefetch} and {broken_share}"
            raise ValueError(f"Loader: expected workers >= 0, prefetch >= 1 and broken_share in 0..1, received {received}")
        if timeout < 0:
            raise ValueError(f"Loader: expected a timeout of at least 0 seconds, received {timeout:g}")
        self.sampler = sampler or (Shuffled() if shuffle else None)
        if self.sampler and batch_size % self.sampler.group:
            raise ValueError(
                f"Loader: expected a batch_size that is a multiple of the sampler's {self.sampler.group} samples, received {batch_size}"
            )
        if self.sampler and getattr(self.sampler, "whole", False) and batch_size != self.sampler.group:
            raise ValueError(f"Loader: expected a batch_size of {self.sampler.group}, the sampler's samples, received {batch_size}")
        self._length = self.sampler.length(dataset) if self.sampler else len(dataset)
        if batch_size > self._length:
            raise ValueError(f"Loader: expected a batch_size of at most the {self._length} samples of the data set, received {batch_size}")
        self.dataset, self.batch_size = dataset, batch_size
        self.seed, self.rank, self.world = seed, rank, world
        self.workers, self.ahead, self.timeout, self.broken_share = workers, workers * prefetch, timeout, broken_share
        self.broken: dict[str, str] = {}
        self._list: Path | None = None
        self._order: tuple[int, np.ndarray] | None = None  # (epoch, its order): computed once per epoch
        self.reader = Reader(dataset, Pipeline(transforms), seed, timeout)
        self._predict: Callable[[dict], dict] | None = None
        self._from_first: Callable[[Callable[[], str]], str] = lambda work: work()

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._length // self.batch_size

    def digest(self) -> str:
        """The digest of the data set's lists, see ppface/data/loading/digest.py."""
        return digest(self.dataset)

    def follow(self, predict: Callable[[dict], dict], from_first: Callable[[Callable[[], str]], str]) -> None:
        """Receives the model that is trained, for samplers that select by its embeddings.

        Args:
            predict: arrays of a batch -> outputs by name, with the weights of the moment.
            from_first: a function -> the text that it returns in the first process of the run.
        """
        self._predict, self._from_first = predict, from_first

    def indices(self, number: int) -> tuple[int, list[int]]:
        """(epoch, indices of this process's samples) of the batch with this number, counted from the start of training."""
        epoch, position = divmod(number, len(self))
        if self._order is None or self._order[0] != epoch:
            everything = np.arange(len(self.dataset))
            self._order = epoch, self.sampler.order(self.dataset, self.seed, epoch) if self.sampler else everything
        start = position * self.batch_size
        return epoch, self._order[1][start : start + self.batch_size][self.rank :: self.world].tolist()

    def stream(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches number `start` to `stop`-1 of the training, across epochs; earlier batches are not read."""
        workers = Workers(self.reader, min(self.workers, stop - start), self.timeout) if self.workers else None
        with contextlib.closing(workers) if workers else contextlib.nullcontext():
            for first, end in self._spans(start, stop):
                self._select(first // len(self), workers)
                yield from self._read(map(self.indices, range(first, end)), workers)

    def _spans(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The ranges of batches whose indices are known once the first of them is needed: all, or those of an epoch."""
        while start < stop:
            end = min(stop, (start // len(self) + 1) * len(self)) if self._embeds else stop
            yield start, end
            start = end

    def _read(self, parts: Iterable[tuple[int, list[int]]], workers: Workers | None) -> Iterator[Batch]:
        """The batches of (epoch, indices), read ahead by the workers."""
        waiting: deque = deque()
        for part in parts:
            waiting.append(workers.submit(*part) if workers else part)
            if len(waiting) > self.ahead:
                yield self._finished(waiting.popleft(), workers)
        while waiting:
            yield self._finished(waiting.popleft(), workers)

    def _finished(self, job: Any, workers: Workers | None) -> Batch:
        batch = workers.result(job) if workers else self.reader.batch(*job)
        self._count_broken(batch)
        return batch

    @property
    def _embeds(self) -> bool:
        return getattr(self.sampler, "embeds", False)

    def _select(self, epoch: int, workers: Workers | None) -> None:
        """Lets a sampler that embeds select the samples of this epoch, in the first process; the others receive its selection."""
        if not self._embeds or (self._order is not None and self._order[0] == epoch):
            return

        predict, select = self._predict, getattr(self.sampler, "order", None)
        assert predict and select, "`follow` gives the model"

        def embed(indices: np.ndarray) -> np.ndarray:
            size = max(1, self.batch_size // self.world)
            parts = ((epoch, indices[i : i + size].tolist()) for i in range(0, len(indices), size))
            return np.concatenate([predict(batch.arrays)["embedding"] for batch in self._read(parts, workers)])

        text = self._from_first(lambda: json.dumps(select(self.dataset, self.seed, epoch, embed).tolist()))
        self._order = epoch, np.array(json.loads(text))

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint must hold so that a resumed run reads the same samples: the selection of a sampler that embeds."""
        return {"epoch": self._order[0], "order": self._order[1].tolist()} if self._embeds and self._order else None

    def restore(self, state: dict[str, Any] | None) -> None:
        """Continues with the `state` of a checkpoint."""
        if not (state and self._embeds):
            return
        order = np.array(state["order"], np.int64)
        if len(order) == self._length and order.max() < len(self.dataset):
            self._order = state["epoch"], order
        else:
            log.warning("the checkpoint's selection of samples does not fit the data or the sampler: they are selected anew")

    def list_in(self, file: Path) -> None:
        """From now on, appends the reason of each broken sample to this file as it is found, one per line, without repeats."""
        self._list = file

    def _count_broken(self, batch: Batch) -> None:
        new = {name: reason for name, reason in batch.broken.items() if name not in self.broken}
        for name, reason in new.items():
            self.broken[name] = reason
            log.warning("skipped unreadable sample %d: %s", len(self.broken), reason)
        if new and self._list:
            with contextlib.suppress(OSError):  # such as a full disk; the log contains the reasons
                listed = self._list.read_text(encoding="utf-8", errors="replace").splitlines() if self._list.exists() else []
                with self._list.open("a", encoding="utf-8") as file:
                    file.writelines(f"{reason}\n" for reason in map(printable, new.values()) if reason not in listed)
        if len(self.broken) > self.broken_share * len(self.dataset):
            reasons = "\n".join(f"  {reason}" for reason in list(self.broken.values())[:10])
            share = f"train.broken_share={self.broken_share:g} allows {int(self.broken_share * len(self.dataset))}"
            raise DataError(f"{len(self.broken)} of {len(self.dataset)} samples cannot be read, {share}:\n{reasons}")
