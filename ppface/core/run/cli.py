"""What every tool does alike: the options for a config, messages on the terminal, one clear line for a user's mistake."""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable

from ppface.core.errors import UserError
from ppface.core.run import signals
from ppface.core.run.log import show_log

EXIT_CODES = """exit codes:
  0    done
  1    a mistake that one line tells, or a fault of the program with its traceback
  2    a mistake in the config or in the options
  3    data that cannot be used
  4    a weight file or checkpoint that cannot be used
  5    losses, gradients or weights that are not finite
  6    a checkpoint that cannot be saved
  70   another process of the same training failed, and told why
  129  stopped in order because the terminal was closed (SIGHUP)
  130  stopped in order by Ctrl-C (SIGINT)
  143  stopped in order by SIGTERM
A second signal stops at once, with the code of that signal."""


def parser(description: str, config: bool = True) -> argparse.ArgumentParser:
    """An argument parser with `-c FILE` and repeatable `-o key=value ...`; its help ends with the exit codes of all tools."""
    made = argparse.ArgumentParser(description=description, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    if config:
        made.add_argument("-c", "--config", help="a YAML config")
        made.add_argument(
            "-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a value: train.batch_size=16"
        )
    return made


def run(main: Callable[[], int | None]) -> None:
    """Runs a tool: a UserError or a file that the system refuses becomes one line, a signal ends it in order (see
    ppface/core/run/signals.py), the rest keeps its traceback. EXIT_CODES are the codes."""
    try:
        signals.install_handlers()
        show_log()
        for chatter in ("No ccache found", "When training, we now always track global mean and variance"):
            warnings.filterwarnings("ignore", message=chatter)  # Paddle says so on every import and of every batch norm
        code = _run(main)
        signals.finish()
    except signals.Stopped as stopped:
        print(stopped, file=sys.stderr)
        code = stopped.exit_code
    sys.exit(code)


def _run(main: Callable[[], int | None]) -> int:
    try:
        code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        with contextlib.suppress(BrokenPipeError):
            print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return code
