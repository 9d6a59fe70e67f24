"""The training loader: which samples stand in which batch, and who reads them; a function of (seed, epoch, index), never of the worker."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, Supplied, register
from ppface.core.run import signals
from ppface.core.run.log import log
from ppface.data.batch import collate
from ppface.data.loading.digest import digest
from ppface.data.loading.pipeline import Pipeline
from ppface.data.loading.samplers import Shuffled
from ppface.data.loading.workers import ANSWERS, Workers, noted, sample


@dataclass
class Batch:
    """What the loader yields.

    Attributes:
        arrays: keys, shapes and types of ppface.data.batch.KEYS, with a leading batch axis.
        names: of the samples, for messages.
        broken: name -> reason, samples that could not be read and whose place the next readable one took.
    """

    arrays: dict[str, np.ndarray]
    names: list[str]
    broken: dict[str, str]


class Reader:
    """Reads samples into batches; the same object works in this process or in a worker.

    Args:
        dataset: `len`, indexing to samples, `name(i)`.
        pipeline: from sample to arrays.
        seed: of all random draws.
        timeout: seconds that a sample may take in the process of a tool itself; 0: any time.

    Attributes:
        held: (sample, whether it is being read), for those who watch.
    """

    def __init__(self, dataset: Any, pipeline: Pipeline, seed: int, timeout: float = 0.0):
        self.dataset, self.pipeline, self.seed, self.timeout = dataset, pipeline, seed, timeout
        self.held: MutableSequence[int] = [-1, 0]

    def batch(self, epoch: int, indices: list[int]) -> Batch:
        broken: dict[str, str] = {}
        read = [self._sample(epoch, index, broken) for index in indices]
        self.held[1] = 0
        return Batch(collate([arrays for arrays, _ in read]), [name for _, name in read], broken)

    def _sample(self, epoch: int, index: int, broken: dict[str, str]) -> tuple[dict, str]:
        """One sample, or the next readable one."""
        for step in range(len(self.dataset)):
            i = (index + step) % len(self.dataset)
            self.held[:] = i, 1
            start = time.monotonic()
            try:
                rng = np.random.default_rng([self.seed, epoch, i])
                with signals.time_limit(self.timeout):
                    return self.pipeline(self.dataset[i], rng), self.dataset.name(i)
            except signals.Overdue:
                told = f"has stood still for {time.monotonic() - start:.0f} s while it was read (train.timeout={self.timeout:g})"
                raise DataError(f"{sample(self.dataset, i)} {told}; {ANSWERS}") from None
            except DataError as error:
                broken[self.dataset.name(i)] = str(error)
            except OSError as error:
                broken[self.dataset.name(i)] = f"{self.dataset.name(i)}: cannot be read: {error}"
            except Exception as error:
                noted(error, f"while reading {sample(self.dataset, i)}")
                raise
        raise DataError(f"no sample of this data set can be read; the first: {next(iter(broken.values()))}")


@register("loader")
class Loader:
    """Batches of transformed samples, shuffled anew each epoch; the last, incomplete batch of an epoch is left out.

    Source: the order of an epoch is the sampler's, by default `numpy.random.default_rng([seed, epoch]).permutation`; process r of R takes
    every R-th sample of a batch, so that what stands in a batch does not depend on the number of processes or workers.

    Args:
        dataset: what to train on.
        transforms: from the sample's picture to the network's input, in order.
        batch_size: samples a step over all processes together.
        shuffle: a new order each epoch; unused with a sampler.
        sampler: which samples an epoch takes, and in which order; None: every one, once.
        workers: reading processes beside each training process; 0 reads in the training process itself.
        prefetch: batches read ahead a worker.
        timeout: seconds that the reading of one sample may stand still while the training waits for it; 0: any time.
        broken_share: share of the data set that may be unreadable, 0..1; one sample more ends the run.

    Shape:
        `stream()` yields Batch objects whose arrays have batch_size / processes rows.

    Attributes:
        broken: name -> reason of every sample that this process met and could not read.

    Raises:
        ValueError: a batch size that the processes cannot share, that is larger than the data set, or cuts the sampler's groups.
        DataError: too many broken samples, or a worker that died, cannot start or stands still.
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
            raise ValueError(f"Loader: expected a batch_size that {world} processes can share equally, received {batch_size}")
        if workers < 0 or prefetch < 1 or not 0 <= broken_share <= 1:
            received = f"{workers}, {prefetch} and {broken_share}"
            raise ValueError(f"Loader: expected workers >= 0, prefetch >= 1 and broken_share in 0..1, received {received}")
        if timeout < 0:
            raise ValueError(f"Loader: expected a timeout of at least 0 seconds, received {timeout:g}")
        self.sampler = sampler or (Shuffled() if shuffle else None)
        if self.sampler and batch_size % self.sampler.group:
            raise ValueError(f"Loader: expected a batch_size of whole groups of {self.sampler.group} samples, received {batch_size}")
        self._length = self.sampler.length(dataset) if self.sampler else len(dataset)
        if batch_size > self._length:
            raise ValueError(f"Loader: expected a batch_size of at most the {self._length} samples of the data set, received {batch_size}")
        self.dataset, self.batch_size = dataset, batch_size
        self.seed, self.rank, self.world = seed, rank, world
        self.workers, self.ahead, self.timeout, self.broken_share = workers, workers * prefetch, timeout, broken_share
        self.broken: dict[str, str] = {}
        self._list: Path | None = None
        self._order: tuple[int, np.ndarray] | None = None  # (epoch, its order): made once an epoch
        self.reader = Reader(dataset, Pipeline(transforms), seed, timeout)

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._length // self.batch_size

    def digest(self) -> str:
        """Of the lists that the data set holds, see ppface/data/loading/digest.py."""
        return digest(self.dataset)

    def indices(self, number: int) -> tuple[int, list[int]]:
        """(epoch, samples of this process) of the batch with this number, counted from the beginning of training."""
        epoch, position = divmod(number, len(self))
        if self._order is None or self._order[0] != epoch:
            everything = np.arange(len(self.dataset))
            self._order = epoch, self.sampler.order(self.dataset, self.seed, epoch) if self.sampler else everything
        start = position * self.batch_size
        return epoch, self._order[1][start : start + self.batch_size][self.rank :: self.world].tolist()

    def stream(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches number `start` to `stop`-1 of the training, across epochs. Starting late reads nothing of what came before."""
        numbers = range(start, stop)
        batches = self._from_workers(numbers) if self.workers else (self.reader.batch(*self.indices(n)) for n in numbers)
        for batch in batches:
            self._count_broken(batch)
            yield batch

    def _from_workers(self, numbers: range) -> Iterator[Batch]:
        with contextlib.closing(Workers(self.reader, min(self.workers, len(numbers)), self.timeout)) as workers:
            waiting: deque = deque()
            for number in numbers:
                waiting.append(workers.submit(*self.indices(number)))
                if len(waiting) > self.ahead:
                    yield workers.result(waiting.popleft())
            while waiting:
                yield workers.result(waiting.popleft())

    def list_in(self, file: Path) -> None:
        """From now on, each broken sample's reason stands in this file as soon as it is met, one a line, and none twice."""
        self._list = file

    def _count_broken(self, batch: Batch) -> None:
        new = {name: reason for name, reason in batch.broken.items() if name not in self.broken}
        for name, reason in new.items():
            self.broken[name] = reason
            log.warning("skipped sample %d that cannot be read: %s", len(self.broken), reason)
        if new and self._list:
            with contextlib.suppress(OSError):  # a full disk; the log has told it
                there = self._list.read_text(encoding="utf-8").splitlines() if self._list.exists() else []
                with self._list.open("a", encoding="utf-8") as file:
                    file.writelines(f"{reason}\n" for reason in new.values() if reason not in there)
        if len(self.broken) > self.broken_share * len(self.dataset):
            listed = "\n".join(f"  {reason}" for reason in list(self.broken.values())[:10])
            share = f"train.broken_share allows {self.broken_share:.3%} of {len(self.dataset)}"
            raise DataError(f"{len(self.broken)} sample(s) cannot be read, more than {share}:\n{listed}")
