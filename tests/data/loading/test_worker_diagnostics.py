"""Hints at low memory and shared memory, only if they are low."""

import os
from types import SimpleNamespace

import pytest

from ppface.data.loading import worker_diagnostics

MB = 1 << 20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Sets the numbers of a machine; one without shortages at first."""

    def has(kills=3, total=16000, available=9000, shm=8000, room=7900):
        (tmp_path / "vmstat").write_text(f"pgfault 1\noom_kill {kills}\n")
        (tmp_path / "meminfo").write_text(f"MemTotal: {total * 1024} kB\nMemFree: 5 kB\nMemAvailable: {available * 1024} kB\n")
        monkeypatch.setattr(
            os, "statvfs", lambda path: SimpleNamespace(f_frsize=4096, f_blocks=shm * MB // 4096, f_bavail=room * MB // 4096)
        )

    monkeypatch.setattr(worker_diagnostics, "PROC", tmp_path)
    has()
    return has


@pytest.mark.parametrize(
    ("numbers", "hint"),
    [
        ({"kills": 4}, "the system has since killed a process because it ran out of memory"),
        ({"available": 700}, "memory is low: 700 of 16000 MB are free"),
        ({"shm": 64, "room": 63}, "/dev/shm is small: 63 of 64 MB are free (docker run --shm-size=1g gives more)"),
        ({"room": 12}, "/dev/shm is small: 12 of 8000 MB are free (docker run --shm-size=1g gives more)"),
    ],
)
def test_resources_that_are_low_are_reported(machine, numbers, hint):
    before = worker_diagnostics.ResourceMonitor()
    assert before.hints() == []
    machine(**numbers)
    assert before.hints() == [hint]


def test_a_machine_that_reports_nothing_lacks_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(worker_diagnostics, "PROC", tmp_path)
    monkeypatch.setattr(worker_diagnostics, "SHM", str(tmp_path / "none"))
    assert worker_diagnostics.ResourceMonitor().hints() == []
