"""Injects real faults and prints a table of the results.

python tests/faults/run.py            all of them: kills, flipped bytes, full disks, hostile files, ... (about an hour on two cores)
python tests/faults/run.py kills disks
python tests/faults/run.py --fast     few of each, as the main suite does (minutes)

Each fault is a module in this folder with `run(counts, folder) -> [(what, figure, expected), ...]`; counts is "long" or "fast". The exit
code is 1 if a figure is not as expected.
"""

import argparse
import importlib
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("pickles", "pictures", "workers", "checkpoints", "kills", "disks", "signals", "resumes", "galleries", "uploads")
Row = tuple[str, str, str]


def load(name: str):
    """The module of a fault."""
    for place in (str(HERE), str(HERE.parents[1])):
        if place not in sys.path:
            sys.path.insert(0, place)
    return importlib.import_module(name)


def holds(figure: object, expected: object) -> bool:
    """Whether a figure is as expected.

    "all" requires "N of N" with a positive N; "under 5", "at most 5", "at least 5" compare the first number of the figure; any other text
    must be equal.
    """
    figure, expected = str(figure), str(expected)
    if expected.startswith("all"):
        match = re.match(r"(\d+) of (\d+)\b", figure)
        return match is not None and int(match[1]) == int(match[2]) > 0
    bound, number = re.match(r"(under|at most|at least) ([\d.]+)", expected), re.match(r"[\d.]+", figure)
    if bound and number:
        limit, value = float(bound[2]), float(number[0])
        return {"under": value < limit, "at most": value <= limit, "at least": value >= limit}[bound[1]]
    return figure == expected


def inject(name: str, counts: str, folder: Path) -> list[Row]:
    """The figures of one fault; a missing module or an exception is a failing figure."""
    if not (HERE / f"{name}.py").is_file():
        return [(f"{name}", "module missing", "module exists")]
    try:
        return load(name).run(counts, folder)
    except Exception as error:
        traceback.print_exc()
        return [(f"{name}", f"{type(error).__name__}: {error}".splitlines()[0][:60], "no exception")]


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest entry."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--fast", action="store_true", help="few of each")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in NAMES]:
        parser.error(f"expected names out of {', '.join(NAMES)}; received {', '.join(unknown)}")
    rows: list[tuple[str, ...]] = [("fault", "figure", "expected", "seconds", "")]
    with tempfile.TemporaryDirectory(prefix="faults.", ignore_cleanup_errors=True) as folder:
        for name in args.names or NAMES:
            print(f"{name} ...", file=sys.stderr, flush=True)
            (Path(folder) / name).mkdir()
            start = time.monotonic()
            figures = inject(name, "fast" if args.fast else "long", Path(folder) / name)
            seconds = f"{time.monotonic() - start:.0f}"
            for i, (what, figure, expected) in enumerate(figures):
                verdict = "" if holds(figure, expected) else "<-- NOT AS EXPECTED"
                rows.append((str(what), str(figure), str(expected), "" if i else seconds, verdict))
    print(table(rows))
    return int(any(row[-1] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
