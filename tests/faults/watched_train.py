"""tools/train.py with a data set that records the sample each process reads, in a file per process in `read` next to the run's folder."""

import os
import sys
from pathlib import Path

from ppface.commands import train
from ppface.core.run import cli
from ppface.data.synthetic.synthetic_faces import SyntheticFaces

_draw = SyntheticFaces.__getitem__
_files: dict[int, int] = {}
READ = Path(sys.argv[sys.argv.index("--folder") + 1]).parent / "read"


def _write_and_draw(self, index: int):
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(READ / str(pid), os.O_CREAT | os.O_WRONLY)
    os.pwrite(_files[pid], b"%8d" % index, 0)
    return _draw(self, index)


SyntheticFaces.__getitem__ = _write_and_draw  # at import, as reading workers import this file too

if __name__ == "__main__":
    cli.run(train.main)  # which starts data-parallel processes from this file too
