"""Imports with signals blocked: Paddle installs its own SIGTERM handler when it is imported, and NumPy and OpenCV start threads that
would receive signals instead of the main one.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

NAMES = ("numpy", "cv2", "paddle")


class Importer:
    """A finder for `sys.meta_path` that delegates to the others, and loads NAMES with signals blocked.

    Args:
        blocked: the context manager that blocks signals and afterwards restores the tool's handlers.
    """

    def __init__(self, blocked: Callable[[], AbstractContextManager]):
        self.blocked = blocked

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in NAMES:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_with_signals_blocked(module: Any) -> None:
                with self.blocked():
                    load(module)

            spec.loader.exec_module = load_with_signals_blocked  # type: ignore[method-assign]
        return spec
