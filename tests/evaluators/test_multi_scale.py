"""Multi-scale testing: which views a picture is looked at in, and what each may say."""

import re
from pathlib import Path

import numpy as np
import pytest

from ppface.core.config.spec import load_config
from ppface.evaluators.detect import detect
from ppface.evaluators.multi_scale import MultiScale


class Views:
    """A detector that notes the sizes it sees, and finds one box that is the same part of every view, mirrored or not."""

    def __init__(self, part, score=0.5):
        self.part, self.score, self.sizes = np.array(part), score, []

    def __call__(self, batch):
        _, _, height, width = batch["image"].shape
        self.sizes.append((height, width))
        box = self.part * [width, height, width, height]
        return {"boxes": box[None], "scores": np.array([self.score]), "count": np.array([1])}


IMAGE = np.zeros((100, 200, 3), "uint8")


def test_small_faces_come_from_enlarged_views_and_large_ones_from_shrunk_views():
    # the test size is twice the picture: a face of 0.25 x 0.2 is 100 x 40 pixels there
    half, double = MultiScale([0.5], flip=False, min_votes=2), MultiScale([2.0], flip=False, min_votes=2)
    for part, in_half, in_double in (([0.4, 0.4, 0.65, 0.6], 1, 1), ([0.4, 0.4, 0.44, 0.5], 0, 1), ([0.1, 0.1, 0.9, 0.9], 1, 0)):
        assert len(half(Views(part), IMAGE, (200, 400))) == in_half
        assert len(double(Views(part), IMAGE, (200, 400))) == in_double


def test_the_size_of_a_face_is_that_at_the_test_size():
    # the picture is stretched to twice its width: a face 60 pixels wide and as high as the picture is 120 x 100 there, not small
    rows = MultiScale([2.0], flip=False, min_votes=2)(Views([0.1, 0.0, 0.4, 1.0]), IMAGE, (100, 400))
    assert len(rows) == 0


def test_views_larger_than_the_limit_are_left_out_and_the_base_is_scaled_down():
    views = Views([0.4, 0.4, 0.6, 0.6])
    MultiScale([0.5, 1.5, 2.0], flip=False, max_pixels=45_000)(views, IMAGE, (100, 200))
    assert views.sizes == [(100, 200), (50, 100), (150, 300)]
    views.sizes.clear()
    MultiScale([0.25, 0.75], max_pixels=5_000)(views, IMAGE, (100, 200))
    assert views.sizes == [(50, 100), (50, 100), (25, 50)]


def test_the_mirror_image_votes_at_its_mirrored_place():
    # the detector always says "left", of the mirror image as well: that is "right" in the picture
    rows = MultiScale([])(Views([0.0, 0.4, 0.2, 0.6]), IMAGE, (100, 200))
    assert sorted(rows[:, :4].tolist()) == [[0, 40, 40, 60], [160, 40, 200, 60]]


def test_views_of_a_real_search_agree(detector, paint):
    """A bright part is found at its place in every view, so that all views vote for one box."""
    picture = paint((96, 160), [[16, 24, 64, 72, 230]])
    rows = detect(detector, lambda i: picture, 1, augmented=MultiScale([0.5, 1.5], min_votes=4))[0]
    assert rows.shape == (1, 5)
    np.testing.assert_allclose(rows[0, :4], [16, 24, 64, 72], atol=1.0)


def test_the_name_alone_is_enough_as_the_headers_of_configs_say():
    config = Path(__file__).resolve().parents[2] / "configs" / "detection" / "blazeface_1000e.yml"
    (option,) = re.findall(r"-o '([^']*MultiScale[^']*)'", config.read_text(encoding="utf-8"))
    assert load_config(config, [option])["evaluators"][0]["augmented"]["scales"] == [0.25, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": [0.5, 0.0]}, "MultiScale: expected scales above 0 and other than 1 (which is always used), received [0.5, 0.0]"),
        ({"scales": [1.0]}, "MultiScale: expected scales above 0 and other than 1 (which is always used), received [1.0]"),
        ({"scales": [], "vote_iou": 0.0}, "MultiScale: expected vote_iou above 0 and up to 1, received 0.0"),
        (
            {"scales": [], "min_votes": 0},
            "MultiScale: expected min_votes, max_pixels and max_faces of at least 1, received 0, 2777088, 750",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError) as caught:
        MultiScale(**arguments)
    assert str(caught.value) == message
