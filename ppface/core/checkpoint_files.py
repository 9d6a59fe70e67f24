"""One checkpoint on disk: a directory of safetensors files and a state.json that holds the digest of each and, at its end, of itself.

Whatever byte of whatever file is changed, cut off or added, reading notices: nothing is believed that does not fit its digest.
"""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import NumericError, WeightsError

WEIGHTS, OPTIMIZER, EMA, STATE = "weights.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json"
DIGESTS = "sha256"  # key of the state: file name -> digest
CHUNK = 1 << 20


def check_finite(arrays: dict[str, dict[str, np.ndarray]], name: str) -> None:
    """Raises NumericError where a checkpoint would hold a number that is not finite: no run can go on from such a one."""
    bad = []
    for file, content in arrays.items():
        for key, array in content.items():
            if array.dtype.kind not in "biu" and (count := array.size - int(np.isfinite(array).sum())):
                bad.append(f"{file}: {key}: {count} of {array.size} values are not finite")
    if bad:
        more = f" (and {len(bad) - 1} more arrays)" if len(bad) > 1 else ""
        raise NumericError(f"{name}: not saved: {bad[0]}{more}; earlier checkpoints are untouched")


def write(folder: Path, files: dict[str, list[memoryview]], state: dict[str, Any]) -> None:
    """Makes the directory with these files and state, all of it on the disk when this returns.

    Args:
        folder: must not exist.
        files: name -> content in pieces; the digest is of these bytes, not of what a disk made of them.
        state: plain values.
    """
    folder.mkdir()
    digests = {name: _write_file(folder / name, content) for name, content in files.items()}
    _write_file(folder / STATE, [memoryview(_sealed(state | {DIGESTS: digests}))])
    settle(folder)


def _write_file(file: Path, content: Sequence[memoryview]) -> str:
    digest = hashlib.sha256()
    with file.open("xb") as handle:
        for piece in content:
            digest.update(piece)
            handle.write(piece)
        handle.flush()
        os.fsync(handle.fileno())
    return digest.hexdigest()


def settle(folder: Path) -> None:
    """Waits until the names in a folder are on the disk. File systems that cannot be asked for that say "invalid"; they get no more."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(handle)


def _sealed(state: dict[str, Any]) -> bytes:
    """The state as JSON, whose last value is the digest of all the text before it."""
    text = json.dumps(state, indent=1).encode()
    assert text.endswith(b"\n}")
    return text[:-2] + _seal(text[:-2])


def _seal(text: bytes) -> bytes:
    return f',\n "{DIGESTS}_of_the_above": "{hashlib.sha256(text).hexdigest()}"\n}}\n'.encode()


def read_state(folder: Path) -> dict[str, Any]:
    """The state of a checkpoint whose set of files is whole; their content is not looked at.

    Raises:
        WeightsError: a state.json that is missing or not as it was written, or tensor files that are missing or too many.
    """
    file = folder / STATE
    try:
        data = file.read_bytes()
        text = data[: -len(_seal(b""))]
        if text + _seal(text) != data:
            raise WeightsError(f"{file}: expected a text that fits the SHA-256 at its end: it was cut or changed")
        state = json.loads(data)
        expected, found = set(state[DIGESTS].keys()), {path.name for path in folder.glob("*.safetensors")}
    except OSError as error:
        raise WeightsError(f"{file}: cannot read it: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{file}: expected the state of a checkpoint as it was saved: {error}") from error
    if expected != found:
        raise WeightsError(f"{folder}: expected the files {', '.join(sorted(expected))}, found {', '.join(sorted(found)) or 'none'}")
    return state


def verify(folder: Path) -> Path:
    """The checkpoint, after every byte of it was compared with its digest.

    Raises:
        WeightsError: names the file that is broken, and how.
    """
    for name, digest in read_state(folder)[DIGESTS].items():
        _compare(folder / name, digest)
    return folder


def weights(folder: Path) -> Path:
    """The file with the weights to use, the running average before the rest; compared with its digest, errors as `verify`."""
    digests = read_state(folder)[DIGESTS]
    name = EMA if EMA in digests else WEIGHTS
    if name not in digests:
        raise WeightsError(f"{folder}: expected {EMA} or {WEIGHTS} in this checkpoint, found {', '.join(digests) or 'none'}")
    return _compare(folder / name, digests[name])


def weight_file(file: Path) -> Path:
    """A weight file that somebody named; one of a checkpoint is compared with its digest, errors as `verify`."""
    if (file.parent / STATE).is_file() and file.is_file():
        digests = read_state(file.parent)[DIGESTS]
        if file.name in digests:
            _compare(file, digests[file.name])
    return file


def read(folder: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """(arrays by file name, state) of one checkpoint, from the very bytes that were compared with their digests.

    Raises:
        WeightsError: names the file that is broken, and how.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    state = read_state(folder)
    arrays = {}
    for name, digest in sorted(state[DIGESTS].items()):
        file = folder / name
        try:
            data = file.read_bytes()
        except OSError as error:
            raise WeightsError(f"{file}: cannot read it: {error.strerror}") from error
        _expect(file, digest, hashlib.sha256(data).hexdigest())
        try:
            arrays[name] = load(data)
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"{file}: not a safetensors file of NumPy types ({error})") from error
    return arrays, state


def _compare(file: Path, expected: str) -> Path:
    digest = hashlib.sha256()
    try:
        with file.open("rb", buffering=0) as handle:
            while chunk := handle.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(f"{file}: cannot read it: {error.strerror}") from error
    _expect(file, expected, digest.hexdigest())
    return file


def _expect(file: Path, expected: str, received: str) -> None:
    if received != expected:
        told = f"expected content with the SHA-256 {expected[:12]}..., received {received[:12]}..."
        raise WeightsError(f"{file}: {told}: it was cut, changed or exchanged")
