"""What must be chosen before paddle is imported: the processor's fast path and the number of threads."""

import os
import sys
from pathlib import Path


def vendor() -> str:
    """ "AuthenticAMD", "GenuineIntel", ... or "" where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("vendor_id")), "")


def prefer_fast_mkl() -> None:
    """Lets Paddle's MKL use its AVX2 kernels on AMD processors (products 2.3 to 3.4 times faster), unless the user chose otherwise.

    It changes the order of summation, so a run records it in its environment. Without effect once paddle is imported.
    """
    if "paddle" not in sys.modules and "MKL_DEBUG_CPU_TYPE" not in os.environ and vendor() == "AuthenticAMD":
        os.environ["MKL_DEBUG_CPU_TYPE"] = "5"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
