"""Prints the resolved config with the origin of each value, or all of its mistakes (exit code 2): the same as `ppface check`."""

from ppface.commands import check
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(check.main)
