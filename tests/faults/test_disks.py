"""A few full disks for a real run, and a read-only disk."""

import subprocess
import sys

import pytest


def test_a_full_disk_harms_no_checkpoint(inject):
    assert len(inject("disks")) == 3


def test_a_disk_that_is_read_only_is_one_line(tmp_path):
    script = (
        "import sys; from pathlib import Path; from ppface.core.files.checkpoint_folder import CheckpointFolder\n"
        "try: CheckpointFolder(Path(sys.argv[1])).save({}, {'step': 1}, best=False)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    mount = 'mount -t tmpfs -o ro faults "$2" && exec "$0" -c "$1" "$2"'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount, sys.executable, script, tmp_path], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    message = f"{tmp_path}/step_00000001: cannot save this checkpoint: Read-only file system; earlier checkpoints are untouched"
    assert done.stdout.strip() == f"SaveError {message}"
