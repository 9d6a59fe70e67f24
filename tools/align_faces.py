"""Aligns a folder of faces by a file of landmarks, for recognition: the same as `ppface align`."""

from ppface.commands import align
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(align.main)
