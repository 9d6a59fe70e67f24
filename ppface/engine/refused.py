"""What becomes of the folder of a new run that is refused before its first step is done."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ppface.core.config.run_config import CHECKPOINTS, CONFIG
from ppface.engine.class_examples import EXAMPLES
from ppface.engine.classes import CLASSES
from ppface.engine.journal import CURVES, LINES
from ppface.engine.provenance import ENVIRONMENT
from ppface.engine.world import World

BROKEN_FILE = "broken.txt"  # in a run's folder: every sample that could not be read, with the reason


@contextlib.contextmanager
def removed_if_refused(folder: Path, world: World, existed: bool = False, began: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Removes what a new run has written into its folder if it is refused within this block before its first step is done, so that the
    same name can be used again. A folder with a checkpoint stays as it is, and so does what the run has not written.

    Args:
        folder: the run's; it was empty or did not exist.
        world: this process among the others; the first removes.
        existed: whether the folder existed before; it is then emptied, but not removed.
        began: whether the first step is done.
    """
    try:
        yield
    except BaseException:
        if world.rank == 0 and not began() and not any((folder / CHECKPOINTS).glob("*")):
            for name in (CONFIG, ENVIRONMENT, CLASSES, EXAMPLES, LINES, BROKEN_FILE):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / CURVES, ignore_errors=True)
            with contextlib.suppress(OSError):  # not there, or not empty
                (folder / CHECKPOINTS).rmdir()
            with contextlib.suppress(OSError):
                if not existed:
                    folder.rmdir()
        raise
