"""Statistics of a data set of identities: pictures per identity, and picture sizes."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.files.file_names import printable
from ppface.data.recognition.identities import Identities


@dataclass(frozen=True)
class Report:
    """Counts of a data set.

    Attributes:
        counts: (class_num,) pictures of each identity.
        sizes: (height, width) -> pictures of that size, among those read.
        looked_at: pictures whose headers were read.
        broken: name -> reason, among them.
    """

    counts: np.ndarray
    sizes: Counter
    looked_at: int
    broken: dict[str, str]

    def numbers(self) -> dict:
        """For JSON."""
        edges, bars = self.histogram()
        return {
            "identities": len(self.counts),
            "images": int(self.counts.sum()),
            "images_per_identity": {
                "min": int(self.counts.min()),
                "median": float(np.median(self.counts)),
                "mean": float(self.counts.mean()),
                "max": int(self.counts.max()),
                "histogram": [{"from": low, "to": high, "identities": bar} for low, high, bar in zip(edges, edges[1:], bars, strict=False)],
            },
            "looked_at": self.looked_at,
            "image_sizes": [{"size": list(size), "images": count} for size, count in self.sizes.most_common()],
            "broken": self.broken,
        }

    def histogram(self) -> tuple[list[int], list[int]]:
        """Bin edges, which double, and the number of identities in each bin; a bin excludes its upper edge."""
        edges = [1]
        while edges[-1] <= self.counts.max():
            edges.append(2 * edges[-1])
        return edges, np.histogram(self.counts, [edge - 0.5 for edge in edges])[0].tolist()

    def text(self) -> str:
        """The same as text."""
        numbers = self.numbers()
        per = numbers["images_per_identity"]
        lines = [f"identities {numbers['identities']:>10,}", f"images     {numbers['images']:>10,}"]
        lines += ["", f"images per identity: min {per['min']}, median {per['median']:g}, mean {per['mean']:.1f}, max {per['max']}"]
        lines += [_bar(_span(bar["from"], bar["to"]), bar["identities"], len(self.counts)) for bar in per["histogram"]]
        lines += ["", f"image sizes (width x height) of {self.looked_at} images read"]
        lines += [_bar(f"{width}x{height}", count, self.looked_at) for (height, width), count in self.sizes.most_common(12)]
        if len(self.sizes) > 12:
            lines.append(f"and {len(self.sizes) - 12} other sizes")
        return "\n".join([*lines, "", f"broken: {len(self.broken)}", *(f"  {reason}" for reason in self.broken.values())])


def report(data: Identities, sample: int = 2000) -> Report:
    """Counts all labels, and reads the headers of up to `sample` >= 0 evenly spaced pictures; 0: of all."""
    assert sample >= 0
    chosen = np.arange(len(data)) if sample == 0 else np.unique(np.linspace(0, len(data) - 1, sample).astype(np.int64))
    sizes: Counter = Counter()
    broken: dict[str, str] = {}
    for index in chosen.tolist():
        try:
            sizes[data.read(index)[0].size] += 1
        except DataError as error:
            broken[data.name(index)] = str(error)
    return Report(np.bincount(data.labels, minlength=data.class_num), sizes, len(chosen), broken)


def draw(found: Report, path: Path, title: str) -> None:
    """Draws both histograms into one PNG file.

    Raises:
        DataError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # 0.3 s, so only when needed
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    identities, sizes = figure.subplots(1, 2)
    edges, bars = found.histogram()
    identities.bar([_span(low, high) for low, high in pairwise(edges)], bars)
    identities.set(
        xlabel="images per identity", ylabel="identities", title=f"{len(found.counts):,} identities, {found.counts.sum():,} images"
    )
    common = found.sizes.most_common(12)
    sizes.barh([f"{width}x{height}" for (height, width), _ in common][::-1], [count for _, count in common][::-1])
    sizes.set(xlabel=f"of {found.looked_at:,} images", title="image sizes")
    figure.suptitle(printable(title))
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise DataError(f"{path}: cannot write the plot: {error.strerror}") from None


def _span(low: int, high: int) -> str:
    return f"{low}" if high == low + 1 else f"{low}..{high - 1}"


def _bar(name: str, count: int, whole: int) -> str:
    return f"{name:>12} {count:>10,}  {'#' * round(40 * count / max(1, whole))}".rstrip()
