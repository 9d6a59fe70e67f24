"""Finds the named arrays of a network in what a file holds: at its top, or among an optimizer's, an epoch, a random state."""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import WeightsError
from ppface.core.files.numpy_pickle import Array
from ppface.core.files.pickle_machine import Budget, DamagedError, shown
from ppface.core.files.torch_file import Tensor
from ppface.core.run.log import log

USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "weights")  # what training programs call it
DEEP = 4  # mappings within one another
PARALLEL = ("module.", "_layers.")  # of the names that DataParallel makes, of PyTorch and of Paddle
SHOWN = 6
Place = tuple[str, ...]


def of_network(path: Path, content: Any, part: str | None) -> dict[str, Tensor | Array]:
    """The names and arrays of a network in a file of PyTorch or Paddle, without the prefix of DataParallel.

    Args:
        path: for messages.
        content: of the file.
        part: where they are, as "model.backbone"; none: at the only place there is, or at the only one with a usual name.

    Raises:
        WeightsError: nowhere, or at several places.
    """
    if isinstance(content, Tensor | Array):
        raise WeightsError(f"{path}: expected a mapping of names to arrays, received a single array")
    found = _places(content)
    told = ", ".join(f"{_shown(place)} ({len(arrays)} arrays)" for place, arrays in list(found.items())[:SHOWN])
    told += ", ..." if len(found) > SHOWN else ""
    if part is not None:
        wanted = [place for place in found if ".".join(place) == part]
        if len(wanted) != 1:
            raise WeightsError(f"{path}: expected arrays at {part!r}, as the file of names says, found {told or 'none at all'}")
    elif len(found) == 1:
        wanted = list(found)
    else:
        wanted = [place for place in found if place and place[-1] in USUAL]
    if not found:
        raise WeightsError(f"{path}: expected a mapping of names to arrays, received {_kind(content)}")
    if len(wanted) != 1:
        likely = ".".join(max(found.items(), key=lambda item: len(item[1]))[0])
        raise WeightsError(
            f"{path}: expected the arrays of one network, found several: {told}; "
            f"say which in a file of names, as `part: {shown(repr(likely))}`"
        )
    if len(found) > 1 and part is None:
        log.info(f"{path}: takes the arrays at {_shown(wanted[0])}, of {told}")
    arrays = found[wanted[0]]
    prefix = next((prefix for prefix in PARALLEL if all(name.startswith(prefix) for name in arrays)), "")
    return {name.removeprefix(prefix): array for name, array in arrays.items()}


def _places(content: Any) -> dict[Place, dict[str, Any]]:
    """Every mapping with arrays among its values, by where it is; states of optimizers are left out."""
    found: dict[Place, dict[str, Any]] = {}
    waiting: deque[tuple[Place, Any]] = deque([((), content)])
    seen: set[int] = set()
    while waiting:
        place, here = waiting.popleft()
        if type(here) is not dict or id(here) in seen or not all(type(key) is str for key in here):
            continue
        seen.add(id(here))
        arrays = {name: value for name, value in here.items() if isinstance(value, Tensor | Array)}
        if arrays:
            found[place] = arrays
        if len(place) < DEEP:
            waiting += [((*place, name), value) for name, value in here.items() if type(value) is dict and not name.startswith("optim")]
    networks = {place: arrays for place, arrays in found.items() if not all(map(_is_number, arrays.values()))}
    return networks or found


def _is_number(value: Any) -> bool:
    """Whether it is a scalar of NumPy, such as the best metric of a checkpoint."""
    return isinstance(value, Array) and type(value.state) is tuple and value.state[1:2] == ((),)


def _shown(place: Place) -> str:
    return repr(shown(".".join(place))) if place else "the top"


def _kind(content: Any) -> str:
    if type(content) is not dict:
        return f"a {type(content).__name__}"
    return f"a mapping with {', '.join(shown(str(key)) for key in list(content)[:SHOWN]) or 'nothing in it'}"


def of_optimizer(path: Path, content: Any) -> dict[str, Array]:
    """The names and arrays of an optimizer's state in a file of Paddle; other values are left out.

    Args:
        path: for messages.
        content: of the file.

    Raises:
        WeightsError: something else.
    """
    found: dict[str, Array] = {}
    for name, value in content.items() if type(content) is dict else ():
        inner = {f"{name}.{key}": array for key, array in value.items()} if type(value) is dict else {name: value}
        found |= {name: array for name, array in inner.items() if isinstance(array, Array)}
    if not found:
        raise WeightsError(f"{path}: expected a mapping of names to arrays, received {_kind(content)}")
    return found


def made(path: Path, waiting: dict[str, Any], length: int) -> dict[str, np.ndarray]:
    """The arrays themselves.

    Args:
        path: for messages.
        waiting: what stands for them.
        length: of the file, in bytes; bfloat16 grows twofold, tied weights stand there twice, but four times as much is nothing honest.

    Raises:
        WeightsError: one that is not whole, or of something else than numbers.
    """
    budget = Budget(4 * length + (1 << 20), "the arrays are far larger than the file")
    arrays = {}
    for name, value in waiting.items():
        try:
            arrays[name] = value.array(budget)
        except DamagedError as error:
            raise WeightsError(f"{path}: {shown(name)}: {error}") from None
        except Exception as error:
            raise WeightsError(f"{path}: {shown(name)}: damaged array ({shown(str(error))}); copy or download the file again") from error
    return arrays
