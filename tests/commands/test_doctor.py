"""ppface doctor: what it says of this machine, and of machines on which something is broken."""

import errno
import json
import subprocess
import sys
from collections import namedtuple

import pytest

from ppface.commands import doctor
from ppface.commands.doctor import Finding

NVIDIA = "/dev/nvidia0"


def done(code: int, stdout: str = "", stderr: str = "") -> subprocess.CompletedProcess:
    return subprocess.CompletedProcess(["python"], code, stdout, stderr)


@pytest.fixture
def paddle_says(monkeypatch):
    def say(*result):
        monkeypatch.setattr(doctor.subprocess, "run", lambda *command, **options: done(*result))
        return doctor.paddle()

    return say


def about(**changes) -> str:
    return json.dumps({"version": "3.3.1", "cuda": False, "gpus": 0, "onednn": True} | changes)


def test_its_report_has_a_line_for_each_check(run_tool, tmp_path):
    done = run_tool("ppface/__main__.py", "doctor")
    assert "Traceback" not in done.stdout + done.stderr
    lines = {line[6:16].strip(): line[16:] for line in done.stdout.splitlines()}
    assert {"ppface", "python", "machine", "paddle", "onednn", "numba", "threads", "memory", "cache", "output", "fonts"} <= lines.keys()
    assert "computes on" in lines["paddle"]
    assert done.returncode == ("WRONG" in done.stdout)


def test_json_holds_the_findings(monkeypatch, capsys):
    found = [Finding("paddle", "not installed", True, "pip install it"), Finding("numba", "0.6")]
    monkeypatch.setattr(doctor, "examine", lambda: found)
    monkeypatch.setattr(sys, "argv", ["doctor", "--json"])
    assert doctor.main() == 1
    wrong, right = json.loads(capsys.readouterr().out)
    assert wrong == {"name": "paddle", "value": "not installed", "wrong": True, "advice": "pip install it"}
    assert right == {"name": "numba", "value": "0.6", "wrong": False, "advice": ""}
    monkeypatch.setattr(sys, "argv", ["doctor"])
    doctor.main()
    assert capsys.readouterr().out == "WRONG paddle    not installed\n                pip install it\nok    numba     0.6\n"


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def fonts():
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "CHECKS", [fonts])
    assert doctor.examine() == [Finding("fonts", "cannot be checked: RuntimeError: no such thing", True, "report this with --json")]


@pytest.mark.parametrize(
    ("result", "finding"),
    [
        ((0, f"noise\n{about()}\n"), Finding("paddle", "3.3.1, computes on CPU")),
        ((0, about(gpus=2, cuda=True)), Finding("paddle", "3.3.1, computes on 2 GPUs")),
        (
            (1, "", "Traceback ...\nModuleNotFoundError: No module named 'paddle'\n"),
            Finding("paddle", "not installed", True, 'pip install "ppface[cpu]", or [gpu], see README'),
        ),
        (
            (1, "", "Traceback ...\nImportError: libgomp.so.1: cannot open shared object file: No such file or directory\n"),
            Finding(
                "paddle",
                "cannot be used: ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
                True,
                "install the system's package with libgomp.so.1",
            ),
        ),
        ((1, "", ""), Finding("paddle", "cannot be used: no message", True, "install paddlepaddle again")),
        (
            (-4, "", ""),
            Finding(
                "paddle",
                "its process was ended by SIGILL: this processor lacks instructions that Paddle needs (AVX)",
                True,
                "install another version of paddlepaddle",
            ),
        ),
    ],
)
def test_a_broken_paddle_is_a_finding(paddle_says, result, finding):
    assert paddle_says(*result)[0] == finding


def test_paddle_that_hangs_is_a_finding(monkeypatch):
    def hang(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert doctor.paddle() == [
        Finding("paddle", "does not start within 120 s", True, "run python -c 'import paddle' to see where it hangs")
    ]


def test_an_unused_gpu_and_a_paddle_without_onednn_are_notes(paddle_says, monkeypatch):
    monkeypatch.setattr(doctor.Path, "exists", lambda self: str(self) == NVIDIA)
    found = paddle_says(0, about(onednn=False))
    assert [(one.name, one.wrong) for one in found] == [("paddle", False), ("device", False), ("onednn", False)]
    assert found[1].advice.startswith("pip uninstall paddlepaddle, then")
    assert found[2].advice.startswith("exported models run about five times slower")


def test_missing_packages_and_a_pair_that_overwrites_itself_are_found(monkeypatch):
    versions = {"numpy": "2.0", "paddlepaddle": "3.3", "paddlepaddle-gpu": "3.3", "openvino": "2026.4", "onnx": "1.17"}
    monkeypatch.setattr(doctor, "_version", versions.get)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["numpy>=1.26", "opencv-python-headless>=4.8", 'numba; extra == "cpu"'])
    assert doctor.packages() == [
        Finding("packages", "numpy 2.0"),
        Finding("export", "onnx 1.17, openvino 2026.4"),
        Finding("packages", "opencv-python-headless not installed", True, "pip install opencv-python-headless"),
        Finding(
            "packages",
            "both paddlepaddle and paddlepaddle-gpu are installed",
            True,
            "they overwrite each other's files: pip uninstall paddlepaddle paddlepaddle-gpu, then install one of them",
        ),
    ]


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (
            ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
            Finding(
                "cv2",
                "cannot be imported: libGL.so.1: cannot open shared object file: No such file or directory",
                True,
                "install the system's package with libGL.so.1",
            ),
        ),
        (
            RuntimeError("compiled against another numpy"),
            Finding("cv2", "cannot be imported: compiled against another numpy", True, "install cv2's package again"),
        ),
        (
            PermissionError(13, "Permission denied", "/root/.visualdl"),
            Finding(
                "cv2",
                "cannot be imported: [Errno 13] Permission denied: '/root/.visualdl'",
                True,
                "set HOME to a folder that you can write to",
            ),
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/root/.visualdl"),
            Finding(
                "cv2",
                f"cannot be imported: [Errno {errno.EROFS}] Read-only file system: '/root/.visualdl'",
                True,
                "set HOME to a folder that you can write to",
            ),
        ),
        (
            ModuleNotFoundError("No module named 'x'", name="x"),
            Finding("cv2", "cannot be imported: No module named 'x'", True, "pip install x"),
        ),
    ],
)
def test_a_package_that_cannot_be_imported_is_a_finding(monkeypatch, error, finding):
    def fail(name):
        raise error

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    assert doctor._import("cv2") == [finding]


def test_a_limit_of_the_container_is_a_note(monkeypatch):
    monkeypatch.setattr(doctor, "cores", lambda: 8)
    monkeypatch.setattr(doctor, "_text", {"/sys/fs/cgroup/cpu.max": "150000 100000\n"}.get)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    value = "8 cores, OMP_NUM_THREADS 8; this container may use 1.5 of them"
    assert doctor.threads() == [Finding("threads", value, False, "set OMP_NUM_THREADS=1, and processes=1 in configs")]


def test_folders_without_write_access_or_space_are_wrong(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    found = doctor._folder("cache", tmp_path / "file" / "cache", "set PPFACE_HOME")
    assert (found.wrong, found.advice) == (True, "set PPFACE_HOME")
    assert found.value == f"cannot write to {tmp_path}/file/cache: Not a directory"
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage(1 << 40, 1 << 40, 5 << 20))
    found = doctor._folder("output", tmp_path / "new", "")
    assert found == Finding("output", f"{tmp_path}/new, 5 MB free", True, "little space: weights and checkpoints need more")


def test_the_font_of_plots_is_found():
    (found,) = doctor.fonts()
    assert not found.wrong
    assert found.value.endswith("ttf for plots")
