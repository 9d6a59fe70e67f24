"""CPU settings that must be made before paddle or OpenVINO is loaded: MKL's code path, instructions, memory; and the number of cores."""

import ctypes
import os
import sys
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def described(field: str) -> str:
    """A field of the first core in /proc/cpuinfo, such as "flags"; "" if unknown."""
    try:
        with CPU_INFO.open(encoding="utf-8", errors="replace") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")
    except OSError:
        return ""


def vendor() -> str:
    """ "AuthenticAMD", "GenuineIntel", ... or "" if unknown."""
    return described("vendor_id")


def prefer_fast_mkl() -> None:
    """Lets Paddle's MKL use its AVX2 kernels on AMD processors (products 2.3 to 3.4 times faster), unless the user has set another value.

    It changes the order of summation, so a run records it in its environment. No effect once paddle is imported.
    """
    if "paddle" not in sys.modules and "MKL_DEBUG_CPU_TYPE" not in os.environ and vendor() == "AuthenticAMD":
        os.environ["MKL_DEBUG_CPU_TYPE"] = "5"


def avoid_amx() -> None:
    """Keeps OpenVINO from the AMX instructions, unless the user has set a limit: with them it crashes in INT8 models of any input size.

    float32 does not use them. No effect once OpenVINO has compiled a model. Source: https://github.com/openvinotoolkit/openvino/issues/37577
    """
    if "ONEDNN_MAX_CPU_ISA" not in os.environ and "amx_tile" in described("flags").split():
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_FP16"


def keep_freed_memory() -> None:
    """Lets the C library keep freed blocks of up to 256 MB for the next tensor instead of returning them to the system.

    Paddle calls malloc for every CPU tensor, and each new page from the system costs a page fault: without this a ReLU takes four times,
    a batch norm twice as long. glibc only; MALLOC_ variables set by the user take precedence.
    """
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(-3, 256 << 20)  # M_MMAP_THRESHOLD
            mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
