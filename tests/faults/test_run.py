"""The runner of the faults: when a figure is what was expected, and what it says and returns when one is not."""

import sys

import pytest


@pytest.mark.parametrize(
    ("figure", "expected", "good"),
    [
        ("1000 of 1000", "all", True),
        ("200 of 200 (61 during a save)", "all, to the bit", True),
        ("999 of 1000", "all", False),
        ("0 of 0", "all", False),
        ("many", "all", False),
        ("0", "0", True),
        (0, "0", True),
        ("1", "0", False),
        ("10", "1", False),
        ("212 MB", "under 300 MB", True),
        ("300 MB", "under 300 MB", False),
        ("3 steps", "at most 3", True),
        ("4 steps", "at most 3", False),
        ("25", "at least 24", True),
        ("none", "at most 3", False),
    ],
)
def test_a_figure_is_compared_with_what_is_expected(runner, figure, expected, good):
    assert runner.holds(figure, expected) is good


@pytest.fixture
def faults(runner, tmp_path, monkeypatch):
    """A folder of two faults, one of which shows something."""
    (tmp_path / "kills.py").write_text("def run(counts, folder): return [(f'kills, {counts}', '3 of 3', 'all'), ('lost', '1', '0')]\n")
    (tmp_path / "disks.py").write_text("def run(counts, folder): folder.joinpath('x').mkdir(); return [('disks', '2', 'under 3')]\n")
    (tmp_path / "signals.py").write_text("def run(counts, folder): raise OSError('torn')\n")
    monkeypatch.setattr(runner, "HERE", tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name in ("kills", "disks", "signals"):  # the real ones, if another test of this process has loaded them, come back afterwards
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    return runner


def test_one_table_tells_what_came_of_it(faults, capsys):
    assert faults.main(["disks", "--fast"]) == 0
    assert faults.main(["disks", "kills", "--fast"]) == 1
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert lines[0].split() == ["fault", "figure", "expected", "seconds"]
    assert [line.split() for line in lines[2:]] == [
        ["disks", "2", "under", "3", "0"],
        ["kills,", "fast", "3", "of", "3", "all", "0"],
        ["lost", "1", "0", "<--", "NOT", "AS", "EXPECTED"],
    ]


def test_a_fault_that_is_not_there_or_breaks_down_is_not_passed_over(faults, capsys):
    assert faults.main(["pickles", "signals"]) == 1
    told = capsys.readouterr()
    assert "pickles: the fault itself  is not here" in told.out
    assert "signals: the fault itself  OSError: torn" in told.out
    assert "Traceback" in told.err


def test_a_name_that_is_no_fault_is_refused(runner, capsys):
    with pytest.raises(SystemExit):
        runner.main(["kill"])
    assert (
        "expected names of pickles, pictures, workers, checkpoints, kills, disks, signals, resumes; received kill"
        in capsys.readouterr().err
    )
