"""Converts identities between a folder of people, a list and a RecordIO file: the same as `ppface convert`."""

from ppface.commands import convert
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(convert.main)
