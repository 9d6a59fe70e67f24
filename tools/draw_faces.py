"""Draws synthetic pictures, scenes or portraits, as JPEG files: the same as `ppface draw`."""

from ppface.commands import draw
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(draw.main)
