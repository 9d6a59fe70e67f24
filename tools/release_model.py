"""Writes a run's model as two files to hand on: the same as `ppface release`."""

from ppface.commands import release
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(release.main)
