"""The augmentations of AdaFace, each against its rule done step by step on the pixels, and what they refuse."""

import cv2
import numpy as np
import pytest

from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures.picture import Picture
from ppface.data.transforms import ColorDistort, CropPad, Flip, LowResolution, Photometric, Resize
from ppface.data.transforms.color_distort import LUMA
from ppface.data.transforms.low_resolution import INTERPOLATIONS


class Constant:
    """A transform that writes into the sample."""

    def __init__(self, **values):
        self.values = values

    def __call__(self, sample, rng):
        return sample | self.values


def drawn(transforms, pixels, seed=0):
    """(H, W, 3) of what a pipeline makes of pixels."""
    return Pipeline(transforms)({"picture": Picture.of(pixels), "label": 3}, np.random.default_rng(seed))["image"].transpose(1, 2, 0)


@pytest.fixture
def pixels(rng):
    return rng.integers(1, 256, (112, 96, 3), dtype=np.uint8)


# --- crop and pad -----------------------------------------------------------------------------------------------------


def test_a_rectangle_stays_in_place_and_all_else_is_black(pixels):
    areas, ratios, corners = [], [], []
    for seed in range(300):
        image = drawn([CropPad(p=1)], pixels, seed)
        seen = image.any(axis=2)
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        y1, y2, x1, x2 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        want = np.zeros_like(pixels)
        want[y1:y2, x1:x2] = pixels[y1:y2, x1:x2]
        np.testing.assert_array_equal(image, want)
        areas.append((y2 - y1) * (x2 - x1) / pixels[:, :, 0].size)
        ratios.append((x2 - x1) / (y2 - y1))
        corners += [start / room for start, room in ((x1, 96 - x2 + x1), (y1, 112 - y2 + y1)) if room > 5]
    assert min(areas) > 0.19 and min(areas) < 0.23 and max(areas) > 0.95 and abs(np.mean(areas) - 0.6) < 0.05
    assert min(ratios) > 0.7 and max(ratios) < 1.4
    assert abs(np.mean(corners) - 0.5) < 0.05 and min(corners) == 0 and max(corners) == 1


def test_a_flip_before_or_after_mirrors_the_rectangle(pixels):
    window = (10, 20, 50, 100)
    want = np.full_like(pixels, 7)
    want[20:100, 10:50] = pixels[20:100, 10:50]
    crop = Constant(_shown=np.array(window, float), _fill=(7, 7, 7))
    for order in ([crop, Flip(p=1)], [Flip(p=1), crop]):
        np.testing.assert_array_equal(drawn(order, pixels), want[:, ::-1])


def test_a_rectangle_of_a_large_picture_that_is_decoded_small(rng):
    """Its edges lie within a pixel of the view of where they should."""
    pixels = np.full((900, 700, 3), 200, np.uint8)
    image = drawn([Constant(_shown=np.array([105.0, 90, 595, 450]), _fill=(0, 0, 0)), Resize((112, 112))], pixels)
    assert (image[12:55, 18:94] == 200).all() and not image[:10].any() and not image[58:].any() and not image[:, :15].any()


# --- low resolution ---------------------------------------------------------------------------------------------------


def test_low_resolution_is_two_resizes_of_the_finished_view(pixels):
    chosen, sides = set(), []
    for seed in range(200):
        sample = LowResolution(p=1)({"picture": Picture.of(pixels)}, np.random.default_rng(seed))
        share, down, up = sample["_resolution"]
        small = cv2.resize(pixels, (int(share * 96), int(share * 112)), interpolation=down)
        want = cv2.resize(small, (96, 112), interpolation=up)
        np.testing.assert_array_equal(drawn([LowResolution(p=1)], pixels, seed), want)
        chosen.add((down, up))
        sides.append(share)
    assert len(chosen) > 23 and {down for down, _ in chosen} == {up for _, up in chosen} == set(INTERPOLATIONS)
    assert 0.2 <= min(sides) < 0.22 and 0.98 < max(sides) < 1 and abs(np.mean(sides) - 0.6) < 0.05


def test_a_tiny_picture_keeps_one_pixel():
    assert drawn([LowResolution((0.1, 0.1), p=1)], np.full((3, 3, 3), 9, np.uint8)).tolist() == [[[9] * 3] * 3] * 3


# --- photometric ------------------------------------------------------------------------------------------------------


def jittered(image, name, factor):
    """One change of the whole picture, in floats, as the rule says."""
    grey = image @ LUMA
    other = {"brightness": 0.0, "contrast": grey.mean(), "saturation": grey[:, :, None]}[name]
    return factor * image + (1 - factor) * other


class Script:
    """A generator that gives a known order and known factors."""

    def __init__(self, order, factors):
        self.order, self.factors = order, iter(factors)

    def random(self):
        return 0.0

    def permutation(self, names):
        return self.order

    def uniform(self, low, high):
        return next(self.factors)


@pytest.mark.parametrize("distorted", [False, True])
def test_one_matrix_equals_the_changes_one_after_another(rng, distorted):
    for _ in range(20):
        pixels = rng.integers(90, 150, (12, 10, 3), dtype=np.uint8)
        order, draws = rng.permutation(["brightness", "contrast", "saturation"]), rng.uniform(-1, 1, 3)
        script = Script(order, draws)
        before = ColorDistort(hue=(5, 5), brightness=(4, 4), contrast=(1.1, 1.1), saturation=(0.9, 0.9), p=1)
        image, want = pixels.astype(float), []
        sample = {"picture": Picture.of(pixels)}
        if distorted:
            sample = before(sample, np.random.default_rng(4))
            image = pixels @ sample["_color"][:, :3].T + sample["_color"][:, 3]
        sample = Photometric(p=1)(sample, script)
        for name, draw in zip(order, draws, strict=True):
            image = jittered(image, name, 1 + 0.5 * draw)
        want = np.clip(image, 0, 255)
        got = drawn([Constant(_color=sample["_color"])], pixels)
        assert np.abs(got - want).max() <= 1  # OpenCV counts in fixed point


def test_other_changes_may_follow(rng):
    pixels = rng.integers(90, 150, (12, 10, 3), dtype=np.uint8)
    add = ColorDistort(brightness=(10, 10), contrast=(1, 1), saturation=(1, 1), hue=(0, 0), p=1)
    plain, more = (drawn([Photometric(p=1), *after], pixels).astype(int) for after in ([], [add]))
    np.testing.assert_array_equal(np.minimum(plain + 10, 255), more)


def test_factors_fill_their_range():
    means = [drawn([Photometric(contrast=0, saturation=0, p=1)], np.full((2, 2, 3), 100, np.uint8), seed).mean() for seed in range(300)]
    assert 50 <= min(means) < 52 and 148 < max(means) <= 150 and abs(np.mean(means) - 100) < 4


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("kind", [CropPad, LowResolution, Photometric])
def test_p_is_the_probability_of_applying(kind, p):
    picture = Picture.of(np.zeros((9, 9, 3), np.uint8))
    changed = [len(kind(p=p)({"picture": picture}, np.random.default_rng(seed))) > 1 for seed in range(400)]
    assert abs(np.mean(changed) - p) < 0.06


def test_the_whole_recipe_is_a_function_of_the_seed_and_keeps_the_label(pixels):
    recipe = Pipeline([CropPad(p=0.5), LowResolution(p=0.5), Photometric(p=0.5), Flip()])
    runs = [[recipe({"picture": Picture.of(pixels), "label": 3}, np.random.default_rng(seed)) for seed in range(20)] for _ in range(2)]
    for one, two in zip(*runs, strict=True):
        np.testing.assert_array_equal(one["image"], two["image"])
        assert one["label"] == 3 and one["image"].shape == (3, 112, 96) and one["image"].flags.c_contiguous
    assert len({arrays["image"].tobytes() for arrays in runs[0]}) > 15


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CropPad(scale=(0, 1)), "CropPad: expected a scale [from, to] in 0..1, received [0, 1]"),
        (lambda: CropPad(aspect=(2, 1)), "CropPad: expected an aspect [from, to] above 0, received [2, 1]"),
        (lambda: CropPad(p=2), "CropPad: expected p in 0..1, received 2"),
        (lambda: CropPad(fill=(0, 0, 256)), "CropPad: expected a fill of 0..255 each, received [0, 0, 256]"),
        (lambda: LowResolution(side=(0.5, 1.5)), "LowResolution: expected a side [from, to] in 0..1, received [0.5, 1.5]"),
        (lambda: LowResolution(p=-1), "LowResolution: expected p in 0..1, received -1"),
        (lambda: Photometric(saturation=1.5), "Photometric: expected saturation in 0..1, received 1.5"),
        (lambda: Photometric(p=-0.1), "Photometric: expected p in 0..1, received -0.1"),
    ],
)
def test_arguments_outside_their_range_are_refused(make, message):
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value) == message
