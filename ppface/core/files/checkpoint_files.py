"""One checkpoint on disk: a directory of safetensors files and a state.json with the digest of each and, at its end, of itself.

Reading detects any byte that was changed, cut off or added: content that does not match its digest is rejected.
"""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import NumericError, WeightsError
from ppface.core.files.atomic_write import replace_text
from ppface.core.files.checkpoint_state import DIGESTS, check
from ppface.core.files.safetensors_file import unpack

WEIGHTS, OPTIMIZER, EMA, STATE = "weights.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json"
LOSS = "loss.safetensors"  # parameters and buffers of losses; no reader of weights opens it
OWN_DIGEST = f"{DIGESTS}_of_the_above"  # last key of the state: the digest of all text before it
CHUNK = 1 << 20  # bytes hashed at a time


@dataclass(frozen=True)
class WeightFile:
    """The file of a model's weights.

    Attributes:
        file: its path; it may be gone, as a training removes its old checkpoints.
        content: the bytes that were compared with the digest, if it belongs to a checkpoint; otherwise None, and `file` is read.
        state: of the checkpoint; {} without one.
    """

    file: Path
    content: bytes | None = None
    state: dict[str, Any] = field(default_factory=dict)

    def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes() if self.content is None else self.content).hexdigest()


def check_finite(arrays: dict[str, dict[str, np.ndarray]], name: str) -> None:
    """Raises NumericError if an array has a value that is not finite: no run could be resumed from such a checkpoint."""
    bad = []
    for file, content in arrays.items():
        for key, array in content.items():
            if array.dtype.kind not in "biu" and (count := array.size - int(np.isfinite(array).sum())):
                bad.append(f"{file}: {key}: {count} of {array.size} values are not finite")
    if bad:
        more = f" (and {len(bad) - 1} more arrays)" if len(bad) > 1 else ""
        raise NumericError(f"{name}: not saved: {bad[0]}{more}; earlier checkpoints are untouched")


def write(folder: Path, files: dict[str, list[memoryview]], state: dict[str, Any]) -> None:
    """Creates the directory with these files and state, all flushed to the disk when this returns.

    Args:
        folder: must not exist.
        files: name -> content in pieces, of which the digest is computed before they reach the disk.
        state: plain values.
    """
    folder.mkdir()
    digests = {name: _write_file(folder / name, content) for name, content in files.items()}
    _write_file(folder / STATE, [memoryview(_sealed(state | {DIGESTS: digests}))])
    sync_folder(folder)


def replace_state(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the state of a checkpoint, flushed to the disk when this returns; a kill leaves either the old or the new one.

    Args:
        folder: the checkpoint.
        state: as `read_state` returned it, with its digests, and changed values.
    """
    own = {key: value for key, value in state.items() if key != OWN_DIGEST}
    replace_text(folder / STATE, _sealed(own).decode())
    sync_folder(folder)


def _write_file(file: Path, content: Sequence[memoryview]) -> str:
    digest = hashlib.sha256()
    with file.open("xb") as handle:
        for piece in content:
            digest.update(piece)
            handle.write(piece)
        handle.flush()
        os.fsync(handle.fileno())
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """fsync of a folder, so that its entries are on the disk; ignored by file systems that do not support it (EINVAL, EOPNOTSUPP)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(handle)


def _sealed(state: dict[str, Any]) -> bytes:
    """The state as JSON whose last value is the digest of all preceding text."""
    text = json.dumps(state, indent=1).encode()
    assert text.endswith(b"\n}")
    return text[:-2] + _seal(text[:-2])


def _seal(text: bytes) -> bytes:
    return f',\n "{OWN_DIGEST}": "{hashlib.sha256(text).hexdigest()}"\n}}\n'.encode()


def read_state(folder: Path) -> dict[str, Any]:
    """The state of a checkpoint, after checking that its files exist; their content is not read.

    Raises:
        WeightsError: a state.json that is missing, changed or of other types, or tensor files that are missing or extra.
    """
    file = folder / STATE
    try:
        data = file.read_bytes()
        text = data[: -len(_seal(b""))]
        if text + _seal(text) != data:
            raise WeightsError(f"{file}: expected a text that matches the SHA-256 at its end: it was truncated or changed")
        state = json.loads(data)
        check(state, file)
        expected, found = set(state[DIGESTS]), {path.name for path in folder.glob("*.safetensors")}
    except OSError as error:
        raise WeightsError(f"{file}: cannot read it: {error.strerror}") from error
    except (ValueError, KeyError, RecursionError) as error:
        raise WeightsError(f"{file}: expected the unchanged state of a checkpoint: {error}") from error
    if expected != found:
        raise WeightsError(f"{folder}: expected the files {', '.join(sorted(expected))}, found {', '.join(sorted(found)) or 'none'}")
    return state


def verify(folder: Path) -> Path:
    """The checkpoint, after comparing all its files with their digests.

    Raises:
        WeightsError: names the broken file and its fault.
    """
    for name, digest in read_state(folder)[DIGESTS].items():
        _compare(folder / name, digest)
    return folder


def read_weights(folder: Path) -> WeightFile:
    """The weights of a checkpoint, preferably their running average (EMA); errors as `verify`."""
    state = read_state(folder)
    name = EMA if EMA in state[DIGESTS] else WEIGHTS
    if name not in state[DIGESTS]:
        raise WeightsError(f"{folder}: expected {EMA} or {WEIGHTS} in this checkpoint, found {', '.join(state[DIGESTS]) or 'none'}")
    return WeightFile(folder / name, _content(folder / name, state[DIGESTS][name]), state)


def read_weight_file(file: Path) -> WeightFile:
    """The weight file at this path; if it belongs to a checkpoint, errors as `verify`."""
    if (file.parent / STATE).is_file() and file.is_file():
        state = read_state(file.parent)
        if file.name in state[DIGESTS]:
            return WeightFile(file, _content(file, state[DIGESTS][file.name]), state)
    return WeightFile(file)


def read(folder: Path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """(arrays by file name, state) of one checkpoint, from the same bytes that were compared with their digests.

    Raises:
        WeightsError: names the broken file and its fault.
    """
    state = read_state(folder)
    return {name: unpack(folder / name, _content(folder / name, digest)) for name, digest in sorted(state[DIGESTS].items())}, state


def _content(file: Path, expected: str) -> bytes:
    """The bytes of a file, after comparing them with this digest."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WeightsError(f"{file}: cannot read it: {error.strerror}") from error
    _expect(file, expected, hashlib.sha256(data).hexdigest())
    return data


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
        digests = f"expected content with the SHA-256 {expected[:12]}..., received {received[:12]}..."
        raise WeightsError(f"{file}: {digests}: it was truncated, changed or replaced")
