"""The options that name faces on a command line, without a process."""

import argparse

import numpy as np
import pytest

from ppface.core.errors import UserError
from ppface.ops.resize import TestSize
from ppface.predict import FaceDetector, FacePipeline, naming_options
from ppface.predict.named_faces import NamedFaces


class Boxes:
    test_size = TestSize()

    def outputs(self):
        return ["boxes", "landmarks", "scores"]

    def __call__(self, batch):
        return {"boxes": np.zeros((0, 4)), "landmarks": np.zeros((0, 5, 2)), "scores": np.zeros(0)}


def options(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--threads", type=int)
    naming_options.add_options(parser)
    return parser.parse_args([str(word) for word in words])


def test_with_an_embedder_the_detector_becomes_a_pipeline(toy_export):
    find = FaceDetector(Boxes())
    assert naming_options.named(find, options("--flip"), 0.5) == (find, None)
    given = options("--embedder", toy_export, "--align", "crop", "--flip", "--threads", 1)
    pipeline, follow = naming_options.named(find, given, 0.25)
    assert isinstance(pipeline, FacePipeline) and isinstance(follow, NamedFaces) and follow.names is None
    assert (pipeline.align, pipeline.threshold, pipeline.size, given.flip) == ("crop", 0.25, (16, 16), False)
    assert pipeline(np.zeros((20, 20, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("given", "threshold", "message"),
    [
        (["--same", 0.5], 0.5, "--same: it needs a recognition model: give one by --embedder"),
        (["--align", "eyes"], 0.5, "--align: it needs a recognition model: give one by --embedder"),
        (["--embedder", "EXPORT", "--people", "x"], 0.5, "--people FOLDER and --same COSINE belong together: give both or neither"),
        (["--embedder", "EXPORT", "--people", "x", "--same", 2], 0.5, "FolderNames: expected threshold in -1..1, received 2.0"),
        (["--embedder", "EXPORT"], 7, "FacePipeline: expected threshold in 0..1 and batch_size of at least 1, received 7 and 32"),
        (
            ["--embedder", "builtin"],
            0.5,
            "FacePipeline: embedder: expected a model that embeds aligned faces (output 'embedding'), received builtin: a model with boxes, "
            "count, landmarks, scores",
        ),
    ],
)
def test_options_that_do_not_fit(toy_export, given, threshold, message):
    with pytest.raises(UserError) as raised:
        naming_options.named(FaceDetector(Boxes()), options(*(toy_export if word == "EXPORT" else word for word in given)), threshold)
    assert str(raised.value) == message
