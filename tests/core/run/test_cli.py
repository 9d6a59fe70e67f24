"""The options that all tools share."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from ppface.core.errors import UserError
from ppface.core.run import cli


def test_options_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    parser = cli.parser("a tool")
    parser.add_argument("model")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compare", nargs=2)
    parser.add_argument("--count", type=int, default=3)
    arguments = ["~/run", "-c", "~/a.yml", "--out=~/found", "--compare", "~/a.jpg", "b~.jpg", "-o", "output=~/runs"]
    args = parser.parse_args(arguments)
    assert (args.model, args.config, args.out) == (f"{tmp_path}/run", f"{tmp_path}/a.yml", tmp_path / "found")
    assert (args.compare, args.count) == ([f"{tmp_path}/a.jpg", "b~.jpg"], 3)
    assert args.override == ["output=~/runs"]  # load_config expands it


def test_a_new_folder_appears_when_it_is_complete(tmp_path):
    out = tmp_path / "deep" / "out"
    with cli.new_folder(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
    assert [file.name for file in out.parent.iterdir()] == ["out"] and (out / "a").read_text() == "a"


NO_ROOM = "cannot write it: No space left on device; nothing was written: make room, or choose another folder with --out"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("iostream error")])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, error):
    if isinstance(error, RuntimeError):  # a library's
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    with pytest.raises(UserError) as caught, cli.new_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("half")
        raise error
    assert str(caught.value) == f"{tmp_path}/out: {NO_ROOM}"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file/out: cannot write it: Not a directory; nothing was written"),
        cli.new_folder(tmp_path / "file/out"),
    ):
        raise AssertionError

    def refuse(*given, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "odd")

    monkeypatch.setattr(cli.tempfile, "mkdtemp", refuse)
    with (
        pytest.raises(UserError, match=r"out: cannot write it: Read-only file system; nothing was written"),
        cli.new_folder(tmp_path / "out"),
    ):
        raise AssertionError


@pytest.mark.parametrize("error", [RuntimeError("a bug"), FileNotFoundError(errno.ENOENT, "No such file", "input"), UserError("refused")])
def test_other_errors_of_the_block_are_unchanged_and_leave_nothing(tmp_path, error):
    with pytest.raises(type(error)) as caught, cli.new_folder(tmp_path / "out") as folder:
        (folder / "half").touch()
        raise error
    assert caught.value is error and list(tmp_path.iterdir()) == []


def test_a_model_needs_a_run_or_a_config_and_a_new_folder(tmp_path, monkeypatch, capsys):
    def parsed(*given):
        parser = cli.parser("a tool")
        cli.add_run_and_out(parser)
        monkeypatch.setattr(cli.sys, "argv", ["tool", *map(str, given)])
        return cli.parse_run_and_out(parser)

    new = tmp_path / "new"
    found = parsed("a/run", "-c", "a.yml", "--out", new)
    assert (found.source, found.weights, found.out) == ("a.yml", "a/run", new)
    assert (parsed("a/run", "--out", new).source, parsed("a/run", "--out", new).weights) == ("a/run", None)
    assert parsed("-c", "a.yml", "-w", "b", "--out", new).weights == "b"
    with pytest.raises(UserError, match=f"{tmp_path}: already exists; expected the name of a new folder"):
        parsed("a/run", "--out", tmp_path)
    with pytest.raises(SystemExit):
        parsed("--out", new)
    assert "expected the folder of a run, or -c CONFIG --weights FILE" in capsys.readouterr().err


def test_a_missing_paddle_is_one_line_and_any_other_module_a_bug(capsys):
    def needs(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    assert cli._run(lambda: needs("paddle")) == 1
    told = 'error: this needs Paddle: pip install "ppface[cpu]", or [gpu], see README; `ppface doctor` checks it\n'
    assert capsys.readouterr().err == told
    with pytest.raises(ModuleNotFoundError):
        cli._run(lambda: needs("paddle.nothing"))
