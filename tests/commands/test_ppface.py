"""The command `ppface`: its overview, its commands' help, what it says of a typo, how it starts itself again, completion."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ppface
from ppface.commands import COMMANDS
from ppface.core.errors import UserError
from ppface.core.run import cli

ROOT = Path(__file__).resolve().parents[2]
MAIN = "ppface/__main__.py"
USAGE = "usage: ppface COMMAND ...\n       ppface COMMAND --help\n       ppface --version\n"


def module(command: str):
    return importlib.import_module(f"ppface.commands.{command}")


def test_every_module_of_a_command_is_listed():
    assert sorted(COMMANDS) == sorted(path.stem for path in (ROOT / "ppface" / "commands").glob("[!_]*.py"))


def test_the_overview_has_a_line_for_every_command(run_tool):
    done = run_tool(MAIN, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(USAGE)
    for command in COMMANDS:
        assert len(re.findall(rf"^  {command} +\w.{{10,60}}$", done.stdout, re.M)) == 1, command


def test_the_version_is_that_of_the_package(run_tool):
    assert run_tool(MAIN, "--version").stdout == f"ppface {ppface.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trian"], "ppface: error: there is no command 'trian'. Did you mean 'train'?\n"),
        (["walk"], "ppface: error: there is no command 'walk'. `ppface --help` lists the commands.\n"),
        ([], "ppface: error: expected a command. `ppface --help` lists the commands.\n"),
    ],
)
def test_what_is_no_command_is_named_with_the_nearest(run_tool, arguments, told):
    done = run_tool(MAIN, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", USAGE + told)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_examples_and_exit_codes(command):
    text = module(command).options().format_help()
    assert f"\nppface {command}" in text
    assert cli.EXIT_CODES in text


def test_arguments_behind_the_command_are_its_own(run_tool, tmp_path):
    done = run_tool(MAIN, "draw", "--out", tmp_path, "--count", 1, "--size", 32, 32)
    assert (done.returncode, done.stdout) == (0, f"1 pictures in {tmp_path}\n")
    done = run_tool(MAIN, "draw")
    assert done.returncode == 2
    assert done.stderr.endswith("ppface draw: error: the following arguments are required: --out\n")


def test_a_mistake_has_the_exit_code_of_the_tools(run_tool, tmp_path):
    for program in ([MAIN, "train"], ["tools/train.py"]):
        done = run_tool(*program, "-c", tmp_path / "gone.yml")
        assert (done.returncode, done.stderr) == (2, f"error: {tmp_path}/gone.yml: cannot read this config: No such file or directory\n")


@pytest.mark.parametrize(
    ("given", "again"),
    [
        (["/bin/ppface", "train", "-c", "a.yml"], ["/bin/ppface", "train", "-c", "a.yml"]),
        (["/lib/ppface/__main__.py", "train"], ["-m", "ppface", "train"]),
        (["tools/train.py", "-c", "a.yml"], ["tools/train.py", "-c", "a.yml"]),
    ],
)
def test_a_training_starts_its_processes_by_its_own_command_line(monkeypatch, given, again):
    monkeypatch.setattr(sys, "argv", given)
    assert cli.same_command() == [sys.executable, *again]


def test_the_help_of_train_imports_little():
    command = [sys.executable, "-X", "importtime", "-m", "ppface", "train", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("usage: ppface train [-h]")
    assert not re.search(r"\| +(paddle|numpy|cv2|yaml)\b", done.stderr)


def test_every_tool_calls_a_command():
    called = [re.findall(r"^from ppface.commands import (\w+)", path.read_text(), re.M) for path in (ROOT / "tools").glob("*.py")]
    assert all(len(one) == 1 and one[0] in COMMANDS for one in called)
    assert len(called) == 14


def test_bash_completes_commands_options_and_files(run_tool, tmp_path):
    pytest.importorskip("shtab", reason="shtab is not installed: completion is not checked")
    done = run_tool(MAIN, "completion", "bash")
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "ppface.bash").write_text(done.stdout)
    (tmp_path / "mine.yml").touch()
    ask = f"cd {tmp_path}; source ppface.bash\n"
    for words in ("ppface tra", "ppface train --re", "ppface train -c mi"):
        ask += f'COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_ppface; echo "${{COMPREPLY[@]}}"\n'
    answers = subprocess.run(["bash", "-c", ask], capture_output=True, text=True).stdout.splitlines()
    assert answers == ["train", "--resume --reproduce", "mine.yml"]


def test_completion_without_shtab_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    monkeypatch.setattr(sys, "argv", ["completion", "bash"])
    with pytest.raises(UserError, match="expected the package shtab, which writes the script: pip install shtab"):
        module("completion").main()
