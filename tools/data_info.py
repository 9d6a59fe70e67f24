"""Reports the statistics of a set of identities as text, JSON and a plot: the same as `ppface data`."""

from ppface.commands import data
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(data.main)
