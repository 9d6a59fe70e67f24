"""Writes the embeddings of a folder's or a list's aligned faces: the same as `ppface extract`."""

from ppface.commands import extract
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(extract.main)
