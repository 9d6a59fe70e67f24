"""Compares the faces of two pictures: do they show the same person?"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from embedder import similarity
from media import MediaError


def compare(find: Any, options: argparse.Namespace, read: Callable[[Path], np.ndarray], broken: Any) -> int:
    """Prints the similarity of the two pictures of `--compare`, and with `--threshold` the decision; returns the exit code.

    Args:
        find: image -> faces with embeddings.
        options: see session.add_options.
        read: reads a picture file.
        broken: the exceptions that `find` raises for a picture it cannot use.

    Raises:
        MediaError: a model without embeddings, or a picture that cannot be used.
    """
    if not embeds(find):
        raise MediaError("--compare: expected a model with the output 'embedding', this one finds faces")
    found = []
    for name in options.compare:
        image = read(Path(name))
        try:
            found.append(find(image)[0].embedding)
        except broken as error:
            raise MediaError(f"{name}: {error}") from None
    result: dict[str, Any] = {"pictures": options.compare, "similarity": round(similarity(*found), 6)}
    print(f"similarity {result['similarity']:.4f} (cosine, -1 to 1)")
    if options.threshold is not None:
        result |= {"threshold": options.threshold, "same": result["similarity"] > options.threshold}
        print(f"{'the same person' if result['same'] else 'two people'} at threshold {options.threshold:g}")
    if options.json:
        try:
            Path(options.json).write_text(json.dumps(result, indent=1), encoding="utf-8")
        except OSError as error:
            raise MediaError(f"{options.json}: cannot write the comparison: {error.strerror}") from None
    return 0


def embeds(find: Any) -> bool:
    """Whether `find` is an embedder, not a detector."""
    return hasattr(find, "flip")
