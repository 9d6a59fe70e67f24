"""Prints a script with which the shell completes commands, options and file names of ppface.

ppface completion bash > ~/.local/share/bash-completion/completions/ppface      # read by the next shell
ppface completion zsh > ~/.zfunc/_ppface                                        # a folder of $fpath, before compinit
"""

import argparse
import importlib
from pathlib import Path

from ppface.commands import COMMANDS, GROUPS
from ppface.core.errors import UserError
from ppface.core.run import cli


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell that reads the script")
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """One parser with the options of all commands; values that can be paths are marked for shtab."""
    import shtab

    whole = argparse.ArgumentParser("ppface")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(title="commands")
    purposes = {command: purpose for group in GROUPS.values() for command, purpose in group.items()}
    for command in COMMANDS:
        given = importlib.import_module(f"ppface.commands.{command}").options()
        for action in given._actions:
            if action.nargs != 0 and action.choices is None and action.type in (None, Path) and action.dest != "override":
                action.complete = shtab.FILE
        commands.add_parser(command, parents=[given], add_help=False, help=purposes[command])
    return whole


def main() -> int:
    args = options().parse_args()
    try:
        import shtab
    except ImportError:
        raise UserError("expected the package shtab, which writes the script: pip install shtab") from None
    print(shtab.complete(whole_parser(), args.shell))
    return 0
