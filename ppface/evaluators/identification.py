"""Closed-set identification: each probe is searched among the pictures of a gallery and of distractors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ppface.core.errors import DataError
from ppface.core.registry import Kind, register
from ppface.data.loading import label_files
from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures import picture_files
from ppface.data.pictures.picture import Picture
from ppface.data.synthetic import is_synthetic
from ppface.data.transforms import geometry
from ppface.evaluators.embedding import cache_folder, embed_all
from ppface.ops.embedding import described
from ppface.ops.resize import TestSize, aligned, check_aligned

ROWS = 64  # probes of a block of scores
RANKS = (1, 5, 20)


def evaluate(
    gallery: np.ndarray,
    gallery_subjects: np.ndarray,
    probes: np.ndarray,
    probe_subjects: np.ndarray,
    distractors: np.ndarray | None = None,
    ranks: Sequence[int] = RANKS,
) -> dict[str, float]:
    """The values of `Identification` from embeddings.

    Args:
        gallery: of any length.
        gallery_subjects: the person of each.
        probes: of any length.
        probe_subjects: the person of each, who is in the gallery.
        distractors: of people who are neither.
        ranks: each >= 1.

    Shape:
        (G, D), (G,), (P, D), (P,), (N, D) -> {"rank1": 0..1, ...}

    Raises:
        DataError: arrays that do not fit together, numbers that are not finite, or a probe without a mate.
    """
    if distractors is None:
        distractors = np.zeros((0, gallery.shape[1]))
    for name, rows, subjects in (("gallery", gallery, gallery_subjects), ("probes", probes, probe_subjects)):
        if rows.ndim != 2 or not len(rows) or np.shape(subjects) != (len(rows),):
            raise DataError(f"{name}: expected embeddings (N, D) and as many subjects, received {rows.shape} and {np.shape(subjects)}")
    if alone := sorted(set(np.asarray(probe_subjects).tolist()) - set(np.asarray(gallery_subjects).tolist())):
        raise DataError(f"probes: expected people of the gallery, received {', '.join(map(str, alone[:10]))}")
    searched = _unit(np.concatenate([gallery, distractors]), "gallery").T
    queries, subjects = _unit(probes, "probes"), np.asarray(probe_subjects)
    place = np.empty(len(queries), np.int64)
    for low in range(0, len(queries), ROWS):
        block = slice(low, low + ROWS)
        scores = queries[block] @ searched
        mates = subjects[block, None] == np.asarray(gallery_subjects)
        best = np.where(mates, scores[:, : len(gallery)], -np.inf).max(axis=1, keepdims=True)
        place[block] = (scores >= best).sum(axis=1) - (mates & (scores[:, : len(gallery)] >= best)).sum(axis=1)
    return {f"rank{rank}": float((place < rank).mean()) for rank in ranks}


def _unit(rows: np.ndarray, name: str) -> np.ndarray:
    rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise DataError(f"{name}: expected embeddings of finite numbers: the model has diverged or a file is damaged")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length == 0, 1, length)


class _Folder:
    """The pictures of a folder as a data set without labels."""

    def __init__(self, root: str):
        folder = label_files.folder(Path(root), "Identification", "expected a folder with the pictures of the distractors")
        self.files = [str(folder / file) for file in picture_files.find(folder).files]
        if not self.files:
            raise DataError(f"Identification: expected pictures of distractors in {folder}, found none")

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return self.files[index]

    def __getitem__(self, index: int) -> dict:
        return {"picture": Picture.open(self.files[index])}


@register("evaluator")
class Identification:
    """The closed-set protocol of TinyFace, Cheng et al. 2018, https://arxiv.org/abs/1811.08965, section 4, on any pictures of people: the
    share of probes with a mate, any of its person's pictures in the gallery, among the k most similar pictures.

    A person is the same in gallery and probes if `class_names` name them alike: folders of people, words or numbers of lists.

    Args:
        gallery: pictures of people, such as TinyFace, IdentityFolder or IdentityList.
        probes: other pictures of the same people.
        distractors: folder of pictures of other people, which the gallery gets too; none adds nobody.
        ranks: each k, >= 1.
        flip: embedding = e(picture) + e(mirrored picture).
        resize: stretch pictures of another size to the model's size; otherwise they are an error, unless the model's test mode is
            "letterbox".
        cache: folder in which embeddings are kept, see TemplateVerification.
        batch_size: pictures per call of `predict`, > 0.

    Shape:
        predict: {"image": (N, 3, H, W) uint8} -> {"embedding": (N, D), ...}, L2-normalised or not;
        the evaluator yields ("rank1", 0..1), ("rank5", ...), ...

    Raises:
        DataError: probes of people who are not in the gallery, or no distractors in their folder; when called, broken pictures or ones of
            another size.
        ValueError: a data set without labels, no rank, one under 1, or batch_size under 1.
    """

    def __init__(
        self,
        gallery: Annotated[Any, Kind("dataset")],
        probes: Annotated[Any, Kind("dataset")],
        distractors: str | None = None,
        ranks: list[int] = [1, 5, 20],  # noqa: B006 (never changed)
        flip: bool = True,
        resize: bool = False,
        cache: str | None = None,
        batch_size: int = 64,
    ):
        if batch_size < 1 or not ranks or min(ranks) < 1:
            raise ValueError(f"Identification: expected ranks and batch_size of at least 1, received {list(ranks)} and {batch_size}")
        self.subjects = [_subjects(gallery, "gallery"), _subjects(probes, "probes")]
        known = set(self.subjects[0])
        label_files.refuse(
            f"{probes.name(i)}: expected probes of people in the gallery, {str(subject)!r} is not"
            for i, subject in enumerate(self.subjects[1])
            if subject not in known
        )
        self.sets = [gallery, probes, *([_Folder(distractors)] if distractors is not None else [])]
        self.starts = np.cumsum([0, *map(len, self.sets)])
        self.ranks, self.flip, self.resize, self.cache, self.batch_size = list(ranks), flip, resize, cache, batch_size
        self._pipeline = Pipeline([])

    def values(self) -> list[str]:
        """The names of the values that it yields."""
        return [f"rank{rank}" for rank in self.ranks]

    def check(self, predict: Any) -> None:
        """Opens the header of every picture, of synthetic ones only the first; raises a DataError that lists all that cannot be used."""
        policy = getattr(predict, "test_size", None) or TestSize()
        for pictures in self.sets:

            def look(index: int, pictures: Any = pictures) -> tuple[int, int]:
                size = geometry.size(pictures[index])
                check_aligned(size, policy.of(*size), pictures.name(index), self.resize or policy.letterbox)
                return policy.of(*size)

            sizes = label_files.read_all(look, 1 if is_synthetic(pictures) else len(pictures))
            described(predict, [np.zeros((*sizes[0], 3), np.uint8)])

    def __call__(self, predict: Any) -> Iterator[tuple[str, float]]:
        policy = getattr(predict, "test_size", None) or TestSize()
        names = [pictures.name(i) for pictures in self.sets for i in range(len(pictures))]
        about = [policy.mode, policy.size, self.flip, self.resize, *names]
        folder = cache_folder(self.cache, predict, about) if self.cache is not None else None

        def image(index: int) -> np.ndarray:
            at = int(np.searchsorted(self.starts, index, side="right")) - 1
            sample = self.sets[at][index - int(self.starts[at])]
            pixels = self._pipeline(sample, np.random.default_rng(0))["image"].transpose(1, 2, 0)
            return aligned(np.ascontiguousarray(pixels), policy.of(*pixels.shape[:2]), names[index], self.resize, policy.letterbox)

        found = embed_all(predict, image, len(names), flip=self.flip, batch_size=self.batch_size, folder=folder)
        rows = found["embedding"] + found["flipped"] if self.flip else found["embedding"]
        gallery, probes, *more = (rows[start:stop] for start, stop in zip(self.starts, self.starts[1:], strict=False))
        yield from evaluate(gallery, self.subjects[0], probes, self.subjects[1], more[0] if more else None, self.ranks).items()


def _subjects(dataset: Any, role: str) -> np.ndarray:
    """The name of the person of each picture."""
    labels, names = getattr(dataset, "labels", None), getattr(dataset, "class_names", None)
    if labels is None or names is None:
        raise ValueError(f"Identification: expected {role} with labels, received {type(dataset).__name__}, which names no people")
    return np.array(names)[labels]
