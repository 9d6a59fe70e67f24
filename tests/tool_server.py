"""Runs the tools for tests in forks of one process that has imported Paddle and all else that tools import when they need it, and has
loaded the CPU kernels: that takes longer than most of what the tools then do. With arguments it imports these modules alone.

A line of its input is a request, JSON: file, arguments, folder, environment, stdout and stderr (files to create). A line of its output is the
exit code of that fork; that of a process that a signal ended is its negative number, as in `subprocess`.
"""

import atexit
import importlib
import json
import os
import sys
import traceback
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LATE = ("matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image", "scipy.io", "scipy.optimize", "visualdl")


def child(request: dict) -> int:
    """Becomes `python FILE ARGUMENTS`; returns its exit code."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    file = request["file"]
    sys.argv, sys.path[0] = [file, *request["arguments"]], str(Path(file).parent)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__, main.__builtins__ = file, __builtins__
    try:
        exec(compile(Path(file).read_bytes(), file, "exec"), vars(main))
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def import_ppface() -> None:
    from ppface.core.registry import PACKAGES, names
    from ppface.ops.cpu import compiler

    for kind in PACKAGES:
        names(kind)  # imports all components, and with them Paddle
    for module in LATE:
        importlib.import_module(module)
    for file in (ROOT / "ppface" / "ops" / "cpu").glob("*_kernels.py"):
        compiler.load(file.stem.removesuffix("_kernels"))


def serve() -> None:
    os.environ.setdefault("GLOG_minloglevel", "2")  # as ppface.core.run.cli sets it before Paddle is imported
    for module in sys.argv[1:]:
        importlib.import_module(module)
    if len(sys.argv) == 1:
        import_ppface()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = child(json.loads(line))
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(code, flush=True)


if __name__ == "__main__":
    serve()
