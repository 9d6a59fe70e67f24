"""What every tool does alike: the options for a config, messages on the terminal, one clear line for a user's mistake."""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable

from ppface.core import stop
from ppface.core.errors import UserError
from ppface.core.log import show_log


def parser(description: str, config: bool = True) -> argparse.ArgumentParser:
    """An argument parser with `-c FILE` and repeatable `-o key=value ...`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if config:
        made.add_argument("-c", "--config", help="a YAML config")
        made.add_argument(
            "-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a value: train.batch_size=16"
        )
    return made


def run(main: Callable[[], int | None]) -> None:
    """Runs a tool: a UserError or a file that the system refuses becomes one line, a signal ends it in order (see ppface/core/stop.py),
    the rest keeps its traceback."""
    show_log()
    stop.listen()
    for chatter in ("No ccache found", "When training, we now always track global mean and variance"):
        warnings.filterwarnings("ignore", message=chatter)  # Paddle says so on every import and of every batch norm
    code: int | None = 1
    try:
        code = main()
        sys.stdout.flush()
    except UserError as error:
        with contextlib.suppress(BrokenPipeError):
            print(f"error: {error}", file=sys.stderr, flush=True)
        code = error.exit_code
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
    except stop.Stopped as stopped:
        print(stopped, file=sys.stderr)
        code = stopped.exit_code
    sys.exit(code or 0)
