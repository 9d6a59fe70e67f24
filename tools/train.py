"""Trains a model from a config, resumes a run, or reproduces one: the same as `ppface train`."""

from ppface.commands import train
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(train.main)
