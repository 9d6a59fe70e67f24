"""Runs the fast part of a fault as a test: every figure must be as expected."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def runner():
    """tests/faults/run.py as a module."""
    spec = importlib.util.spec_from_file_location("faults_run", Path(__file__).with_name("run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def inject(runner, tmp_path):
    """Runs the fast part of the fault with this name, checks its rows and returns them."""

    def run(name: str) -> list[tuple[str, str, str]]:
        rows = runner.inject(name, "fast", tmp_path)
        assert rows
        assert not [row for row in rows if not runner.holds(*row[1:])]
        return rows

    return run
