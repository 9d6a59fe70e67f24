"""The options with which a detector becomes a pipeline that names faces, for command lines."""

import argparse
from collections.abc import Callable
from typing import Any

from ppface.core.errors import UserError
from ppface.predict.alignment import ALIGNMENTS
from ppface.predict.face_pipeline import FacePipeline
from ppface.predict.folder_names import FolderNames
from ppface.predict.named_faces import NamedFaces, Names

NEED_EMBEDDER = ("align", "people", "same")


def add_options(parser: argparse.ArgumentParser) -> None:
    """--embedder and what belongs to it."""
    parser.add_argument("--embedder", metavar="MODEL", help="a recognition model, run on each face that the detector finds")
    parser.add_argument("--align", choices=tuple(ALIGNMENTS), help="how the faces are aligned for it (default: five_points)")
    parser.add_argument("--people", metavar="FOLDER", help="people to be named: FOLDER/NAME/photograph.jpg")
    parser.add_argument("--same", type=float, metavar="COSINE", help="similarity from which a face is one of them; depends on the model")


def named(
    find: Any, options: argparse.Namespace, threshold: float, gallery: Callable[[FacePipeline], Names] | None = None
) -> tuple[Any, NamedFaces | None]:
    """(the detector as a pipeline, what follows and names its faces); without --embedder (find, None).

    Args:
        find: a detector, with landmarks of its own or of a landmark model.
        options: see `add_options`; `flip` and `threads` too, of which `flip` is taken away.
        threshold: lowest score of a face.
        gallery: opens the gallery that names the faces, in place of --people.

    Raises:
        UserError: options without the one that they need, and as FacePipeline and FolderNames.
    """
    if not options.embedder:
        for name in NEED_EMBEDDER:
            if getattr(options, name) is not None:
                raise UserError(f"--{name}: it needs a recognition model: give one by --embedder")
        if gallery:
            raise UserError("--gallery: it needs the recognition model that its people were added with: give it by --embedder")
        return find, None
    if gallery and options.people is not None:
        raise UserError("expected --people or --gallery, received both")
    if (options.people is None) != (options.same is None):
        raise UserError("--people FOLDER and --same COSINE belong together: give both or neither")
    try:
        pipeline = FacePipeline(
            find, options.embedder, align=options.align or "five_points", threshold=threshold, flip=options.flip, threads=options.threads
        )
        people: Names | None = gallery(pipeline) if gallery else None
        if options.people is not None:
            people = FolderNames(pipeline, options.people, options.same)
    except ValueError as error:
        raise UserError(str(error)) from None
    options.flip = False
    return pipeline, NamedFaces(people)
