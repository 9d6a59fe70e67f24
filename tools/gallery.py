"""Enrols, searches, verifies and removes people in a gallery: one encrypted file; see ppface/commands/gallery.py."""

from ppface.commands import gallery
from ppface.core.run import cli

if __name__ == "__main__":
    cli.run(gallery.main)
