"""The log of a run: on a disk that fills up, and after a kill."""

import builtins
import json

import pytest

from ppface.core.files.atomic_write import replace_text
from ppface.engine.journal import Journal, Lines


class Disk:
    """A file on a disk with so much room left."""

    def __init__(self, handle, room):
        self.handle, self.room = handle, room

    def write(self, data):
        if not self.room:
            raise OSError(28, "No space left on device")
        count = self.handle.write(data[: self.room])
        self.room -= count
        return count

    def __getattr__(self, name):
        return getattr(self.handle, name)


def steps(file):
    return [json.loads(line)["step"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("room", [0, 3, 20])
def test_lines_wait_for_room_and_none_is_cut(tmp_path, caplog, room):
    lines = Lines(tmp_path / "log.jsonl", 0)
    assert lines.add('{"step": 1}')
    handle = lines._handle
    lines._handle = Disk(handle, room)
    assert [lines.add(f'{{"step": {step}}}') for step in (2, 3, 4)] == [room == 20, False, False]
    assert steps(tmp_path / "log.jsonl") == ([1, 2] if room == 20 else [1])
    (told,) = caplog.messages
    assert told.startswith(f"{tmp_path}/log.jsonl: cannot write the log: No space left on device")
    assert told.endswith(": training continues, log lines wait until there is room, and the curves of VisualDL end here")
    lines._handle = handle
    assert lines.add('{"step": 5}')
    lines.close()
    assert steps(tmp_path / "log.jsonl") == [1, 2, 3, 4, 5]
    assert len(caplog.messages) == 1


def test_lines_that_never_found_room_are_counted(tmp_path, caplog):
    lines = Lines(tmp_path / "log.jsonl", 0)
    handle = lines._handle
    lines._handle = Disk(handle, 0)
    for step in (1, 2):
        lines.add(f'{{"step": {step}}}')
    lines.close()
    assert caplog.messages[-1] == f"{tmp_path}/log.jsonl: 2 lines could not be written"


def test_a_resumed_log_drops_what_lies_beyond_the_checkpoint_and_what_a_kill_cut(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 2, "a')
    lines = Lines(file, 2)
    lines.add('{"step": 3}')
    lines.close()
    assert steps(file) == [1, 2, 3]


@pytest.mark.parametrize("harm", [b"\0" * 40 + b"}\n", b"\xff}\n", b"{}\n", b"[1]}\n", b'{"step": null}\n'])
def test_a_damaged_line_of_the_log_is_left_out(tmp_path, harm):
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"step": 1}\n' + harm + b'{"step": 2}\n')
    Lines(file, 5).close()
    assert steps(file) == [1, 2]


def test_a_disk_without_room_ends_no_training(tmp_path):
    journal = Journal(tmp_path, total=4, start=0, every=1, images=4)
    handle = journal._lines._handle
    for step in (1, 2, 3, 4):
        journal._lines._handle = Disk(handle, 0) if step in (2, 3) else handle
        journal.step(step, {"ce": 1.0}, 0.1, 0.0)
    journal.close()
    assert steps(tmp_path / "log.jsonl") == [1, 2, 3, 4]


def test_a_home_that_cannot_be_written_ends_no_training(tmp_path, monkeypatch, caplog):
    def imported(name, *rest, real=builtins.__import__):
        if name == "visualdl":
            raise OSError(30, "Read-only file system", "/home/ann/.visualdl")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", imported)
    journal = Journal(tmp_path, total=1, start=0, every=1, images=4)
    journal.step(1, {"ce": 1.0}, 0.1, 0.0)
    journal.close()
    assert steps(tmp_path / "log.jsonl") == [1]
    assert (
        "visualdl cannot be imported ([Errno 30] Read-only file system: '/home/ann/.visualdl'): scalars are in log.jsonl only"
        in caplog.text
    )


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "config.yml"
    replace_text(file, "one")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_text(file, "two")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]
    assert file.read_text() == "one"
