"""Each transform against its rule, worked out slowly; what it draws; and what it refuses."""

import numpy as np
import pytest

from ppface.core.errors import DataError
from ppface.data.pictures.picture import Picture
from ppface.data.pictures.render import render
from ppface.data.transforms import ColorDistort, DataAnchorSampling, Expand, Flip, Resize, SquareCrop, SsdCrop, geometry
from ppface.data.transforms.color_distort import LUMA, TO_YIQ, after, step


def sample_of(boxes, size=(480, 640), **more) -> dict:
    picture = Picture("none", size)  # pixels are not needed to move a sample
    return {"picture": picture, "gt_boxes": np.array(boxes, np.float32).reshape(-1, 4), **more}


# --- geometry ---------------------------------------------------------------------------------------------------


def test_move_composes_matrices_and_boxes_surround_their_corners(rng):
    sample = sample_of([[10, 20, 50, 80]])
    total = np.eye(3)
    points = np.array([[10, 20], [50, 20], [10, 80], [50, 80]], float)
    for _ in range(3):
        matrix = np.vstack([rng.normal(size=(2, 3)), [0, 0, 1]])
        geometry.move(sample, matrix, (100, 200))
        total = matrix @ total
    assert geometry.size(sample) == (100, 200)
    np.testing.assert_allclose(sample["_matrix"], total)
    moved = np.array([(total @ [x, y, 1])[:2] for x, y in points])
    assert (sample["gt_boxes"][0, :2] <= moved.min(axis=0) + 1e-3).all() and (sample["gt_boxes"][0, 2:] >= moved.max(axis=0) - 1e-3).all()


def test_keep_filters_every_array_over_the_faces():
    sample = sample_of([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]], gt_landmarks=np.arange(30.0).reshape(3, 5, 2), label=7)
    sample["gt_has_landmarks"] = np.array([True, False, True])
    geometry.keep(sample, np.array([False, True, True]))
    assert sample["gt_boxes"][:, 2].tolist() == [2, 3] and sample["gt_landmarks"][:, 0, 0].tolist() == [10, 20]
    assert sample["gt_has_landmarks"].tolist() == [False, True] and sample["label"] == 7


# --- colour -----------------------------------------------------------------------------------------------------


def distorted(pixel, name, amount):
    """One distortion of one pixel, in floats."""
    if name == "brightness":
        return pixel + amount
    if name == "contrast":
        return pixel * amount
    if name == "saturation":
        grey = LUMA @ pixel
        return grey + (pixel - grey) * amount
    y, i, q = TO_YIQ @ pixel
    turned = (i + 1j * q) * np.exp(1j * np.radians(amount))
    return np.linalg.solve(TO_YIQ, [y, turned.real, turned.imag])


def test_one_matrix_equals_the_distortions_one_after_another(rng):
    ranges = {"brightness": (-32, 32), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-18, 18)}
    for _ in range(20):
        pixels, matrix, steps = rng.integers(60, 160, (4, 4, 3), dtype=np.uint8), None, []
        for name in rng.permutation(list(ranges)):
            steps.append((name, rng.uniform(*ranges[name])))
            matrix = after(matrix, step(*steps[-1]))
        image, _ = render(Picture.of(pixels), np.eye(3), (4, 4), matrix)
        for y, x in np.ndindex(4, 4):
            want = pixels[y, x].astype(float)
            for name, amount in steps:
                want = distorted(want, name, amount)
            assert np.abs(image[:, y, x] - np.clip(want, 0, 255)).max() <= 1


def test_grey_stays_grey_under_saturation_and_hue():
    for name, amount in (("saturation", 0.3), ("hue", 77.0)):
        np.testing.assert_allclose(step(name, amount) @ [90, 90, 90, 1], [90, 90, 90], atol=1e-3)


@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
def test_p_is_the_probability_of_applying_each(p):
    distort, applied = ColorDistort(contrast=(1, 1), saturation=(1, 1), hue=(0, 0), p=p), 0
    for seed in range(400):
        applied += distort(sample_of([]), np.random.default_rng(seed)).get("_color", np.eye(3, 4))[0, 3] != 0
    assert abs(applied / 400 - p) < 0.07


# --- expand, flip, resize ---------------------------------------------------------------------------------------


def test_expand_puts_the_picture_somewhere_on_a_larger_canvas():
    ratios, corners = [], []
    for seed in range(300):
        sample = Expand(max_ratio=4, p=1, fill=(1, 2, 3))(sample_of([[0, 0, 640, 480]]), np.random.default_rng(seed))
        height, width = geometry.size(sample)
        x1, y1, x2, y2 = sample["gt_boxes"][0]
        assert x1 >= 0 and y1 >= 0 and x2 <= width + 1e-3 and y2 <= height + 1e-3 and x2 - x1 == pytest.approx(640, abs=1e-3)
        assert sample["_fill"] == (1, 2, 3)
        ratios.append(width / 640)
        corners.append(x1 / max(1, width - 640))
    assert 1 <= min(ratios) < 1.1 and 3.9 < max(ratios) <= 4 and abs(np.mean(ratios) - 2.5) < 0.15
    assert abs(np.mean(corners) - 0.5) < 0.06


def test_p_of_expand_is_the_probability_of_expanding():
    grown = [geometry.size(Expand(p=0.25)(sample_of([]), np.random.default_rng(seed))) != (480, 640) for seed in range(400)]
    assert abs(np.mean(grown) - 0.25) < 0.06


@pytest.mark.parametrize(("number", "swap"), [(5, [1, 0, 2, 4, 3]), (6, [1, 0, 2, 3, 5, 4])])
def test_flip_mirrors_and_exchanges_sides(rng, number, swap):
    points = rng.uniform(0, 400, (2, number, 2)).astype(np.float32)
    sample = sample_of([[10, 20, 50, 80], [0, 0, 640, 480]], gt_landmarks=points, pose=np.array([30, 5, -4], np.float32))
    sample["gt_has_landmarks"] = np.array([True, False])
    flipped = Flip(p=1)(sample, rng)
    np.testing.assert_allclose(flipped["gt_boxes"], [[590, 20, 630, 80], [0, 0, 640, 480]])
    for k in range(number):
        np.testing.assert_allclose(flipped["gt_landmarks"][0, k], [640 - points[0, swap[k], 0], points[0, swap[k], 1]], rtol=1e-5)
    assert (flipped["gt_landmarks"][1] == 0).all()
    assert flipped["pose"].tolist() == [-30, 5, 4]


def test_flip_takes_sides_for_other_landmarks(rng):
    sample = sample_of([[0, 0, 9, 9]], gt_landmarks=np.array([[[1, 0], [2, 0]]], np.float32))
    assert Flip(p=1, sides=[1, 0])(sample, rng)["gt_landmarks"][0, :, 0].tolist() == [638, 639]
    with pytest.raises(DataError, match=r"^none: Flip: expected 5, 6, 68 or 98 landmarks per face, received 2: set `sides`$"):
        Flip(p=1)(sample, rng)
    with pytest.raises(DataError, match=r"^none: Flip: expected 3 landmarks per face, received 2: set `sides`$"):
        Flip(p=1, sides=[1, 0, 2])(sample, rng)


def test_resize_stretches_and_drops_what_is_too_small(rng):
    sample = Resize((240, 640), min_side=5)(sample_of([[0, 0, 100, 100], [10, 10, 30, 18], [630, 100, 700, 200]]), rng)
    assert geometry.size(sample) == (240, 640)
    np.testing.assert_allclose(sample["gt_boxes"], [[0, 0, 100, 50], [630, 50, 640, 100]])


# --- crops ------------------------------------------------------------------------------------------------------


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0, w) * max(0, h)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def rectangle(sample):
    """What part of the picture the view shows."""
    height, width = geometry.size(sample)
    return geometry.points(np.linalg.inv(sample["_matrix"]), np.array([[0, 0], [width, height]])).reshape(-1)


def test_ssd_crop_meets_its_demands_and_keeps_faces_with_their_centre_inside():
    faces = np.array([[20, 30, 220, 280], [300, 100, 500, 400], [600, 10, 630, 40]], float)
    crop, cut = SsdCrop(overlaps=[(0.3, 0.7)], scale=(0.3, 0.8), whole=0.0), 0
    for seed in range(200):
        sample = crop(sample_of(faces), np.random.default_rng(seed))
        if "_matrix" not in sample:
            continue
        cut += 1
        view = rectangle(sample)
        assert (view >= -1e-6).all() and view[2] <= 640 + 1e-6 and view[3] <= 480 + 1e-6
        assert any(0.3 <= iou(view, face) <= 0.7 for face in faces)
        width, height = (view[2] - view[0]) / 640, (view[3] - view[1]) / 480
        assert 0.3 - 1e-6 <= np.sqrt(width * height) <= 0.8 + 1e-6 and 0.5 - 1e-6 <= width / height <= 2 + 1e-6
        inside = [view[0] <= (f[0] + f[2]) / 2 <= view[2] and view[1] <= (f[1] + f[3]) / 2 <= view[3] for f in faces]
        assert len(sample["gt_boxes"]) == sum(inside) >= 1
    assert cut > 150


def test_square_crops_cover_one_face_whole():
    faces, sides = [[100, 100, 150, 160], [500, 300, 520, 330]], []
    crop = SsdCrop(overlaps=[(0, 1)], square=True, coverage=1.0, whole=0.2)
    for seed in range(400):
        view = rectangle(crop(sample_of(faces), np.random.default_rng(seed)))
        assert view[2] - view[0] == pytest.approx(view[3] - view[1])
        assert any(view[0] <= f[0] + 1e-3 and view[1] <= f[1] + 1e-3 and view[2] >= f[2] - 1e-3 and view[3] >= f[3] - 1e-3 for f in faces)
        sides.append((view[2] - view[0]) / 480)
    assert min(sides) >= 0.3 and max(sides) == pytest.approx(1) and np.mean(np.isclose(sides, 1)) == pytest.approx(0.2, abs=0.06)


def test_whole_is_the_probability_of_the_largest_rectangle_however_seldom_a_smaller_one_fits():
    crop = SsdCrop(overlaps=[(0, 1)], square=True, coverage=1.0, whole=0.2)
    sides = []
    for seed in range(1000):
        view = rectangle(crop(sample_of([[220, 140, 420, 340]]), np.random.default_rng(seed)))  # one try in seven covers it
        sides.append((view[2] - view[0]) / 480)
    assert np.mean(np.isclose(sides, 1)) == pytest.approx(0.2, abs=0.04)


def test_retinafaces_crop_is_a_square_of_a_listed_size_with_a_whole_face():
    faces, sides = [[100, 100, 150, 160], [500, 300, 520, 330]], []
    for seed in range(300):
        sample = SquareCrop()(sample_of(faces), np.random.default_rng(seed))
        view = rectangle(sample)
        assert (view >= -1e-6).all() and view[2] <= 640 + 1e-6 and view[3] <= 480 + 1e-6
        assert view[2] - view[0] == pytest.approx(view[3] - view[1])
        whole = [view[0] <= f[0] and view[1] <= f[1] and view[2] >= f[2] and view[3] >= f[3] for f in faces]
        inside = [view[0] <= (f[0] + f[2]) / 2 <= view[2] and view[1] <= (f[1] + f[3]) / 2 <= view[3] for f in faces]
        assert any(whole) and len(sample["gt_boxes"]) == sum(inside)
        sides.append(round((view[2] - view[0]) / 480, 2))
    assert set(sides) == {0.3, 0.45, 0.6, 0.8, 1.0}


@pytest.mark.parametrize("faces", [[], [[0, 0, 640, 480]]])
def test_retinafaces_crop_pads_a_picture_without_such_a_square(rng, faces):
    sample = SquareCrop(fill=(1, 2, 3))(sample_of(faces), rng)
    assert geometry.size(sample) == (640, 640) and sample["_fill"] == (1, 2, 3)
    np.testing.assert_array_equal(sample["gt_boxes"], np.array(faces).reshape(-1, 4))
    np.testing.assert_array_equal(sample["_matrix"], np.eye(3))


def test_a_demand_that_nothing_meets_leaves_the_sample_whole(rng):
    sample = SsdCrop(overlaps=[(0.9, 1)], scale=(0.3, 0.3), whole=0)(sample_of([[0, 0, 5, 5]]), rng)
    assert "_matrix" not in sample and len(sample["gt_boxes"]) == 1


def test_data_anchor_sampling_gives_the_sizes_of_the_paper():
    """Chosen scales are even over 0..t; sizes lie in s/2..2s, and at the face's own scale at most at twice its side."""
    sampling = DataAnchorSampling((640, 640))
    for side, own in ((6, 0), (16, 0), (20, 1), (40, 2), (100, 3), (300, 3)):
        sizes = np.array([sampling.target(side, np.random.default_rng(seed)) for seed in range(2000)])
        scales = [16, 32, 64, 128][: own + 1]
        highest = max([2 * s for s in scales[:-1]] + [min(2 * scales[-1], 2 * side)])
        assert sizes.min() >= 8 and sizes.max() <= highest and sizes.max() > 0.97 * highest
        below = np.mean([min(max((12 - s / 2) / (min(2 * s, 2 * side if s == scales[-1] else 2 * s) - s / 2), 0), 1) for s in scales])
        assert abs((sizes < 12).mean() - below) < 0.04


def test_data_anchor_sampling_scales_its_face_alike_in_both_directions():
    for seed in range(200):
        sample = DataAnchorSampling((320, 640), p=1)(
            sample_of([[300, 200, 340, 240]], gt_landmarks=np.zeros((1, 5, 2))), np.random.default_rng(seed)
        )
        assert geometry.size(sample) == (320, 640)
        x1, y1, x2, y2 = sample["gt_boxes"][0]
        assert x2 - x1 == pytest.approx(y2 - y1, rel=1e-3) and 7.9 < x2 - x1 <= 80.1
        assert x1 >= -1e-3 and y1 >= -1e-3 and x2 <= 640.001 and y2 <= 320.001  # the whole face is in view
        assert len(sample["gt_landmarks"]) == 1


def test_data_anchor_sampling_never_normalises_twice():
    """One face of 6 pixels, which the published crop returns in 0..1 in every eighth draw: here it is in pixels or was left alone."""
    for seed in range(300):
        sample = DataAnchorSampling((640, 640), p=1, min_size=8)(sample_of([[300, 200, 306, 206]]), np.random.default_rng(seed))
        box = sample["gt_boxes"][0]
        if "_matrix" in sample:
            assert box[2] - box[0] >= 7.9
        else:
            assert box.tolist() == [300, 200, 306, 206]


def test_data_anchor_sampling_drops_small_faces_with_their_landmarks(rng):
    faces = [[100, 100, 200, 200], [210, 110, 213, 113]]
    landmarks = np.array([np.full((5, 2), 150.0), np.full((5, 2), 211.0)], np.float32)
    for seed in range(50):
        sample = sample_of(faces, gt_landmarks=landmarks)
        sample = DataAnchorSampling((640, 640), p=1, min_size=12)(sample, np.random.default_rng(seed))
        assert len(sample["gt_boxes"]) == len(sample["gt_landmarks"]) >= 1
        whole = sample["gt_boxes"][0].min() > 0 and sample["gt_boxes"][0].max() < 640
        if "_matrix" in sample and whole:
            np.testing.assert_allclose(sample["gt_landmarks"][0, 0], (sample["gt_boxes"][0, :2] + sample["gt_boxes"][0, 2:]) / 2, rtol=1e-3)


def test_otherwise_takes_the_other_draws():
    calls = []

    def other(sample, rng):
        calls.append(1)
        return sample

    for seed in range(400):
        DataAnchorSampling((64, 64), p=0.3, otherwise=other)(sample_of([[10, 10, 50, 50]]), np.random.default_rng(seed))
    assert abs(len(calls) / 400 - 0.7) < 0.06
    assert "_matrix" not in DataAnchorSampling((64, 64), p=1)(sample_of([]), np.random.default_rng(0))


# --- refusals ---------------------------------------------------------------------------------------------------

REFUSED = [
    (lambda: Resize((0, 5)), r"Resize: expected a size of at least [1, 1], received [0, 5]"),
    (lambda: Resize((5, 5), -1), r"Resize: expected min_side >= 0, received -1"),
    (lambda: Flip(1.5), r"Flip: expected p in 0..1, received 1.5"),
    (
        lambda: Flip(sides=[1, 2, 0]),
        r"Flip: expected sides that pair the landmarks 0..2, received 1 as the mirror landmark of 0, whose own is 2",
    ),
    (
        lambda: Flip(sides=[0, 2, 3]),
        r"Flip: expected sides that pair the landmarks 0..2, received 2 as the mirror landmark of 1, whose own is 3",
    ),
    (lambda: Flip(sides=[0, 1, 3]), r"Flip: expected sides that pair the landmarks 0..2, received 3 as the mirror landmark of 2"),
    (lambda: Expand(0.5), r"Expand: expected max_ratio >= 1, received 0.5"),
    (lambda: Expand(p=-1), r"Expand: expected p in 0..1, received -1"),
    (lambda: Expand(fill=(0, 0, 300)), r"Expand: expected a fill of 0..255 each, received [0, 0, 300]"),
    (lambda: ColorDistort(p=2), r"ColorDistort: expected p in 0..1, received 2"),
    (lambda: ColorDistort(hue=(5, -5)), r"ColorDistort: expected hue as [from, to] in order and not negative, received [5, -5]"),
    (lambda: ColorDistort(contrast=(-1, 1)), r"ColorDistort: expected contrast as [from, to] in order and not negative, received [-1, 1]"),
    (lambda: SquareCrop(scales=[0.5, 1.2]), r"SquareCrop: expected scales above 0 and at most 1, received [0.5, 1.2]"),
    (lambda: SquareCrop(trials=0), r"SquareCrop: expected trials >= 1, received 0"),
    (lambda: SsdCrop(overlaps=[(0.5, 0.1)]), r"SsdCrop: expected overlaps as a list of [least, most] in 0..1, received [(0.5, 0.1)]"),
    (lambda: SsdCrop(scale=(0, 1)), r"SsdCrop: expected a scale [from, to] in 0..1, received [0, 1]"),
    (lambda: SsdCrop(aspect=(2, 1)), r"SsdCrop: expected an aspect [from, to] above 0, received [2, 1]"),
    (lambda: SsdCrop(coverage=2), r"SsdCrop: expected coverage and whole in 0..1, received coverage=2, whole=0.14285714285714285"),
    (lambda: SsdCrop(trials=0), r"SsdCrop: expected trials >= 1, received 0"),
    (lambda: DataAnchorSampling((0, 0)), r"DataAnchorSampling: expected a size of at least [1, 1], received [0, 0]"),
    (lambda: DataAnchorSampling((9, 9), scales=[32, 16]), r"DataAnchorSampling: expected increasing scales above 0, received [32, 16]"),
    (lambda: DataAnchorSampling((9, 9), p=7), r"DataAnchorSampling: expected p in 0..1, received 7"),
    (lambda: DataAnchorSampling((9, 9), trials=0), r"DataAnchorSampling: expected min_size >= 0 and trials >= 1, received 8.0 and 0"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_arguments_outside_their_range_are_refused(make, message):
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value) == message
