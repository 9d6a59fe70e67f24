"""Draws the face meshes of a detector with a dense regression branch: the same as `ppface meshes`."""

from ppface.commands import meshes
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(meshes.main)
