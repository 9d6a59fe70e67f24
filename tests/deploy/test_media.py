"""What enters and leaves the deployed detector: whole pictures, folders, videos; broken ones are refused with one line."""

import io

import cv2
import media
import numpy as np
import pytest
from PIL import Image

from ppface.data.pictures.picture import Picture


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return np.kron(rng.integers(0, 256, (12, 16, 3)), np.ones((8, 8, 1))).astype("uint8")


def encoded(pixels: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def thumbnail(pixels: np.ndarray) -> bytes:
    """An EXIF block with a whole JPEG in it, end marker and all."""
    return b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00" + encoded(pixels[:16, :16], "JPEG")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_rows": 1}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
    ],
)
def test_whole_pictures_are_read_as_training_reads_them(tmp_path, pixels, kind, options):
    file = tmp_path / "picture"
    file.write_bytes(encoded(pixels, kind, **options))
    got, want = media.read_picture(file), Picture.open(file).decode()
    assert np.abs(got.astype(int) - want).mean() < 2  # decoders of JPEG round differently


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.98])
def test_truncated_pictures_are_refused(tmp_path, pixels, kind, part):
    data = encoded(pixels, kind)
    file = tmp_path / "cut"
    file.write_bytes(data[: int(part * len(data))])
    with pytest.raises(media.MediaError, match="cut: broken picture: it is truncated"):
        media.read_picture(file)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture(tmp_path, pixels):
    data = encoded(pixels, "JPEG", exif=thumbnail(pixels))
    assert data.count(b"\xff\xd9") >= 2
    file = tmp_path / "cut.jpg"
    file.write_bytes(data)
    assert media.read_picture(file).shape == pixels.shape
    file.write_bytes(data[: len(data) - 200])
    with pytest.raises(media.MediaError, match="it is truncated"):
        media.read_picture(file)


def test_bytes_after_the_end_do_no_harm(tmp_path, pixels):
    file = tmp_path / "picture.jpg"
    file.write_bytes(encoded(pixels, "JPEG") + b"\x00" * 100)
    assert media.read_picture(file).shape == pixels.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path, pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "turned.jpg"
    file.write_bytes(encoded(pixels, "JPEG", exif=exif, quality=95))
    got, want = media.read_picture(file), Picture.open(file).decode()
    assert got.shape == want.shape
    assert np.abs(got.astype(int) - want).mean() < 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "cannot read the picture: No such file or directory"),
        (b"", "not a picture that OpenCV can read"),
        (b"these are words", "not a picture that OpenCV can read"),
    ],
)
def test_what_is_no_picture_is_told(tmp_path, data, told):
    file = tmp_path / "x.jpg"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(media.MediaError) as caught:
        media.read_picture(file)
    assert str(caught.value) == f"{file}: {told}"


def test_a_picture_that_claims_to_be_huge_is_refused(tmp_path):
    file = tmp_path / "bomb.bmp"
    header = b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    file.write_bytes(header + (40).to_bytes(4, "little") + (20000).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24))
    with pytest.raises(media.MediaError, match=r"bomb\.bmp: "):
        media.read_picture(file)


def test_a_folder_gives_its_pictures_by_name_and_those_below(tmp_path, pixels):
    (tmp_path / "b").mkdir()
    for name in ("c.jpg", "a.PNG", "b/d.jpg"):
        (tmp_path / name).write_bytes(encoded(pixels, "JPEG"))
    (tmp_path / "notes.txt").write_text("no picture")
    found = list(media.frames(str(tmp_path)))
    assert [frame.name for frame in found] == ["a.PNG", "b/d.jpg", "c.jpg"]
    assert all(frame.number is None and frame.read().shape == pixels.shape for frame in found)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing.jpg", "no such input; expected a picture, a folder, a video or the number of a camera"),
        ("empty", "no pictures in this folder (it is empty); expected files that end with "),
        ("words.mp4", "neither a picture nor a video that OpenCV can open: is it complete?"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_inputs_that_cannot_be_used(tmp_path, name, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.mp4").write_text("words")
    with pytest.raises(media.MediaError) as caught:
        list(media.frames(str(tmp_path / name)))
    assert str(caught.value).startswith(f"{tmp_path / name}: {told}")


def test_a_video_comes_back_frame_by_frame(tmp_path):
    shades = [40, 120, 200]
    write = media.Writer(str(tmp_path / "out"), str(tmp_path / "clip.avi"))
    for i, shade in enumerate(shades):
        image = np.full((48, 64, 3), (shade, 10, 10), np.uint8)
        write(media.Frame("clip.avi", lambda image=image: image, i, 10.0), image)
    write.close()
    found = list(media.frames(str(tmp_path / "out" / "clip.mp4")))
    assert [frame.number for frame in found] == [0, 1, 2]
    assert found[0].rate == pytest.approx(10)
    for frame, shade in zip(found, shades, strict=True):
        assert np.abs(frame.read().reshape(-1, 3).mean(axis=0) - (shade, 10, 10)).max() < 12  # RGB stays RGB


def test_pictures_are_written_under_their_names_and_never_over_the_input(tmp_path, pixels):
    (tmp_path / "in").mkdir()
    write = media.Writer(str(tmp_path / "out"), str(tmp_path / "in"))
    for name in ("a.png", "b/c.png", "d.tif"):
        write(media.Frame(name, lambda: pixels), pixels)
    assert np.array_equal(cv2.imread(str(tmp_path / "out" / "b" / "c.png"))[..., ::-1], pixels)
    assert (tmp_path / "out" / "d.tif.jpg").is_file()
    for source in ("in", "in/a.png"):
        (tmp_path / "in" / "a.png").write_bytes(b"")
        with pytest.raises(media.MediaError, match="expected an output folder other than the input's"):
            media.Writer(str(tmp_path / "in"), str(tmp_path / source))


def test_an_output_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(media.MediaError, match="file/out: cannot write there: Not a directory"):
        media.Writer(str(tmp_path / "file" / "out"), "0")
