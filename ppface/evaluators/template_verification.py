"""Verification and identification of templates, several images of a person each: IJB-B, IJB-C, and protocols in their layout."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import register
from ppface.data.loading.label_files import read_all
from ppface.data.pictures.picture import Picture
from ppface.evaluators import template_files
from ppface.evaluators.embedding import cache_folder, embed_all, read_embeddings
from ppface.evaluators.plots import make_folder, writing
from ppface.evaluators.roc import Rule, rate_name
from ppface.evaluators.templates import FARS, FPIRS, RANKS, compare, fuse, identify
from ppface.ops.align import align
from ppface.ops.embedding import outputs

Predict = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
Mode = Literal["N1D1F2", "N1D1F0", "N1D0F2", "N1D0F0", "N0D1F2", "N0D1F0", "N0D0F2", "N0D0F0"]
RULES: dict[str, Rule] = {"tpr": "nearest", "tpr_strict": "strict"}
VALUES_FILE = "templates.csv"
PRECISION = "TemplateVerification: fusion: precision"


@register("evaluator")
class TemplateVerification:
    """The protocols of IJB-B, Whitelam et al. 2017, https://doi.org/10.1109/CVPRW.2017.87, and IJB-C, Maze et al. 2018,
    https://doi.org/10.1109/ICB2018.2018.00033, from the files of https://github.com/deepinsight/insightface (recognition/_evaluation_/ijb):
    faces are aligned by five points, embedded with their mirror image and fused to templates; see `templates.verify` and `.identify`.

    Args:
        root: folder with `meta` and `loose_crop`, see `template_files.read`: also a small protocol of one's own.
        modes: how an image's vector is made, "all" for all eight: N1 keeps the embedding's length, N0 divides by it; D1 multiplies by the
            detector's score, D0 does not; F2 adds the mirrored image's embedding, F0 does not. N1D1F2 is usual, N1D0F2 AdaFace's.
        fusion: "media": mean of each media, sum of a template's media; "norm_weighted": the mean of all images of a template, unit vectors
            weighted by their lengths, whatever N says (AdaFace's norm_weighted_avg); "precision": the mean weighted by 1 / variance of a
            model with the output "variance" (PFE), for modes with F0.
        embeddings: stored ones instead of the model's: `embeddings.npz` of a former cache, with "embedding" and, for F2, "flipped", or a
            .npy (N, D) for modes with F0, of the pictures in the order of NAME_face_tid_mid.txt; no pictures are needed.
        cache: folder in which embeddings are kept, of the mirrored images too: an interrupted evaluation continues there, and a complete
            one is not embedded again. Each model has a subfolder, in a training each evaluation. None keeps nothing.
        save_dir: folder for `templates.csv`, a row for each mode; none writes nothing.
        batch_size: pictures per call of `predict`, > 0.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...} before L2 normalisation; not called with `embeddings`;
        the evaluator yields for each mode ("ijbc/N1D1F2/tpr@1e-4", 0..1) ... by the nearest rule, "tpr_strict@1e-4" ... by the strict
        one, down to the FAR that the pairs can show, "auc"; with galleries "tpir@0.01", "tpir@0.1", "rank1", "rank5", "rank10"

    Raises:
        DataError: lists that are malformed or do not fit together, or missing pictures; when called, a broken picture.
        ValueError: no mode, one twice, batch_size under 1, or precision with F2.
    """

    def __init__(
        self,
        root: str,
        modes: list[Mode] | Literal["all"] = ["N1D1F2"],  # noqa: B006 (never changed)
        fusion: Literal["media", "norm_weighted", "precision"] = "media",
        embeddings: str | None = None,
        cache: str | None = None,
        save_dir: str | None = None,
        batch_size: int = 64,
    ):
        self.modes = list(get_args(Mode)) if modes == "all" else list(modes)
        if batch_size < 1 or not self.modes or len(set(self.modes)) < len(self.modes):
            received = f"{', '.join(self.modes) or 'none'} and {batch_size}"
            raise ValueError(f"TemplateVerification: expected different modes and batch_size of at least 1, received {received}")
        self.flip = any(mode.endswith("F2") for mode in self.modes)
        if fusion == "precision" and self.flip:
            raise ValueError(f"{PRECISION}: expected modes with F0, received {', '.join(self.modes)}")
        self.fusion, self.cache, self.save_dir, self.batch_size = fusion, cache, save_dir, batch_size
        self.names = ["embedding", *(["variance"] if fusion == "precision" else [])]
        self.files = template_files.read(root, pictures=embeddings is None)
        wanted = [*self.names, *(["flipped"] if self.flip else [])]
        self.stored = None if embeddings is None else read_embeddings(embeddings, len(self.files.pictures), wanted)
        self.fars = [far for far in FARS if np.count_nonzero(~self.files.same) * far >= 1]

    def values(self) -> list[str]:
        """The names of the values that it yields."""
        keys = []
        if len(self.files.pairs):
            keys += [f"{rule}@{rate_name(far)}" for rule in RULES for far in self.fars] + ["auc"]
        if self.files.galleries:
            keys += [f"tpir@{fpir:g}" for fpir in FPIRS] + [f"rank{k}" for k in RANKS]
        return [f"{self.files.name}/{mode}/{key}" for mode in self.modes for key in keys]

    def check(self, predict: Predict) -> None:
        """Opens the header of every picture; raises a DataError that lists all that cannot be read."""
        if self.save_dir:
            make_folder(self.save_dir)
        if self.stored is None:
            read_all(lambda i: Picture.open(self.files.pictures[i]), len(self.files.pictures))
            size = getattr(getattr(predict, "test_size", None), "size", None) or (112, 112)
            outputs(self._answering(predict), [np.zeros((*size, 3), np.uint8)], self.names)

    def __call__(self, predict: Predict) -> Iterator[tuple[str, float]]:
        folder = make_folder(self.save_dir) if self.save_dir else None
        arrays = self._embedded(predict) if self.stored is None else self.stored
        found = {mode: self._scored(mode, arrays) for mode in self.modes}
        if folder:
            with writing(folder):
                _write(found, folder / VALUES_FILE)
        for mode, values in found.items():
            yield from ((f"{self.files.name}/{mode}/{key}", value) for key, value in values.items())

    def _embedded(self, predict: Any) -> Any:
        files = self.files
        size = getattr(getattr(predict, "test_size", None), "size", None) or (112, 112)
        flip = self.flip or self.cache is not None
        folder = None
        if self.cache is not None:
            about = [size, flip, self.names, *files.pictures, files.points.tolist()]
            folder = cache_folder(self.cache, predict, about)

        def image(i: int) -> np.ndarray:
            return align(Picture.open(files.pictures[i]).decode(), files.points[i], size)

        return embed_all(self._answering(predict), image, len(files.pictures), self.names, flip, self.batch_size, folder)

    def _answering(self, predict: Predict) -> Predict:
        """`predict`, which names the key that asks for a variance if the model has none."""

        def answer(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            found = predict(batch)
            if self.fusion == "precision" and "variance" not in found:
                received = f"received one with {', '.join(sorted(found))}: set fusion to media or norm_weighted, or choose such a model"
                raise DataError(f"{PRECISION}: expected a model with the output 'variance' (UncertaintyHead), {received}")
            return found

        return answer

    def _scored(self, mode: str, arrays: Any) -> dict[str, float]:
        files, norm, detector, flip = self.files, mode[1] == "1", mode[3] == "1", mode[5] == "2"
        x, flipped = arrays["embedding"], arrays["flipped"] if flip else None
        weights = None
        if self.fusion == "norm_weighted":
            norm, weights = False, np.linalg.norm(x + flipped if flip else x, axis=1)
        elif self.fusion == "precision":
            if not (arrays["variance"] > 0).all():
                raise DataError(f"{PRECISION}: expected variances above 0 everywhere, received {arrays['variance'].min():g}")
            weights = 1 / arrays["variance"]
        ids, vectors = fuse(x, flipped, files.template, files.media, files.score, norm, detector, flip, weights)
        values: dict[str, float] = {}
        if len(files.pairs):
            values |= compare(ids, vectors, files.pairs, files.same, RULES, self.fars)
        if files.galleries:
            values |= identify(vectors, ids, files.galleries, files.probes, warn=False)  # `template_files` warned
        return values


def _write(found: dict[str, dict[str, float]], path: Path) -> None:
    """A row for each mode."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["mode", *next(iter(found.values()))])
        table.writerows([mode, *(f"{value:.6f}" for value in values.values())] for mode, values in found.items())
