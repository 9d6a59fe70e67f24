"""FolderNames: a gallery in memory, of a folder with a folder of photographs for each person."""

from pathlib import Path

import numpy as np

from ppface.core.errors import DataError
from ppface.core.person_name import UNKNOWN, checked_name
from ppface.core.run.log import log
from ppface.data.pictures import picture_files
from ppface.ops.embedding import normalised
from ppface.predict.face_pipeline import FacePipeline
from ppface.predict.face_quality import ENROLLED, QualityLimits


class FolderNames:
    """People by their photographs, the largest face of each; searched by the most similar one.

    Args:
        pipeline: embeds the photographs, and the faces that are searched.
        folder: FOLDER/NAME/photograph.jpg; pictures beside these folders are left out.
        threshold: cosine from which a face is a person, else "Unknown"; -1..1. It depends on the model: measure it on people of yours.
        limits: faces beyond them are not enrolled; a line of the log names each.

    Raises:
        ValueError: a threshold out of its range.
        DataError: no such folder, nobody in it, a folder whose name no person can have, or a person without a face that can be enrolled.
    """

    def __init__(self, pipeline: FacePipeline, folder: str | Path, threshold: float, limits: QualityLimits = ENROLLED):
        if not -1 <= threshold <= 1:
            raise ValueError(f"FolderNames: expected threshold in -1..1, received {threshold}")
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(f"{folder}: expected a folder with a folder of photographs for each person, there is none")
        self.threshold, self.names = threshold, list[str]()
        rows, people = [], set()
        for file in picture_files.find(folder).files:
            person, *inside = Path(file).parts
            if not inside:
                continue
            name = _name_of(folder / person)
            people.add(name)
            faces = pipeline(folder / file)
            face = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]), default=None)
            if refusals := ["no face found"] if face is None else limits.refusals(face):
                log.warning("%s: not enrolled: %s", folder / file, "; ".join(refusals))
            elif face is not None:
                self.names.append(name)
                rows.append(normalised(face.embedding))
        if not people:
            raise DataError(f"{folder}: expected a folder of photographs for each person, FOLDER/NAME/photograph.jpg, found none")
        if lost := sorted(people - set(self.names)):
            raise DataError(f"{folder}: no photograph of {', '.join(lost[:10])} can be enrolled, for the reasons above")
        self._rows = np.stack(rows)

    def names_of(self, embeddings: np.ndarray) -> list[tuple[str, float]]:
        """(N, D) -> the best person's name and cosine of each, "Unknown" where the cosine is below the threshold."""
        scores = normalised(embeddings) @ self._rows.T
        best = scores.argmax(axis=1)
        found = scores[np.arange(len(best)), best]
        return [(self.names[i] if score >= self.threshold else UNKNOWN, float(score)) for i, score in zip(best, found, strict=True)]


def _name_of(folder: Path) -> str:
    try:
        return checked_name(folder.name)
    except DataError as error:
        raise DataError(f"{str(folder)!r}: rename this folder of a person: {error}") from None
