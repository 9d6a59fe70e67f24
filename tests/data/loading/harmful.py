"""Data sets that harm the process which reads them, each in its way, at one sample."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture


class Plain:
    """Sixteen pictures of one value each."""

    def __len__(self):
        return 16

    def name(self, i):
        return f"pixel-{i}"

    def __getitem__(self, i):
        return {"picture": Picture.of(np.full((2, 2, 3), i * 15, "uint8"), self.name(i)), "label": i}


class Harmful(Plain):
    """Does something else at sample 5, and where it is made in a worker."""

    def __getitem__(self, i):
        if i == 5:
            self.harm()
        return super().__getitem__(i)

    def harm(self):
        raise NotImplementedError


class Kills(Harmful):
    def __init__(self, number):
        self.number = number

    def harm(self):
        os.kill(os.getpid(), self.number)


class Exits(Harmful):
    def __init__(self, code):
        self.code = code

    def harm(self):
        os._exit(self.code)


class Hangs(Harmful):
    def harm(self):
        time.sleep(3600)


class Slow(Plain):
    """A sample takes a moment, and says in a file of its own that it was read."""

    def __init__(self, folder, seconds=0.02):
        self.folder, self.seconds = Path(folder), seconds

    def __getitem__(self, i):
        time.sleep(self.seconds)
        (self.folder / str(os.getpid())).touch()
        return super().__getitem__(i)


class Stumbles(Harmful):
    def harm(self):
        return {}["gt_boxes"]


class Fails(Harmful):
    def harm(self):
        raise OSError(5, "Input/output error", "/far/x.jpg")


class Torn(Harmful):
    def harm(self):
        raise DataError("pixel-5: broken picture: torn")


class AllTorn(Plain):
    def __getitem__(self, i):
        raise DataError(f"pixel-{i}: broken picture: torn")


class StuckError(Exception):
    """Pickles, but does not come back."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Sticks(Harmful):
    def harm(self):
        raise StuckError(1, 2)


class NotHere(Plain):
    """Lacks a library in the worker."""

    def __setstate__(self, state):
        import no_such_library  # noqa: F401

    def __getstate__(self):
        return {"x": 1}


class DeadOnArrival(NotHere):
    def __setstate__(self, state):
        os.kill(os.getpid(), signal.SIGKILL)


class Sleeps(NotHere):
    def __setstate__(self, state):
        time.sleep(3600)


class Local(Plain):
    """Cannot be handed to another process."""

    def __init__(self):
        self.key = lambda i: i
