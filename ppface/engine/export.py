"""Exports a model as a static Paddle inference model that runs without ppface, and compares its outputs with the live model's."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn
from paddle.static import InputSpec

import ppface
from ppface.core.config.run_config import EXPORT
from ppface.core.errors import UserError

MODEL = "model"
Draw = Callable[[int, tuple[int, int], int], np.ndarray]  # see `questions`


class _Inference(nn.Layer):
    """From pixels to named outputs, in the order of their names: Paddle returns the outputs of a static model as a list."""

    def __init__(self, model: nn.Layer):
        super().__init__()
        self.model = model

    def forward(self, image: paddle.Tensor) -> list[paddle.Tensor]:
        outputs = self.model.infer(image)
        return [outputs[name] for name in sorted(outputs)]


def write(model: nn.Layer, folder: Path, about: dict[str, Any]) -> None:
    """Writes `model.json`, `model.pdiparams` and `inference.yml`.

    Args:
        model: put in evaluation mode; normalisation, decoding and NMS go into the file with it.
        folder: must exist.
        about: further content of `inference.yml`: version, how the model was trained.

    Shape:
        the static model takes `image` (N, 3, H, W) uint8 RGB with any N, and any H and W where the model does
    """
    describe(model, folder, trace(model, folder), about)


def trace(model: nn.Layer, folder: Path) -> list[str]:
    """Writes `model.json` and `model.pdiparams`; returns the names of the outputs.

    Paddle would rewrite the source of each Python function that it traces, for branches and loops that depend on values of tensors. No
    function of ppface has them, and rewriting would take three quarters of the time; a user's own modules are still rewritten.
    """
    paddle.jit.ignore_module([ppface])
    model.eval()
    height, width = model.input.size
    with paddle.no_grad():
        names = sorted(model.infer(paddle.zeros([1, 3, height, width], "uint8")))
    sides = [None, None] if model.any_size else [height, width]
    static = paddle.jit.to_static(_Inference(model), input_spec=[InputSpec([None, 3, *sides], "uint8", "image")], full_graph=True)
    with _named(model), tempfile.TemporaryDirectory() as aside:  # Paddle cannot write to a path that the locale cannot encode
        paddle.jit.save(static, str(Path(aside, MODEL)))
        for file in Path(aside).iterdir():
            shutil.move(file, folder / file.name)
    return names


@contextmanager
def _named(model: nn.Layer) -> Iterator[None]:
    """Within the block Paddle's names of parameters and buffers are those of checkpoints: the static model has them, in their order.

    Otherwise they would hold counters: exports of one model would differ by what the process has made before, as linear_99 comes after
    linear_100.
    """
    tensors = {id(value): (name, value, value.name) for name, value in (*model.named_parameters(), *model.named_buffers())}
    try:
        for name, value, _ in tensors.values():
            value.name = name
        yield
    finally:
        for _, value, own in tensors.values():
            value.name = own


def describe(model: nn.Layer, folder: Path, names: list[str], about: dict[str, Any]) -> None:
    """Writes `inference.yml`: what the model takes and returns, and the digests of the files `model.*` in the folder."""
    height, width = model.input.size
    test = model.input.test
    described = {
        "format": 1,
        "input": {
            "name": "image",
            "layout": "NCHW",
            "color": "RGB",
            "dtype": "uint8",
            "size": [height, width],
            "test": {
                "mode": test.mode,
                "size": None if test.size is None else list(test.size),
                "max_side": test.max_side,
                **({"coarser": test.coarser, "large": test.large} if test.coarser else {}),
            },
        },
        "outputs": names,
        **_stated(model.head, "classes", list),
        **_stated(model.post, "score_threshold", float),
        "sha256": digests(folder),
        **about,
    }
    (folder / EXPORT).write_text(yaml.safe_dump(described, sort_keys=False, default_flow_style=None, width=120), encoding="utf-8")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files `model.*` of an export."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob(f"{MODEL}.*"))}


def _stated(part: Any, name: str, kind: type) -> dict[str, Any]:
    """An attribute of a part of the model by its name, if the part has it."""
    value = getattr(part, name, None)
    return {} if value is None else {name: kind(value)}


def verify(live: Any, exported: Any, tolerance: float, draw: Draw | None = None) -> float:
    """The largest difference between both on `questions`.

    Args:
        live: the model's predictor.
        exported: the exported model's.
        tolerance: see `compare`.
        draw: see `questions`.

    Raises:
        UserError: their outputs differ.
    """
    return max(compare(live(batch), exported(batch), tolerance) for batch in questions(live.model, draw=draw))


def questions(model: nn.Layer, counts: tuple[int, ...] = (1, 2), draw: Draw | None = None) -> list[dict[str, np.ndarray]]:
    """Batches of these counts of pictures at the training size and, if the model takes any size, one picture of an odd size.

    Args:
        model: that answers them.
        counts: of the batches.
        draw: (count, (height, width), seed) -> (count, 3, height, width) uint8, all different; with it one more picture is noise, to
            which detectors answer with many rows. None: all are noise with coarse structure.
    """
    height, width = model.input.size
    odd = [(1, (height + 33, width - width // 5 - 1))] if model.any_size else []
    batches = [(counts[0], (height, width)), *odd, *((count, (height, width)) for count in counts[1:])]
    pictures = [(draw or _noise)(count, size, seed) for seed, (count, size) in enumerate(batches)]
    return [{"image": image} for image in [*pictures, *([_noise(1, (height, width), 0)] if draw else [])]]


def _noise(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 3, 1 + size[0] // 16, 1 + size[1] // 16))
    image = np.kron(coarse, np.ones((16, 16)))[:, :, : size[0], : size[1]] + rng.integers(-8, 9, (count, 3, *size))
    return image.clip(0, 255).astype("uint8")


def compare(live: dict[str, np.ndarray], exported: dict[str, np.ndarray], tolerance: float) -> float:
    """The largest difference between two sets of outputs, relative to 1 + |value|.

    If thresholds inside (score, overlap) keep another number of rows, the rows are compared as sets, and one row in a hundred may have
    no counterpart: rounding decides which side of a threshold a value falls on.

    Raises:
        UserError: another set of outputs, or a difference beyond the tolerance.
    """
    if live.keys() != exported.keys():
        raise UserError(f"the exported model has the outputs {sorted(exported)}, expected {sorted(live)}")
    if all(live[name].shape == exported[name].shape for name in live):
        worst = max((_difference(live[name], exported[name]).max(initial=0.0) for name in live), default=0.0)
        if worst <= tolerance:
            return float(worst)
    ours, theirs = _rows(live, exported)
    if min(len(ours), len(theirs)) == 0:
        nearest = np.full(max(len(ours), len(theirs)), np.inf)
    else:
        apart = _difference(ours[:, None], theirs[None]).max(axis=2)
        nearest = np.concatenate([apart.min(axis=0), apart.min(axis=1)])
    alone = int((nearest > tolerance).sum())
    if alone > 0.01 * len(nearest):
        found = f"{alone} of {len(nearest)} rows differ by more than {tolerance} (median difference {np.median(nearest):.3g})"
        raise UserError(f"the outputs of the exported model differ from the live model: {found}; nothing was exported")
    return float(nearest[nearest <= tolerance].max(initial=0.0))


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| / (1 + |a|); infinities and NaN differ from themselves by 0, from anything else by infinity."""
    a, b = np.broadcast_arrays(a.astype("float64"), b.astype("float64"))
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b) / (1 + np.abs(a))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _rows(live: dict[str, np.ndarray], exported: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The row-wise outputs of both, side by side: those whose number of rows differs, else the longest ones."""
    for name, value in live.items():
        if value.shape[1:] != exported[name].shape[1:]:
            raise UserError(f"the exported model's {name!r} has shape {exported[name].shape}, expected {value.shape}")
    longest = max(len(value) for value in live.values())
    names = [name for name in sorted(live) if len(live[name]) != len(exported[name])]
    names = names or [name for name in sorted(live) if len(live[name]) == longest]
    widths = [int(np.prod(live[name].shape[1:])) for name in names]
    flat = [[answer[name].reshape(-1, width) for name, width in zip(names, widths, strict=True)] for answer in (live, exported)]
    return [np.concatenate(columns, axis=1) for columns in flat]
