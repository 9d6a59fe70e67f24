"""What all tools share: the options for a config, messages on the terminal, one clear line for a user's mistake."""

import argparse
import contextlib
import errno
import io
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ppface.core.errors import UserError
from ppface.core.files.home_folder import expand_home
from ppface.core.run import signals
from ppface.core.run.log import show_log

EXIT_CODES = """exit codes:
  0    done
  1    any other error: one line for a mistake in its use, a traceback for a bug
  2    a mistake in the config or in the options
  3    data that cannot be used
  4    a weight file or checkpoint that cannot be used
  5    losses, gradients or weights that are not finite
  6    a checkpoint that cannot be saved
  70   another process of the same training failed and reported why
  129  stopped cleanly because the terminal was closed (SIGHUP)
  130  stopped cleanly by Ctrl-C (SIGINT)
  143  stopped cleanly by SIGTERM
A second signal stops at once, with the code of that signal."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_BYTES = 1_000_000  # with fewer left, an error is taken for that of a full disk
_command = ""  # the COMMAND of `ppface COMMAND ...`, set by `run`; "" in programs of their own, such as tools/train.py


class Parser(argparse.ArgumentParser):
    """An argument parser that replaces `~` at the start of a value by the home folder, as `--out=~/faces`, which shells leave alone."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = sys.argv[2 if _command else 1 :] if args is None else args
        found, rest = super().parse_known_args(given, namespace)
        for name, value in vars(found).items():
            setattr(found, name, _expanded(value))
        return found, rest


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return type(value)(expand_home(str(value))) if isinstance(value, str | Path) else value


def same_command() -> list[str]:
    """The command line of this process, to start it once more in other processes."""
    file = ["-m", "ppface"] if Path(sys.argv[0]).name == "__main__.py" else sys.argv[:1]
    return [sys.executable, *file, *sys.argv[1:]]


def parser(description: str | None, config: bool = True) -> Parser:
    """An argument parser with `-c FILE` and repeatable `-o key=value ...`; its help ends with the exit codes of all tools."""
    prog = f"ppface {_command}" if _command else Path(sys.argv[0]).name
    made = Parser(prog=prog, description=description, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter)
    if config:
        made.add_argument("-c", "--config", help="a YAML config: a path, or a name of `ppface check --list`")
        made.add_argument(
            "-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a value: train.batch_size=16"
        )
    return made


def add_weights(parser: argparse.ArgumentParser, use: str) -> None:
    """Adds `--weights` and `--names`, the file of rules for the names of these weights.

    Args:
        parser: of a tool.
        use: what the tool does with the weights, for its help.
    """
    parser.add_argument(
        "-w", "--weights", metavar="FILE|RUN", help=f"a weight file, a checkpoint, a run, a released model or zoo:NAME, {use}"
    )
    parser.add_argument(
        "--names",
        metavar="FILE",
        help="YAML rules that translate the weight file's parameter names to the model's: a path, or a name of configs/weights",
    )


def add_run_and_out(parser: argparse.ArgumentParser) -> None:
    """Adds what tools that write a model take: a run, or a config with weights, and `--out`, the folder to create."""
    parser.add_argument("run", nargs="?", help="the folder of a run, a checkpoint or a released model, builtin or zoo:NAME")
    add_weights(parser, "for the config or instead of the run's best")
    parser.add_argument("--out", required=True, help="the folder to create; it must not exist")


def parse_run_and_out(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of `add_run_and_out`, checked; besides them `source`, the config or the run, and as `weights` a run beside a config.

    Raises:
        UserError: a folder `--out` that exists.
    """
    args = parser.parse_args()
    if not (args.run or args.config):
        parser.error("expected the folder of a run, or -c CONFIG --weights FILE")
    args.out, args.source = Path(args.out), args.config or args.run
    args.weights = args.weights or (args.run if args.config else None)
    if args.out.exists():
        raise UserError(f"{args.out}: already exists; expected the name of a new folder")
    return args


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` at the end of the block; of a block that fails nothing is left.

    Raises:
        UserError: it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise _unwritable(out, os.strerror(errno.ENOTDIR) if error.errno == errno.EEXIST else error.strerror) from None
    try:
        folder = Path(aside, out.name)
        folder.mkdir()
        yield folder
        shutil.move(folder, out)
    except UserError:
        raise
    except Exception as error:
        ours = isinstance(error, OSError) and (error.errno in FULL if error.filename is None else str(error.filename).startswith(aside))
        if ours or shutil.disk_usage(aside).free < FULL_BYTES:  # libraries report a full disk as errors of other kinds
            raise _unwritable(out, error.strerror if isinstance(error, OSError) and ours else os.strerror(errno.ENOSPC)) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unwritable(out: Path, reason: str | None) -> UserError:
    return UserError(f"{out}: cannot write it: {reason}; nothing was written: make room, or choose another folder with --out")


def run(main: Callable[[], int | None], command: str = "") -> None:
    """Runs a tool: a UserError or an OSError of a file becomes one line, a signal stops it cleanly (see ppface/core/run/signals.py),
    any other exception keeps its traceback. For the exit codes see EXIT_CODES.

    Args:
        main: parses the arguments with a parser of `parser` and returns the exit code.
        command: if it is a command of `ppface`, its name, which is then the first argument.
    """
    global _command
    _command = command
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # for file names that are not UTF-8
        signals.install_handlers()
        show_log()
        os.environ.setdefault("GLOG_minloglevel", "2")  # of Paddle's C++ code only errors; read when paddle is imported
        for warning in ("No ccache found", "When training, we now always track global mean and variance"):
            warnings.filterwarnings("ignore", message=warning)  # Paddle repeats them on every import and for every batch norm
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
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ModuleNotFoundError as error:
        if error.name != "paddle":  # what everybody has to choose and install
            raise
        print('error: this needs Paddle: pip install "ppface[cpu]", or [gpu], see README; `ppface doctor` checks it', file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return code
