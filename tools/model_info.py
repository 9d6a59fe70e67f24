"""Prints the parameters and multiply-adds of a config's model, for each of its parts, at its input size: the same as `ppface info`."""

from ppface.commands import info
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(info.main)
