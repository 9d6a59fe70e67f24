"""Imports during which signals wait: Paddle takes SIGTERM for itself when it is imported, and NumPy and OpenCV start threads that would
hear in the place of the main one.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

NAMES = ("numpy", "cv2", "paddle")


class Importer:
    """A finder for `sys.meta_path` that finds what the others do, and loads NAMES with the signals held.

    Args:
        held: the block in which they are, and after which they are the tool's again.
    """

    def __init__(self, held: Callable[[], AbstractContextManager]):
        self.held = held

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in NAMES:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def held_load(module: Any) -> None:
                with self.held():
                    load(module)

            spec.loader.exec_module = held_load  # type: ignore[method-assign]
        return spec
