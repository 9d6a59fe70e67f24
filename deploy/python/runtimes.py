"""The runtimes that run an exported model: paddle.inference, ONNX Runtime or OpenVINO, whichever is installed and fastest."""

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

DESCRIPTION, PARITY = "inference.yml", "parity.json"
FILES = {"paddle": ("model.json", "model.pdiparams"), "onnxruntime": ("model.onnx",), "openvino": ("model.xml", "model.bin")}
PACKAGES = {"paddle": "paddlepaddle", "onnxruntime": "onnxruntime", "openvino": "openvino"}  # for pip
CHOICES = ("auto", *FILES)
CPU_INFO = Path("/proc/cpuinfo")
CACHED_SHAPES = 32  # number of input shapes and face counts whose prepared kernels oneDNN keeps; the oldest are dropped
Run = Callable[[np.ndarray], list[np.ndarray]]
Opened = TypeVar("Opened")


class ModelError(Exception):
    """A folder that holds no usable export. The message is one line for the user."""

    exit_code = 4


class UnusableRuntimeError(ModelError):
    """A runtime that is broken or refuses the model, which another may run."""


def first_usable(folder: Path, runtime: str, open_one: Callable[[Path, str], Opened]) -> Opened:
    """What `open_one` makes of the first of `candidates` whose runtime is installed and works; one line each names the broken ones before.

    Args:
        folder, runtime: see `candidates`.
        open_one: (folder of one format, runtime) -> what is returned.

    Raises:
        ModelError: as `candidates` and `open_one`, or no runtime works, with the reason of each.
    """
    absent: dict[str, str] = {}
    broken: dict[str, str] = {}
    for place, name in candidates(folder, runtime):
        if importlib.util.find_spec(name) is None:
            absent[name] = f"{name} is not installed: pip install {PACKAGES[name]}"
            continue
        try:
            opened = open_one(place, name)
        except UnusableRuntimeError as error:
            broken[str(error)] = name
            continue
        for reason, failed in broken.items():
            print(f"{failed} is left out, {name} runs the model: {reason}", file=sys.stderr, flush=True)
        return opened
    raise ModelError(f"{folder}: no runtime can run it: {'; '.join([*broken, *absent.values()])}")


def candidates(folder: Path, runtime: str = "auto") -> list[tuple[Path, str]]:
    """The folders of formats and the runtimes for them, installed or not, the fastest first by the latencies in parity.json.

    Args:
        folder: an export of one format, or of several with parity.json.
        runtime: one of CHOICES; "auto" takes all.

    Raises:
        ModelError: no export, or none for this runtime.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; expected one that ppface export wrote")
    held = _single(folder) if (folder / DESCRIPTION).is_file() else _by_speed(folder)
    fitting = [(place, name) for place, name in held if runtime in ("auto", name)]
    if not fitting:
        has = ", ".join(dict.fromkeys(name for _, name in held))
        raise ModelError(f"{folder}: expected an export for {runtime}, this one is for {has}: export it with --format, or name another")
    return fitting


def _single(folder: Path) -> list[tuple[Path, str]]:
    """The runtime whose files lie there; Paddle if there are none, so that the message names what is missing."""
    return [(folder, name) for name, files in FILES.items() if (folder / files[0]).is_file()] or [(folder, "paddle")]


def _by_speed(folder: Path) -> list[tuple[Path, str]]:
    """The formats in the folders of an export, fastest first."""
    if not (folder / PARITY).is_file():
        inside = [part.name for part in sorted(folder.iterdir()) if (part / DESCRIPTION).is_file()]
        if inside:
            raise ModelError(f"{folder}: {PARITY} is missing: copy it too, or name the folder of one format: {', '.join(inside)}")
        raise ModelError(f"{folder}: expected an exported model, {DESCRIPTION} is missing")
    try:
        rows = json.loads((folder / PARITY).read_text(encoding="utf-8"))["formats"]
        ranked = sorted((min(row["ms"].values()), row["folder"], row["runtime"]) for row in rows)
        held = [(folder / name, runtime) for _, name, runtime in ranked if (folder / name / DESCRIPTION).is_file() and runtime in FILES]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder / PARITY}: not the figures of an export ({error}): name the folder of one format") from None
    if not held:
        raise ModelError(f"{folder}: expected the folders of the formats that {PARITY} lists, found none of them")
    return held


def verify(folder: Path, digests: dict[str, str], runtime: str = "paddle") -> tuple[Path, ...]:
    """The files of an export, after comparing them with their digests: runtimes crash on truncated files.

    Raises:
        ModelError: a file other than the exported one.
    """
    files = tuple(folder / name for name in FILES[runtime])
    for file in files:
        if hashlib.sha256(file.read_bytes()).hexdigest() != digests.get(file.name):
            raise ModelError(f"{file}: not the file that {DESCRIPTION} describes: truncated or replaced; export or copy both again")
    return files


def start(runtime: str, files: tuple[Path, ...], outputs: list[str], threads: int, device: str = "cpu") -> Run:
    """(N, 3, H, W) uint8 -> the outputs in the order of `outputs`.

    Raises:
        ModelError: a device that the runtime does not have here.
        UnusableRuntimeError: the runtime cannot be imported or refuses the model.
    """
    if device != "cpu" and runtime != "paddle":
        raise ModelError(f"expected device cpu for {runtime}, received {device!r}: choose the runtime paddle, or another device")
    try:
        if runtime == "paddle":
            return _paddle(files, threads, device)
        return {"onnxruntime": _onnxruntime, "openvino": _openvino}[runtime](files, outputs, threads)
    except ModelError:
        raise
    except ImportError as error:
        raise UnusableRuntimeError(
            f"{runtime} cannot be imported ({_line(error)}): install it again: pip install {PACKAGES[runtime]}"
        ) from error
    except Exception as error:  # the runtimes' own, which share no class
        reason = _line(error, -1 if runtime == "openvino" else 0)
        message = f"{files[0]}: {runtime} cannot run it: {reason}: install another version of {PACKAGES[runtime]}"
        raise UnusableRuntimeError(message) from error


def _line(error: Exception, place: int = 0) -> str:
    """A line of a runtime's message, which may have many or none."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    return said[place] if said else type(error).__name__


def _onnxruntime(files: tuple[Path, ...], outputs: list[str], threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(_text(files[0]), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(outputs, {"image": np.ascontiguousarray(pixels)})


def _avoid_amx() -> None:
    """With AMX, OpenVINO crashes in INT8 models of any input size: https://github.com/openvinotoolkit/openvino/issues/37577"""
    with contextlib.suppress(OSError):
        if " amx_tile" in CPU_INFO.read_text(encoding="utf-8", errors="replace"):
            os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")


def _openvino(files: tuple[Path, ...], outputs: list[str], threads: int) -> Run:
    _avoid_amx()
    import openvino

    # float32: where the processor has bfloat16, OpenVINO computes in it otherwise
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.Core().compile_model(_text(files[0]), "CPU", settings).create_infer_request()

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        request.infer({"image": np.ascontiguousarray(pixels)}, share_inputs=True)
        return [request.get_tensor(name).data.copy() for name in outputs]

    return run


def _paddle(files: tuple[Path, ...], threads: int, device: str) -> Run:
    made = predictor(files[0], files[1], threads, device)
    entry = made.get_input_handle("image")
    handles = [made.get_output_handle(name) for name in made.get_output_names()]

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        entry.copy_from_cpu(np.ascontiguousarray(pixels))
        made.run()
        return [handle.copy_to_cpu() for handle in handles]

    return run


def predictor(model: Path, weights: Path, threads: int, device: str) -> Any:
    """A paddle.inference predictor with the fastest settings measured (tests/benchmarks/deployed_predictor.py)."""
    if "MKL_DEBUG_CPU_TYPE" not in os.environ and _is_amd():
        os.environ["MKL_DEBUG_CPU_TYPE"] = "5"  # AVX2 kernels of MKL, which are off on AMD by default; set before paddle is imported
    os.environ.setdefault("GLOG_minloglevel", "2")  # of Paddle's C++ code only errors; read when paddle is imported
    warnings.filterwarnings("ignore", message="No ccache found")  # Paddle repeats it on every import
    from paddle import inference

    config = inference.Config(_text(model), _text(weights))
    config.disable_glog_info()
    config.enable_new_executor()
    config.enable_memory_optim()  # needs the new executor
    if device == "gpu":
        config.enable_use_gpu(256, 0)
    else:
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(CACHED_SHAPES)
        config.set_cpu_math_library_num_threads(threads)
    return inference.create_predictor(config)


def _text(path: Path) -> str:
    """The path as the runtimes take it, which encode texts in UTF-8 whatever the locale."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{path}: expected a path in UTF-8, which the runtimes need: rename the folder") from None


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
