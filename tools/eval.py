"""Evaluates a run, an export or a config with weights, prints one table and writes it as JSON: the same as `ppface eval`."""

from ppface.commands import eval as evaluate
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(evaluate.main)
