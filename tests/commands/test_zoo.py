"""ppface zoo: its list, an entry, and when it asks whether a licence is accepted."""

import sys
from dataclasses import replace

import pytest
import yaml

from ppface.commands import zoo as command
from ppface.core.errors import UserError, WeightsError
from ppface.core.files import zoo

STRICT = "zoo:strict: for research alone: to accept this and download it: ppface zoo get strict --accept-licence"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PPFACE_HOME", str(tmp_path))

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        assert command.main() == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def strict(monkeypatch, tmp_path):
    """An entry whose licence allows no commercial use; downloads write a byte."""
    monkeypatch.setenv("PPFACE_HOME", str(tmp_path))
    entry = replace(zoo.find("zoo:blazeface_1000e"), name="strict", licence="for research alone", commercial=False)
    monkeypatch.setattr(zoo, "download", lambda address, target, size, trusted: target.write_bytes(b"1"))
    return entry


def ask(monkeypatch, entry, answer: str) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer if "for research alone" in question else "")
    command.download(entry, False)


def test_the_list_has_a_line_for_each_entry(run, tmp_path):
    lines = run("list").splitlines()
    assert [line.split()[0] for line in lines] == zoo.entries()
    by_name = {line.split()[0]: line[26:] for line in lines}
    assert by_name["mobilefacenet_arcface"].startswith("-          4.2 MB  MobileFaceNet of bubbliiiing")
    assert by_name["insightface_r50_ms1mv3"].startswith("by hand         ?  ArcFace of InsightFace")
    assert by_name["insightface_r50_ms1mv3"].endswith("(no commercial use)")
    zoo.find("zoo:blazeface_1000e").path.parent.mkdir(parents=True)
    zoo.find("zoo:blazeface_1000e").path.touch()
    assert f"{'blazeface_1000e':<26}here " in run("list")


def test_a_folder_that_cannot_be_read_holds_nothing(run, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(zoo.Path, "is_file", refuse)
    assert f"{'mobilefacenet_arcface':<26}- " in run("list")


def test_an_entry_is_shown_as_yaml(run, tmp_path):
    shown = yaml.safe_load(run("show", "zoo:facenet_casia"))
    assert shown["sha256"] == "pinned at the first download"
    assert shown["kept_at"] == f"{tmp_path}/zoo/facenet_casia/20180408-102900-casia-webface.pt"
    assert shown["names"] == "facenet_pytorch"


def test_a_licence_is_asked_for_in_a_terminal_once(strict, monkeypatch, capsys):
    with pytest.raises(UserError, match=r"^zoo:strict: not downloaded: its licence was not accepted$"):
        ask(monkeypatch, strict, "no")
    ask(monkeypatch, strict, "Yes")
    assert capsys.readouterr().out == f"{strict.path}\n"
    ask(monkeypatch, strict, "no")  # it is there, and not asked for again
    assert capsys.readouterr().out == f"{strict.path}\n"
    strict.path.unlink()
    ask(monkeypatch, strict, "no")  # accepted before
    assert capsys.readouterr().out == f"{strict.path}\n"


def test_the_end_of_the_input_accepts_no_licence(strict, monkeypatch):
    def end(question):
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", end)
    with pytest.raises(UserError, match="its licence was not accepted"):
        command.download(strict, False)
    monkeypatch.setattr(sys, "stdin", None)  # closed, `<&-`
    with pytest.raises(WeightsError, match="ppface zoo get strict --accept-licence"):
        command.download(strict, False)


def test_without_a_terminal_the_option_is_named(strict, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(WeightsError) as caught:
        command.download(strict, False)
    assert str(caught.value) == STRICT
    command.download(strict, True)
    assert strict.path.read_bytes() == b"1"


@pytest.mark.parametrize("arguments", [["list", "x"], ["show"], ["get"], ["walk"]])
def test_wrong_arguments_are_refused(run, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage: " in capsys.readouterr().err
