"""Finds or embeds faces in a picture, a folder, a video or from a camera: the same as `ppface infer`."""

from ppface.commands import infer
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(infer.main)
