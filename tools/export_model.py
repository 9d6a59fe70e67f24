"""Exports a run's model as a static Paddle model: the same as `ppface export`."""

from ppface.commands import export
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(export.main)
