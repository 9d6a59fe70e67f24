"""The limit of picture sizes: what it says, what raises it, and that deployed programs apply the same one."""

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import ConfigError, DataError
from ppface.data.pictures import picture_limit
from ppface.data.pictures.picture import Picture

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "python"))
import media


def claiming(width: int, height: int, **options) -> bytes:
    """A small JPEG whose header claims another size."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG", **options)
    return buffer.getvalue().replace(struct.pack(">HH", 48, 64), struct.pack(">HH", height, width))


def test_a_photograph_of_108_megapixels_is_refused_with_its_size_the_limit_and_how_to_raise_it(tmp_path, monkeypatch):
    file = tmp_path / "phone.jpg"
    file.write_bytes(claiming(12_000, 9_000))
    with pytest.raises(DataError) as refusal:
        Picture.open(file)
    assert str(refusal.value) == (
        f"{file}: 12000x9000 pixels (108 megapixels) take 346 MB to decode, the limit is 300 MB: if it is meant to be this large, set the "
        "environment variable PPFACE_PICTURE_MB=346; otherwise it is damaged or a decompression bomb"
    )
    monkeypatch.setenv("PPFACE_PICTURE_MB", "346")
    assert Picture.open(file).size == (9_000, 12_000)
    assert Picture.encoded(file.read_bytes(), "record 3").size == (9_000, 12_000)


@pytest.mark.parametrize(("width", "height"), [(16_320, 12_240), (30_000, 20_000)])
def test_beyond_the_limit_of_pillow_the_message_is_the_same_and_the_variable_still_raises_it(tmp_path, monkeypatch, width, height):
    file = tmp_path / "phone.jpg"
    file.write_bytes(claiming(width, height))
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(DataError, match=rf"{width}x{height} pixels .* set the environment variable PPFACE_PICTURE_MB=\d+;"):
        Picture.open(file)
    monkeypatch.setenv("PPFACE_PICTURE_MB", "2000")
    assert Picture.open(file).size == (height, width)
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_second_pictures_in_a_jpeg_of_a_telephone_change_nothing(tmp_path):
    """A multi-picture file has another format for Pillow; it is a JPEG, and takes no more memory than one."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (32, 24))])
    sizes = struct.pack(">HH", 48, 64), struct.pack(">HH", 7_000, 8_000)
    file = tmp_path / "phone.jpg"
    file.write_bytes(buffer.getvalue().replace(*sizes))
    with Image.open(file) as image:
        assert image.format == "MPO"
    assert Picture.open(file).size == (7_000, 8_000)  # 56 megapixels: 179 MB as a JPEG


def test_a_progressive_jpeg_is_refused_by_its_header(tmp_path):
    file = tmp_path / "phone.jpg"
    file.write_bytes(claiming(8_000, 6_000, progressive=True))
    with pytest.raises(DataError, match=r"8000x6000 pixels \(48 megapixels\) take 591 MB"):
        Picture.open(file)


def test_a_raised_limit_allows_as_many_scans_of_the_larger_picture(tmp_path, monkeypatch):
    """At 300 MB the largest progressive JPEG may have 41 scans; one of 108 megapixels has its ordinary ten."""
    monkeypatch.setattr("ppface.data.pictures.container_checks.MAX_SCANNED", 64 * 48 * 5)
    file = tmp_path / "scans.jpg"
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(file, progressive=True)
    with pytest.raises(DataError, match="more than 5 scans of 3072 pixels"):
        Picture.open(file).decode()
    monkeypatch.setenv("PPFACE_PICTURE_MB", "900")
    assert Picture.open(file).decode().shape == (48, 64, 3)


@pytest.mark.parametrize("text", ["many", "0", "-5", "nan", "inf"])
def test_a_variable_that_is_no_number_is_reported(tmp_path, monkeypatch, text):
    monkeypatch.setenv("PPFACE_PICTURE_MB", text)
    (tmp_path / "a.jpg").write_bytes(claiming(64, 48))
    expected = f"environment variable PPFACE_PICTURE_MB: expected a number of megabytes above 0, received {text!r}"
    with pytest.raises(ConfigError) as caught:
        Picture.open(tmp_path / "a.jpg")
    assert str(caught.value) == expected
    with pytest.raises(media.MediaError) as told:
        media.read_picture(tmp_path / "a.jpg")
    assert str(told.value) == expected


@pytest.mark.parametrize("limit", ["0.02", "0.05", "0.1"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"turned": 6}),
        ("PNG", {}),
        ("PNG", {"turned": 3}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
    ],
)
def test_deployed_programs_accept_and_refuse_the_same_pictures(tmp_path, monkeypatch, kind, options, limit):
    exif = Image.Exif()
    exif[0x0112] = options.get("turned", 1)
    file = tmp_path / "picture"
    Image.new("RGB", (80, 70)).save(file, kind, exif=exif, progressive=options.get("progressive", False))
    monkeypatch.setenv(picture_limit.VARIABLE, limit)
    told = []
    for read, error in ((lambda: Picture.open(file).decode(), DataError), (lambda: media.read_picture(file), media.MediaError)):
        try:
            told.append(str(read().shape))
        except error as refusal:
            told.append(str(refusal))
    assert told[0] == told[1]
