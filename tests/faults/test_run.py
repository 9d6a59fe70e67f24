"""The runner of the faults: comparison of figures with what is expected, printed table and exit code."""

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
    """A folder of three faults: one passes, one has a failing figure, one raises."""
    (tmp_path / "kills.py").write_text("def run(counts, folder): return [(f'kills, {counts}', '3 of 3', 'all'), ('lost', '1', '0')]\n")
    (tmp_path / "disks.py").write_text("def run(counts, folder): folder.joinpath('x').mkdir(); return [('disks', '2', 'under 3')]\n")
    (tmp_path / "signals.py").write_text("def run(counts, folder): raise OSError('torn')\n")
    monkeypatch.setattr(runner, "HERE", tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name in ("kills", "disks", "signals"):  # restores the real modules afterwards, if they are loaded
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    return runner


def test_one_table_shows_the_results(faults, capsys):
    assert faults.main(["disks", "--fast"]) == 0
    assert faults.main(["disks", "kills", "--fast"]) == 1
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert lines[0].split() == ["fault", "figure", "expected", "seconds"]
    assert [line.split() for line in lines[2:]] == [
        ["disks", "2", "under", "3", "0"],
        ["kills,", "fast", "3", "of", "3", "all", "0"],
        ["lost", "1", "0", "<--", "NOT", "AS", "EXPECTED"],
    ]


def test_a_missing_or_raising_fault_fails(faults, capsys):
    assert faults.main(["pickles", "signals"]) == 1
    printed = capsys.readouterr()
    assert "pickles  module missing" in printed.out
    assert "signals  OSError: torn" in printed.out
    assert "Traceback" in printed.err


def test_a_name_that_is_no_fault_is_refused(runner, capsys):
    with pytest.raises(SystemExit):
        runner.main(["kill"])
    assert (
        "expected names out of pickles, pictures, workers, checkpoints, kills, disks, signals, resumes, galleries, uploads; received kill"
        in capsys.readouterr().err
    )
