"""The pipeline: what is drawn is where the boxes and landmarks say, and nothing but (seed, epoch, index) decides it."""

import numpy as np
import pytest
from PIL import Image

from ppface.data.loading.pipeline import Pipeline
from ppface.data.pictures.picture import Picture
from ppface.data.pictures.render import FILL, UNKNOWN, render, render_mask
from ppface.data.transforms import ColorDistort, DataAnchorSampling, Expand, Flip, Resize, SsdCrop, geometry

SQUARES = SsdCrop(overlaps=[(0, 1)], square=True, coverage=1.0, whole=0.2)


def recipe(size=(320, 320)) -> Pipeline:
    return Pipeline([ColorDistort(), Expand(), Flip(), DataAnchorSampling(size, otherwise=SQUARES), Resize(size, min_side=4)])


def white_face(rng) -> dict:
    """A grey picture with one white rectangle, which is its face; its landmarks are the corners, and corner 0 again."""
    height, width = rng.integers(200, 900, 2)
    w, h = (int(side) for side in rng.integers(30, 120, 2))
    x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[y : y + h, x : x + w] = 255
    points = [[x, y], [x + w, y], [x, y + h], [x + w, y + h], [x, y]]
    return {
        "picture": Picture.of(pixels),
        "gt_boxes": np.array([[x, y, x + w, y + h]], np.float32),
        "gt_landmarks": np.array([points], np.float32),
        "gt_has_landmarks": np.array([True]),
    }


def white_extent(image: np.ndarray) -> list[int]:
    white = (image > 190).all(axis=0)
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_boxes_and_landmarks_lie_on_what_is_drawn(rng):
    transforms = [Expand(p=0.5), Flip(p=0.5), DataAnchorSampling((320, 256), otherwise=SsdCrop()), Resize((320, 256))]
    faces = 0
    for trial in range(150):
        arrays = Pipeline(transforms)(white_face(rng), np.random.default_rng(trial))
        assert arrays["image"].shape == (3, 320, 256) and arrays["image"].dtype == np.uint8
        for box, landmarks in zip(arrays["gt_boxes"], arrays["gt_landmarks"], strict=True):
            faces += 1
            found = white_extent(arrays["image"])
            scale = max(1.0, (box[2:] - box[:2]).max() / 30)  # an enlarged edge is blurred over an enlarged pixel
            np.testing.assert_allclose(found, box, atol=1 + scale)
            corners = np.array([landmarks.min(axis=0), landmarks.max(axis=0)]).reshape(-1)
            cut = (box <= scale) | (box >= np.array([256, 320, 256, 320]) - scale)
            assert np.abs(corners - box)[~cut].max(initial=0) < 0.01
    assert faces > 100


def test_corner_landmarks_are_found_where_they_are_said_to_be(rng):
    """Each corner of a face has a colour of its own: mirrored, the colours have exchanged sides as the landmarks have."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255]], np.uint8)
    for trial in range(40):
        pixels = np.zeros((300, 400, 3), np.uint8)
        points = np.array([[100, 80], [160, 80], [130, 120], [100, 160], [160, 160]])
        for (x, y), colour in zip(points, colours, strict=True):
            pixels[y - 12 : y + 12, x - 12 : x + 12] = colour
        sample = {"picture": Picture.of(pixels), "gt_boxes": np.array([[80, 60, 180, 180]], np.float32)}
        sample |= {"gt_landmarks": points[None].astype(np.float32), "gt_has_landmarks": np.array([True])}
        arrays = Pipeline([Expand(2.0), Flip(), Resize((400, 400))])(sample, np.random.default_rng(trial))
        mirrored = arrays["gt_landmarks"][0, 0, 0] < arrays["gt_landmarks"][0, 1, 0] and (
            arrays["image"][:, int(arrays["gt_landmarks"][0, 0, 1]), int(arrays["gt_landmarks"][0, 0, 0])].argmax() == 1
        )
        order = [1, 0, 2, 4, 3] if mirrored else [0, 1, 2, 3, 4]
        for (x, y), colour in zip(arrays["gt_landmarks"][0], colours[order], strict=True):
            assert np.abs(arrays["image"][:, int(y), int(x)].astype(int) - colour).max() < 30
        assert arrays["gt_landmarks"][0, 0, 0] < arrays["gt_landmarks"][0, 1, 0]  # landmark 0 is the eye at the left, always


def test_same_draws_same_bytes(rng, tmp_path):
    Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((400, 300)).save(tmp_path / "photo.jpg")

    def run(index):
        sample = {"picture": Picture.open(tmp_path / "photo.jpg"), "gt_boxes": np.array([[50, 50, 90, 100]], np.float32)}
        return recipe()(sample, np.random.default_rng([7, 3, index]))

    first, again, other = run(5), run(5), run(6)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["image"], other["image"])


def test_a_sample_is_not_changed_by_the_pipeline(rng):
    sample = white_face(rng)
    before = {key: value.copy() for key, value in sample.items() if key != "picture"}
    for trial in range(20):
        recipe()(sample, np.random.default_rng(trial))
    assert set(sample) == {"picture", *before}
    assert all(np.array_equal(sample[key], value) for key, value in before.items())


def test_without_transforms_the_picture_comes_out_as_it_is(rng):
    pixels = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    arrays = Pipeline([])({"picture": Picture.of(pixels), "label": 3, "_private": 1}, rng)
    assert set(arrays) == {"image", "label"} and arrays["label"] == 3
    np.testing.assert_array_equal(arrays["image"], pixels.transpose(2, 0, 1))


def test_a_recognition_sample_needs_no_boxes(rng):
    pixels = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    transforms = [ColorDistort(), Expand(), Flip(), SsdCrop(), DataAnchorSampling((96, 96)), Resize((96, 96))]
    for trial in range(10):
        arrays = Pipeline(transforms)({"picture": Picture.of(pixels), "label": 3}, np.random.default_rng(trial))
        assert set(arrays) == {"image", "label"} and arrays["image"].shape == (3, 96, 96)


def test_a_picture_without_faces_keeps_its_empty_arrays(rng):
    sample = {"picture": Picture.of(np.zeros((90, 80, 3), np.uint8)), "gt_boxes": np.zeros((0, 4), np.float32)}
    sample |= {"gt_landmarks": np.zeros((0, 5, 2), np.float32), "gt_has_landmarks": np.zeros(0, bool)}
    for trial in range(10):
        arrays = recipe((64, 64))(sample, np.random.default_rng(trial))
        assert [arrays[key].shape for key in ("gt_boxes", "gt_landmarks", "gt_has_landmarks")] == [(0, 4), (0, 5, 2), (0,)]


def test_landmarks_leave_with_their_faces(rng):
    """Each face's first landmark is its own centre: it must be so for every face that is left."""
    for trial in range(60):
        corner, side = rng.uniform(0, 500, (20, 2)), rng.uniform(5, 100, (20, 1))
        boxes = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
        landmarks = np.repeat((corner + side / 2)[:, None], 5, axis=1).astype(np.float32)
        has = rng.random(20) < 0.5
        sample = {
            "picture": Picture.of(np.zeros((600, 600, 3), np.uint8)),
            "gt_boxes": boxes,
            "gt_landmarks": landmarks,
            "gt_has_landmarks": has,
        }
        sample["gt_landmarks"][~has] = 0
        arrays = recipe()(sample, np.random.default_rng(trial))
        assert len(arrays["gt_boxes"]) == len(arrays["gt_landmarks"]) == len(arrays["gt_has_landmarks"])
        assert (arrays["gt_boxes"] >= 0).all() and (arrays["gt_boxes"] <= 320).all()
        assert ((arrays["gt_boxes"][:, 2:] - arrays["gt_boxes"][:, :2]).min(axis=1, initial=9) >= 3.9).all()
        for box, points, labelled in zip(*(arrays[key] for key in ("gt_boxes", "gt_landmarks", "gt_has_landmarks")), strict=True):
            if not labelled:
                assert (points == 0).all()
            elif (box > 0.5).all() and (box < 319.5).all():  # not cut: the centre of the box is still the centre of the face
                np.testing.assert_allclose(points[0], (box[:2] + box[2:]) / 2, atol=0.1)


def sampled(pixels, matrix, size, fill):
    """Each pixel of the view looked up bilinearly in the picture, one after another."""
    height, width = pixels.shape[:2]
    inverse, out = np.linalg.inv(matrix), np.empty((3, *size))
    for y, x in np.ndindex(*size):
        u, v = (inverse @ [x + 0.5, y + 0.5, 1])[:2] - 0.5
        if not (-0.5 <= u <= width - 0.5 and -0.5 <= v <= height - 0.5):
            out[:, y, x] = fill
            continue
        u, v = np.clip(u, 0, width - 1), np.clip(v, 0, height - 1)
        u0, v0 = min(int(u), width - 2), min(int(v), height - 2)
        a, b = u - u0, v - v0
        square = pixels[v0 : v0 + 2, u0 : u0 + 2].astype(float)
        out[:, y, x] = (1 - b) * ((1 - a) * square[0, 0] + a * square[0, 1]) + b * ((1 - a) * square[1, 0] + a * square[1, 1])
    return out


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("scale", [(0.7, 0.9), (1.0, 1.0), (2.3, 1.7)])
@pytest.mark.parametrize("shift", [(0, 0), (9.3, 4.8), (-14.2, -7.5)])
def test_an_upright_view_is_the_bilinear_look_up_of_the_matrix_it_returns(rng, sign, scale, shift):
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    matrix = np.array([[sign * scale[0], 0, shift[0] + (50 * scale[0] if sign < 0 else 0)], [0, scale[1], shift[1]], [0, 0, 1]])
    image, drawn = render(Picture.of(pixels), matrix, (32, 44), fill=(1, 2, 3))
    difference = np.abs(image - sampled(pixels, drawn, (32, 44), (1, 2, 3)))
    assert difference[:, 2:-2, 2:-2].max() <= 1.5  # at a border that cuts the picture its last pixel is repeated, not mixed with the next
    corners = np.array([[0, 0], [44, 0], [0, 32], [44, 32]])
    in_picture = geometry.points(np.linalg.inv(drawn), corners) - geometry.points(np.linalg.inv(matrix), corners)
    assert np.abs(in_picture).max() <= 0.5 / min(scale) + 0.5


def test_a_turned_view_is_one_bilinear_warp(rng):
    pixels = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((60, 45), Image.Resampling.BICUBIC))
    angle = np.radians(30)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 20], [np.sin(angle), np.cos(angle), -5], [0, 0, 1]])
    image, drawn = render(Picture.of(pixels), matrix, (40, 48))
    np.testing.assert_allclose(drawn, matrix)
    want = sampled(pixels, matrix, (40, 48), FILL)
    inside = sampled(np.full_like(pixels, 255), matrix, (40, 48), (0, 0, 0))[0] > 0
    inner = inside & np.roll(inside, 2, 0) & np.roll(inside, -2, 0) & np.roll(inside, 2, 1) & np.roll(inside, -2, 1)
    assert np.abs(image - want)[:, inner].max() <= 4  # OpenCV places samples on a grid of 1/32 pixel
    assert (image.transpose(1, 2, 0)[39, 0] == FILL).all()


def test_what_a_crop_left_out_does_not_come_back_on_a_larger_view():
    """A face that lost its label with the crop must not be seen unlabelled beside it."""
    pixels = np.full((100, 200, 3), 200, np.uint8)
    for turn in (np.eye(3), np.array([[0, -1, 100], [1, 0, 0], [0, 0, 1]])):  # upright; a quarter round
        sample = {"picture": Picture.of(pixels)}

        def crop_expand(sample, rng, turn=turn):
            geometry.move(sample, geometry.view((60, 20, 100, 60), (40, 40)), (40, 40))
            geometry.move(sample, np.array([[1, 0, 30], [0, 1, 30], [0, 0, 1]]), (100, 100))
            geometry.move(sample, turn, (100, 100))
            return sample

        image = Pipeline([crop_expand])(sample, np.random.default_rng(0))["image"]
        seen = (image == 200).all(axis=0)
        margin = 0 if turn[0, 0] == 1 else 1  # a turned view may show one pixel more
        assert seen[31:69, 31:69].all() and abs(seen.sum() - 40 * 40) <= margin * 4 * 42


@pytest.mark.parametrize("seed", range(20))
def test_boxes_lie_on_what_is_drawn_when_the_canvas_grows_after_the_crop(seed):
    rng = np.random.default_rng(seed)
    crop = SsdCrop(scale=(0.3, 0.6), whole=0)
    arrays = Pipeline([crop, Expand(max_ratio=3, p=1, fill=(0, 0, 0)), Flip(), Resize((400, 400))])(white_face(rng), rng)
    (box,) = arrays["gt_boxes"]
    np.testing.assert_allclose(white_extent(arrays["image"]), box, atol=1 + max(1.0, (box[2:] - box[:2]).max() / 30))


def test_colour_does_not_touch_what_lies_around_the_picture():
    pixels = np.full((10, 10, 3), 100, np.uint8)
    double = np.hstack([2 * np.eye(3), np.zeros((3, 1))])
    for matrix in (np.array([[1, 0, 5], [0, 1, 5], [0, 0, 1]]), np.array([[0, -1, 15], [1, 0, 5], [0, 0, 1]])):
        image, _ = render(Picture.of(pixels), matrix, (20, 20), double, (7, 8, 9))
        assert (image[:, 6:14, 6:14] == 200).all()
        np.testing.assert_array_equal(image[:, 2, 2], [7, 8, 9])
        np.testing.assert_array_equal(image[:, 17, 17], [7, 8, 9])


def test_strong_reduction_averages_instead_of_picking_pixels(rng):
    """A checkerboard of single pixels becomes even grey at any small scale, upright or turned."""
    board = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = Picture.of(np.repeat(board[:, :, None], 3, axis=2))
    for scale in (0.5, 0.31, 0.125, 0.06):
        side = int(512 * scale)
        for angle in (0, 0.3):
            turn = scale * np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 0]])
            turn[2, 2] = 1
            image, _ = render(picture, turn, (side, side))
            middle = image[:, side // 4 : side // 2, side // 4 : side // 2].astype(int)
            assert np.abs(middle - 127).max() < 40


def test_a_view_beside_the_picture_is_fill():
    image, _ = render(Picture.of(np.zeros((10, 10, 3), np.uint8)), np.array([[1, 0, 50], [0, 1, 0], [0, 0, 1]]), (8, 8), fill=(1, 2, 3))
    assert (image == np.array([1, 2, 3])[:, None, None]).all()


def test_a_jpeg_is_never_decoded_below_the_resolution_of_the_view(monkeypatch):
    decoded = []
    picture = Picture.of(np.zeros((768, 1024, 3), np.uint8))
    monkeypatch.setattr(
        Picture, "decode", lambda self, reduce=1: decoded.append(reduce) or np.zeros((768 // reduce, 1024 // reduce, 3), np.uint8)
    )
    for scale in (1.5, 1.0, 0.6, 0.5, 0.26, 0.25, 0.1):
        render(picture, np.diag([scale, scale / 1.3, 1]), (64, 64))
    assert decoded == [1, 1, 1, 2, 2, 4, 8]


def agreement(image: np.ndarray, mask: np.ndarray) -> float:
    """The share of pixels that are white, grey or fill as the mask says: 1, 0, UNKNOWN; borders are blurred in the image alone."""
    fill = (np.abs(image.astype(int) - np.array(FILL)[:, None, None]) < 6).all(axis=0)
    white = (image > 190).all(axis=0)
    return float(np.mean(np.where(white, 1, np.where(fill, UNKNOWN, 0)) == mask))


def test_an_occlusion_mask_stays_on_its_pixels(rng):
    pipeline = Pipeline([Expand(p=0.5), Flip(), DataAnchorSampling((320, 320), otherwise=SQUARES), Resize((320, 320), min_side=4)])
    values = []
    for i in range(40):
        sample = white_face(rng)
        sample["gt_occlusion"] = (sample["picture"].decode()[:, :, 0] == 255).astype("uint8")
        untouched = sample["gt_occlusion"].copy()
        arrays = pipeline(sample, np.random.default_rng(i))
        assert arrays["gt_occlusion"].shape == (320, 320) and arrays["gt_occlusion"].dtype == np.uint8
        assert np.array_equal(sample["gt_occlusion"], untouched)  # that of the data set, which keeps its samples
        assert agreement(arrays["image"], arrays["gt_occlusion"]) > 0.98
        values.append(arrays["gt_occlusion"])
    assert set(np.unique(np.stack(values))) == {0, 1, UNKNOWN}


def test_a_mask_turns_with_its_picture():
    pixels, mask = np.full((60, 80, 3), 40, np.uint8), np.zeros((60, 80), np.uint8)
    pixels[10:40, 30:70], mask[10:40, 30:70] = 255, 1
    turn = np.array([[1.6, -0.9, 20], [0.9, 1.6, -15], [0, 0, 1.0]])
    image, used = render(Picture.of(pixels), turn, (120, 140))
    turned = render_mask(mask, used, (120, 140))
    assert np.mean((image > 147).all(axis=0) != (turned == 1)) < 0.004  # 147 is half way from grey to white
    shifted = np.roll(turned, 1, axis=1)
    assert np.mean((image > 147).all(axis=0) != (shifted == 1)) > 0.006  # a pixel too far
    hidden = render_mask(mask, used, (120, 140), np.array([25.0, 5.0, 45.0, 35.0]))
    assert (hidden[turned == UNKNOWN] == UNKNOWN).all()
    assert np.array_equal(hidden[hidden != UNKNOWN], turned[hidden != UNKNOWN])
    assert (hidden != UNKNOWN).sum() == pytest.approx(20 * 30 * (1.6**2 + 0.9**2), rel=0.05)
