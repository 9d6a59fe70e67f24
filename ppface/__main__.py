"""The command `ppface`, also `python -m ppface`: finds the module of a command in ppface/commands and runs it."""

import importlib
import sys

import ppface
from ppface.commands import COMMANDS, GROUPS
from ppface.core.registry import nearest
from ppface.core.run import cli

USAGE = "usage: ppface COMMAND ...\n       ppface COMMAND --help\n       ppface --version"


def overview() -> str:
    """The help of `ppface` itself: every command in its group, in one line each."""
    groups = (
        f"{name}:\n" + "\n".join(f"  {command:<12}{purpose}" for command, purpose in commands.items()) for name, commands in GROUPS.items()
    )
    first = "first steps:\n  ppface train -c quickstart/detection\n  ppface infer builtin --input photo.jpg --output found"
    return "\n\n".join([USAGE, str(ppface.__doc__).split("\n")[0], *groups, first])


def main() -> None:
    """Runs `ppface COMMAND ...`; the command's module is imported only then, so that its help is there at once."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in COMMANDS:
        cli.run(lambda: importlib.import_module(f"ppface.commands.{command}").main(), command)
    elif command in ("-h", "--help", "help"):
        cli.run(lambda: print(overview()))
    elif command in ("-V", "--version"):
        cli.run(lambda: print(f"ppface {ppface.__version__}"))
    else:
        meant = nearest(command, COMMANDS)
        advice = f"Did you mean '{meant}'?" if meant else "`ppface --help` lists the commands."
        received = f"there is no command '{command}'" if command else "expected a command"
        print(f"{USAGE}\nppface: error: {received}. {advice}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
