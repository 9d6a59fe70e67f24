"""Checks this machine for ppface: what is installed and found, what is wrong, and what to do. Exit code 1 if something is wrong.

ppface doctor
ppface doctor --json > report.json      # for a bug report; it names paths of this machine
"""

import errno
import importlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import ppface
from ppface.core.files import shipped
from ppface.core.files.home_folder import HOME, ppface_home
from ppface.core.files.released import BUILTIN, FOLDER
from ppface.core.run import cli
from ppface.core.run.cpu import cores, vendor

MODULES = ("numpy", "cv2", "PIL", "yaml", "simplejpeg", "safetensors", "scipy", "matplotlib", "tqdm", "visualdl")
EXPORT = ("onnx", "paddle2onnx", "onnxruntime", "openvino", "nncf")  # what the extras for other formats of exports bring
LITTLE_DISK = 1 << 30  # bytes
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
PADDLE_TIMEOUT_S = 120
PADDLE = """
import json, paddle
from paddle.base import core
gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
paddle.set_device("gpu" if gpus else "cpu")
x = paddle.ones([1, 3, 8, 8])
y = paddle.nn.functional.conv2d(x, paddle.ones([2, 3, 3, 3])).numpy()
assert y.max() == 27, f"a convolution gave {y.max()} instead of 27"
print(json.dumps({"version": paddle.__version__, "cuda": bool(paddle.is_compiled_with_cuda()), "gpus": gpus,
    "onednn": bool(getattr(core, "is_compiled_with_onednn", core.is_compiled_with_mkldnn)())}))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        value: what was found.
        wrong: whether it keeps something from working.
        advice: what to do about it, or what would be better.
    """

    name: str
    value: str
    wrong: bool = False
    advice: str = ""


def options() -> cli.Parser:
    parser = cli.parser(__doc__, config=False)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def system() -> list[Finding]:
    where = Path(ppface.__file__).parent
    found = [Finding("ppface", f"{ppface.__version__} in {where}")]
    if not (shipped.configs() and (FOLDER / BUILTIN).is_dir() and shipped.folder("deploy").is_dir()):
        found.append(Finding("ppface", "its configs, programs or weights are missing", True, "install it again"))
    found.append(Finding("python", f"{platform.python_version()} in {sys.prefix}"))
    return [*found, Finding("machine", f"{platform.platform()}, {vendor() or platform.machine()}")]


def packages() -> list[Finding]:
    """Versions of what ppface requires and of what exports can use, and pairs that overwrite each other's files."""
    try:
        required = [re.match(r"[\w.-]+", one).group() for one in metadata.requires("ppface") or [] if "extra ==" not in one]  # type: ignore[union-attr]
    except metadata.PackageNotFoundError:
        return [
            Finding(
                "packages", "ppface is not installed, its requirements are unknown", False, "pip install ppface, or -e . in its sources"
            )
        ]
    versions = {name: _version(name) for name in required}
    versions["opencv-python-headless"] = versions.get("opencv-python-headless") or _version("opencv-python")  # either serves
    missing = [name for name, version in versions.items() if version is None]
    found = [Finding("packages", ", ".join(f"{name} {version}" for name, version in versions.items() if version))]
    if usable := [f"{name} {version}" for name in EXPORT if (version := _version(name))]:
        found.append(Finding("export", ", ".join(usable)))
    if missing:
        found.append(Finding("packages", f"{', '.join(missing)} not installed", True, f"pip install {' '.join(missing)}"))
    for pair in (("paddlepaddle", "paddlepaddle-gpu"), ("opencv-python", "opencv-python-headless")):
        if all(map(_version, pair)):
            advice = f"they overwrite each other's files: pip uninstall {' '.join(pair)}, then install one of them"
            found.append(Finding("packages", f"both {' and '.join(pair)} are installed", "paddlepaddle" in pair, advice))
    return found + [finding for name in MODULES for finding in _import(name)]


def _import(module: str) -> list[Finding]:
    """A finding if a package is installed but cannot be imported."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        return [] if error.name == module else [Finding(module, f"cannot be imported: {error}", True, f"pip install {error.name}")]
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:  # it makes a folder of its own
            return [Finding(module, f"cannot be imported: {error}", True, "set HOME to a folder that you can write to")]
        missing = re.search(r"lib\S+\.so\S*(?=: cannot open shared object file)", str(error))
        advice = f"install the system's package with {missing.group()}" if missing else f"install {module}'s package again"
        return [Finding(module, f"cannot be imported: {error}", True, advice)]
    return []


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def paddle() -> list[Finding]:
    """Paddle, in a process of its own: a broken one may end its process."""
    environment = os.environ | {"GLOG_minloglevel": "2"}
    try:
        command = [sys.executable, "-c", PADDLE]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, timeout=PADDLE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return [
            Finding("paddle", f"does not start within {PADDLE_TIMEOUT_S} s", True, "run python -c 'import paddle' to see where it hangs")
        ]
    if done.returncode:
        return [_broken_paddle(done)]
    about = json.loads(done.stdout.splitlines()[-1])
    device = f"{about['gpus']} GPUs" if about["gpus"] else "CPU"
    found = [Finding("paddle", f"{about['version']}, computes on {device}")]
    if not about["gpus"] and Path("/dev/nvidia0").exists():
        advice = (
            "check the driver with nvidia-smi"
            if about["cuda"]
            else 'pip uninstall paddlepaddle, then pip install "ppface[gpu]", see README'
        )
        found.append(Finding("device", "this machine has an NVIDIA GPU that Paddle does not use", False, advice))
    slow = "" if about["onednn"] else "exported models run about five times slower on a CPU: install paddlepaddle from PyPI"
    return [*found, Finding("onednn", "in Paddle, used by exported models" if about["onednn"] else "not in this Paddle", False, slow)]


def _broken_paddle(done: subprocess.CompletedProcess) -> Finding:
    said = done.stderr.strip().splitlines()
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = ": this processor lacks instructions that Paddle needs (AVX)" if name == "SIGILL" else ""
        return Finding("paddle", f"its process was ended by {name}{hint}", True, "install another version of paddlepaddle")
    if said and re.match(r"ModuleNotFoundError: No module named 'paddle'", said[-1]):
        return Finding("paddle", "not installed", True, 'pip install "ppface[cpu]", or [gpu], see README')
    missing = re.search(r"lib\S+\.so\S*: cannot open shared object file", done.stderr)
    advice = f"install the system's package with {missing.group().split(':')[0]}" if missing else "install paddlepaddle again"
    return Finding("paddle", f"cannot be used: {said[-1] if said else 'no message'}", True, advice)


def numba() -> list[Finding]:
    from ppface.ops.cpu.compiler import cache_folder

    try:
        version = importlib.import_module("numba").__version__
    except ImportError as error:
        return [
            Finding(
                "numba",
                f"cannot be imported ({error}): training on a CPU takes up to three times as long",
                False,
                'pip install "ppface[cpu]"',
            )
        ]
    folder = cache_folder()
    if folder is None:
        return [
            Finding("numba", f"{version}, no folder for compiled kernels", False, "set NUMBA_CACHE_DIR to a folder that you can write to")
        ]
    return [Finding("numba", f"{version}, compiled kernels in {folder}")]


def threads() -> list[Finding]:
    count = cores()
    value = f"{count} cores, OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'not set')}"
    limit = _text("/sys/fs/cgroup/cpu.max").split()
    if len(limit) == 2 and limit[0] != "max" and (allowed := int(limit[0]) / int(limit[1])) < count - 0.5:
        advice = f"set OMP_NUM_THREADS={max(1, int(allowed))}, and processes={max(1, int(allowed))} in configs"
        return [Finding("threads", f"{value}; this container may use {allowed:.1f} of them", False, advice)]
    return [Finding("threads", value)]


def memory() -> list[Finding]:
    numbers = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text("/proc/meminfo"), re.M))
    found = []
    if "MemTotal" in numbers:
        value = f"{int(numbers['MemAvailable']) >> 10} of {int(numbers['MemTotal']) >> 10} MB free"
        if (limit := _text("/sys/fs/cgroup/memory.max").strip()).isdecimal():
            value += f", this container may use {int(limit) >> 20} MB"
        found.append(Finding("memory", value))
    from ppface.data.loading.worker_diagnostics import SHM, ResourceMonitor

    if Path(SHM).is_dir():
        usage = shutil.disk_usage(SHM)
        found.append(Finding(SHM, f"{usage.free >> 20} of {usage.total >> 20} MB free"))
    advice = "close other programs, use fewer train.workers, or give the container more"
    return found + [Finding("memory", hint, False, advice) for hint in ResourceMonitor().hints()]


def folders() -> list[Finding]:
    """Whether the folders of downloads and of runs can be written."""
    places = {"cache": (ppface_home(), f"set {HOME} to a folder that you can write to"), "output": (Path("output"), "run ppface elsewhere")}
    return [_folder(name, folder, advice) for name, (folder, advice) in places.items()]


def _folder(name: str, folder: Path, advice: str) -> Finding:
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding(name, f"cannot write to {folder}: {error.strerror}", True, advice)
    little = "little space: weights and checkpoints need more" if free < LITTLE_DISK else ""
    return Finding(name, f"{folder}, {free >> 20:,} MB free", bool(little), little)


def fonts() -> list[Finding]:
    from matplotlib import font_manager

    plots = font_manager.findfont(font_manager.FontProperties(family=["sans-serif"]))  # a word alone is read as a pattern
    asian = any(re.search("CJK|WenQuanYi|SimHei|Noto Sans (SC|JP|KR)", font.name) for font in font_manager.fontManager.ttflist)
    advice = "" if asian else "none with Chinese, Japanese or Korean signs: plots with such names need one, such as fonts-noto-cjk"
    return [Finding("fonts", f"{Path(plots).name} for plots", False, advice)]


CHECKS: list[Callable[[], list[Finding]]] = [system, packages, paddle, numba, threads, memory, folders, fonts]


def examine() -> list[Finding]:
    """All findings; a check that fails is a finding itself."""
    found = []
    for check in CHECKS:
        try:
            found += check()
        except Exception as error:
            found.append(Finding(check.__name__, f"cannot be checked: {type(error).__name__}: {error}", True, "report this with --json"))
    return found


def _text(file: str) -> str:
    """The content of a file of the system; empty if there is none."""
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def main() -> int:
    args = options().parse_args()
    found = examine()
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        for one in found:
            mark = "WRONG" if one.wrong else "note" if one.advice else "ok"
            print(f"{mark:<6}{one.name:<10}{one.value}" + (f"\n{'':<16}{one.advice}" if one.advice else ""))
    return int(any(one.wrong for one in found))
