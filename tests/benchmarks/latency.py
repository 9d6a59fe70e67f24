"""Latencies for the benchmarks of exports: several calls measured in turns, since the load of the machine varies."""

import argparse
import time
from collections.abc import Callable

import numpy as np

ROUNDS, WARM_UP = 40, 3  # the first runs prepare kernels


def parser(description: str | None) -> argparse.ArgumentParser:
    """With the options that all of them have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--cpu-time", action="store_true", help="of the process, with one thread: where others use the machine too")
    return made


def clock_of(args: argparse.Namespace) -> Callable[[], float]:
    """The clock that the options ask for; prints what is measured."""
    print(f"ms, shortest (median) of {ROUNDS} runs, threads: {args.threads}")
    return time.process_time if args.cpu_time else time.perf_counter


def latencies(runs: dict[str, Callable[[], object]], clock: Callable[[], float]) -> dict[str, list[float]]:
    """The ms of each call, ROUNDS of each."""
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for turn in range(WARM_UP + ROUNDS):
        for kind, run in runs.items():
            start = clock()
            run()
            if turn >= WARM_UP:
                times[kind].append(1000 * (clock() - start))
    return times


def show(name: str, times: dict[str, list[float]]) -> None:
    """Prints one line: the shortest and the median ms of each call."""
    print(name, *(f"{kind} {min(ms):.2f} ({np.median(ms):.2f})" for kind, ms in times.items()), sep="  ", flush=True)
