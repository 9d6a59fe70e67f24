"""Finds the named arrays of a network in a file's content: at its top level, or nested beside an optimizer, an epoch and so on."""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import WeightsError
from ppface.core.files.numpy_pickle import Array
from ppface.core.files.pickle_machine import Budget, DamagedError, Foreign, shown
from ppface.core.files.torch_file import Tensor
from ppface.core.run.log import log

USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "weights")  # keys under which training programs store the network
MAX_DEPTH = 4  # of nested mappings
PARALLEL = ("module.", "_layers.")  # prefixes of names by DataParallel of PyTorch and of Paddle
MAX_LISTED = 6  # in a message
KeyPath = tuple[str, ...]


def network_arrays(path: Path, content: Any, part: str | None) -> dict[str, Tensor | Array]:
    """The names and arrays of a network in a file of PyTorch or Paddle, without the prefix of DataParallel. Objects of other classes
    and arrays of text beside the arrays are left out, with a warning.

    Args:
        path: for messages.
        content: of the file.
        part: the key path of the network, as "model.backbone"; None: the only mapping with arrays, or the only one with a usual key.

    Raises:
        WeightsError: no arrays, or those of several networks.
    """
    if isinstance(content, Tensor | Array):
        raise WeightsError(f"{path}: expected a mapping of names to arrays, received a single array")
    found, foreign = _mappings(content)
    listed = ", ".join(f"{_shown(keys)} ({len(arrays)} arrays)" for keys, arrays in list(found.items())[:MAX_LISTED])
    listed += ", ..." if len(found) > MAX_LISTED else ""
    if not found:
        raise _without_arrays(path, content, foreign)
    if part is not None:
        wanted = [keys for keys in found if ".".join(keys) == part]
        if len(wanted) != 1:
            raise WeightsError(f"{path}: expected arrays at {part!r}, as the file of names sets `part`, found {listed}")
    elif len(found) == 1:
        wanted = list(found)
    else:
        wanted = [keys for keys in found if keys and keys[-1] in USUAL]
    if len(wanted) != 1:
        likely = ".".join(max(found.items(), key=lambda item: len(item[1]))[0])
        raise WeightsError(
            f"{path}: expected the arrays of one network, found several: {listed}; "
            f"choose one in a file of names, as `part: {shown(repr(likely))}`"
        )
    if len(found) > 1 and part is None:
        log.info(f"{path}: using the arrays at {_shown(wanted[0])}, of {listed}")
    arrays = found[wanted[0]]
    for keys, value in foreign.items():
        if keys[:-1] == wanted[0]:
            log.warning(f"{path}: {shown(keys[-1])}: expected an array, received an object of {value}: it was left out")
    prefix = next((prefix for prefix in PARALLEL if all(name.startswith(prefix) for name in arrays)), "")
    return {name.removeprefix(prefix): array for name, array in arrays.items()}


def _mappings(content: Any) -> tuple[dict[KeyPath, dict[str, Any]], dict[KeyPath, str]]:
    """Every mapping with arrays of numbers among its values, and what every other object is that could be an array, by key paths; states
    of optimizers are left out."""
    found: dict[KeyPath, dict[str, Any]] = {}
    foreign: dict[KeyPath, str] = {(): str(content)} if type(content) is Foreign else {}
    queue: deque[tuple[KeyPath, Any]] = deque([((), content)])
    seen: set[int] = set()
    while queue:
        keys, mapping = queue.popleft()
        if type(mapping) is not dict or id(mapping) in seen or not all(type(key) is str for key in mapping):
            continue
        seen.add(id(mapping))
        others = {name: other for name, value in mapping.items() if (other := _other_than_numbers(value))}
        foreign |= {(*keys, name): other for name, other in others.items()}
        arrays = {name: value for name, value in mapping.items() if isinstance(value, Tensor | Array) and name not in others}
        if arrays:
            found[keys] = arrays
        if len(keys) < MAX_DEPTH:
            queue += [((*keys, name), value) for name, value in mapping.items() if type(value) is dict and not name.startswith("optim")]
    networks = {keys: arrays for keys, arrays in found.items() if not all(map(_is_number, arrays.values()))}
    return networks or found, foreign


def _other_than_numbers(value: Any) -> str | None:
    """What an object of a foreign class or an array of text is; None for anything else."""
    if isinstance(value, Array) and (code := value.text_code()):
        return f"numpy.ndarray of text ({shown(code)})"
    return str(value) if type(value) is Foreign else None


def _is_number(value: Any) -> bool:
    """Whether it is a single number, such as the best metric of a checkpoint."""
    if isinstance(value, Tensor):
        return value.sizes == ()
    return isinstance(value, Array) and type(value.state) is tuple and value.state[1:2] == ((),)


def _shown(path: KeyPath) -> str:
    return repr(shown(".".join(path))) if path else "the top level"


def _without_arrays(path: Path, content: Any, foreign: dict[KeyPath, str]) -> WeightsError:
    if foreign:
        keys, value = next(iter(foreign.items()))
        place = f" at {_shown(keys)}" if keys else ""
        return WeightsError(f"{path}: expected only arrays, but the file refers to {value}{place}; it was not loaded")
    kind = f"a {type(content).__name__}"
    if type(content) is dict:
        kind = f"a mapping with {', '.join(shown(str(key)) for key in list(content)[:MAX_LISTED]) or 'no keys'}"
    return WeightsError(f"{path}: expected a mapping of names to arrays, received {kind}")


def optimizer_arrays(path: Path, content: Any) -> dict[str, Array]:
    """The names and arrays of an optimizer's state in a file of Paddle; other values are left out.

    Args:
        path: for messages.
        content: of the file.

    Raises:
        WeightsError: no such state.
    """
    found: dict[str, Array] = {}
    for name, value in content.items() if type(content) is dict else ():
        inner = {f"{name}.{key}": array for key, array in value.items()} if type(value) is dict else {name: value}
        found |= {name: array for name, array in inner.items() if isinstance(array, Array)}
    if not found:
        raise _without_arrays(path, content, _mappings(content)[1])
    return found


def to_numpy(path: Path, records: dict[str, Any], length: int) -> dict[str, np.ndarray]:
    """Converts the records of a pickle to NumPy arrays.

    Args:
        path: for messages.
        records: name -> Array or Tensor.
        length: of the file, in bytes; the arrays may have 4 times as many: bfloat16 doubles, and tied weights count twice.

    Raises:
        WeightsError: an array that is damaged, or holds something else than numbers.
    """
    budget = Budget(4 * length + (1 << 20), "the arrays are far larger than the file")
    arrays = {}
    for name, value in records.items():
        try:
            arrays[name] = value.array(budget)
        except DamagedError as error:
            raise WeightsError(f"{path}: {shown(name)}: {error}") from None
        except Exception as error:
            raise WeightsError(f"{path}: {shown(name)}: damaged array ({shown(str(error))}); copy or download the file again") from error
    return arrays
