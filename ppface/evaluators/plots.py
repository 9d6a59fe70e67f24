"""Curves and scores as pictures (PNG) and as numbers (JSON)."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import on_disk
from ppface.evaluators.ap import THRESHOLDS, Curve
from ppface.evaluators.error_reject import ErrorReject


def make_folder(path: str | Path) -> Path:
    """Creates the folder if it is missing and checks that it is writable; called before an evaluation, which may take long.

    Raises:
        DataError: it cannot be made or written to.
    """
    path = Path(on_disk(path))
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    return path


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raises DataError in place of an OSError, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{folder}: cannot write here ({error.strerror or error}); choose another save_dir") from error


def draw_curves(curves: Mapping[str, Curve], path: str | Path, title: str) -> None:
    """Draws one or more precision-recall curves into one PNG file; the legend gives each curve's name and AP."""
    figure, axes = _figure()
    for name, curve in curves.items():
        seen = curve.precision > 0  # the curve starts at the first true positive
        axes.plot(curve.recall[seen], curve.precision[seen], label=f"{name}  AP {curve.ap:.4f}  ({curve.faces:,} faces)")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(path)


def write_curves(curves: Mapping[str, Curve], path: str | Path) -> None:
    """Writes {name: {"ap", "faces", "threshold": [1000], "precision": [1000], "recall": [1000]}} as JSON."""
    numbers = {
        name: {
            "ap": curve.ap,
            "faces": curve.faces,
            "threshold": THRESHOLDS.round(6).tolist(),
            "precision": curve.precision.round(6).tolist(),
            "recall": curve.recall.round(6).tolist(),
        }
        for name, curve in curves.items()
    }
    Path(path).write_text(json.dumps(numbers) + "\n", encoding="utf-8")


def draw_cumulative(errors: Mapping[str, np.ndarray], threshold: float, path: str | Path) -> None:
    """Draws the share of faces with at most an error, up to `threshold`, into one PNG file; the legend gives each mean error."""
    figure, axes = _figure()
    for name, values in errors.items():
        ordered = np.sort(values)
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        axes.step([0, *ordered], [0, *share], where="post", label=f"{name}  mean {values.mean():.4f}  ({len(values):,} faces)")
    axes.set(xlim=(0, threshold), ylim=(0, 1.02), xlabel="normalised error", ylabel="share of faces", title="cumulative error")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path)


def draw_roc(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], path: str | Path) -> None:
    """Draws ROC curves, (FAR, TAR) each, into one PNG file, FAR on a logarithmic axis; the legend gives the names."""
    figure, axes = _figure()
    least = min(far[far > 0].min() for far, _ in curves.values())
    for name, (far, tar) in curves.items():
        seen = np.append(np.diff(far) > 0, True)  # the highest TAR at each FAR
        axes.step(np.maximum(far[seen], least / 2), tar[seen], where="post", label=name)
    axes.set(xscale="log", xlim=(least / 2, 1), ylim=(None, 1.005), xlabel="false accept rate", ylabel="true accept rate", title="ROC")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path)


def draw_error_reject(curves: Mapping[str, ErrorReject], path: str | Path) -> None:
    """Draws error-versus-reject curves into one PNG file; the legend gives the names."""
    figure, axes = _figure()
    for name, curve in curves.items():
        axes.step(curve.rejected, curve.fnmr, where="post", label=f"{name}  FMR {curve.fmr:.2g}")
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="share of rejected pairs", ylabel="false non-match rate", title="error versus reject")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    figure.savefig(path)


def draw_scores(similarity: np.ndarray, issame: np.ndarray, threshold: float, path: str | Path, title: str) -> None:
    """Draws histograms of the cosine similarity (N,) of same and of different pairs, `issame` (N,) bool, and the threshold."""
    figure, axes = _figure()
    bins = np.linspace(similarity.min(), similarity.max() + 1e-9, 81)
    axes.hist([similarity[~issame], similarity[issame]], bins, histtype="stepfilled", alpha=0.6, label=["different", "same"])
    axes.axvline(threshold, color="black", linewidth=1, label=f"threshold {threshold:.3f}")
    axes.set(xlabel="cosine similarity", ylabel="pairs", title=title)
    axes.legend()
    figure.savefig(path)


def _figure() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # 0.3 s, so only when needed
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
