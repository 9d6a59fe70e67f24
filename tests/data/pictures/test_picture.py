"""Pictures: size from the header, orientation, every kind of pixels, and refusal of all that is broken."""

import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ppface.core.errors import DataError
from ppface.data.pictures import picture as picture_module
from ppface.data.pictures.picture import Picture, shrink
from ppface.data.pictures.picture_limit import VARIABLE


@pytest.fixture
def texture(rng) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((133, 75), Image.Resampling.BICUBIC)


@pytest.fixture
def jpeg(texture, tmp_path):
    path = tmp_path / "photo.jpg"
    texture.save(path, quality=90)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_size_and_pixels(texture, tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[picture_module.ORIENTATION] = orientation
    path = tmp_path / f"turned.{suffix}"
    texture.save(path, exif=exif)
    with Image.open(path) as reference:
        want = np.asarray(ImageOps.exif_transpose(reference).convert("RGB"))
    picture = Picture.open(path)
    assert picture.size == want.shape[:2]
    np.testing.assert_array_equal(picture.decode(), want)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_reduced_pixels_are_the_means_of_squares(texture, tmp_path, reduce, orientation):
    exif = Image.Exif()
    exif[picture_module.ORIENTATION] = orientation
    path = tmp_path / "photo.jpg"
    texture.save(path, quality=95, exif=exif)
    picture = Picture.open(path)
    full, small = picture.decode().astype(float), picture.decode(reduce)
    height, width = picture.size
    assert small.shape == (-(-height // reduce), -(-width // reduce), 3)
    for y in range(height // reduce):
        for x in range(width // reduce):
            square = full[y * reduce : (y + 1) * reduce, x * reduce : (x + 1) * reduce].mean(axis=(0, 1))
            assert np.abs(small[y, x] - square).max() < 16  # libjpeg weighs a square's pixels not quite evenly


def test_shrink_is_the_mean_of_squares(rng):
    pixels = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
    small = shrink(pixels, 4)
    padded = np.concatenate([pixels, pixels[-1:], pixels[-1:]])
    for y, x in np.ndindex(3, 3):
        want = padded[4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean(axis=(0, 1))
        np.testing.assert_allclose(small[y, x], want, atol=0.51)


def test_all_kinds_of_pixels_become_rgb(texture, tmp_path):
    rgb, grey = np.asarray(texture), np.asarray(texture.convert("L"))
    three = np.repeat(grey[:, :, None], 3, axis=2)
    cases = {
        "grey.png": (texture.convert("L"), three, 0),
        "grey.jpg": (texture.convert("L"), three, 12),
        "one_bit.png": (texture.convert("1"), np.repeat(np.asarray(texture.convert("1"))[:, :, None], 3, axis=2) * 255, 0),
        "alpha.png": (Image.fromarray(np.dstack([rgb, grey])), rgb, 0),
        "grey_alpha.png": (texture.convert("L").convert("LA"), three, 0),
        "palette.png": (texture.quantize(64), np.asarray(texture.quantize(64).convert("RGB")), 0),
        "sixteen.png": (Image.fromarray(grey.astype(np.uint16) * 256 + 77), three, 0),
        "inks.jpg": (texture.convert("CMYK"), rgb, 12),
        "plain.bmp": (texture, rgb, 0),
        "plain.ppm": (texture, rgb, 0),
        "plain.gif": (texture.quantize(64), np.asarray(texture.quantize(64).convert("RGB")), 0),
    }
    for name, (image, want, tolerance) in cases.items():
        image.save(tmp_path / name, **({"quality": 98, "subsampling": 0} if name.endswith("jpg") else {}))
        picture = Picture.open(tmp_path / name)
        got = picture.decode()
        assert picture.size == (75, 133) and got.dtype == np.uint8 and got.flags.c_contiguous, name
        assert np.abs(got.astype(int) - want).max() <= tolerance, name
        assert picture.decode(4).shape == (19, 34, 3), name


def test_a_picture_of_an_array(rng):
    pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Picture.of(pixels, "drawn")
    assert picture.size == (6, 8) and picture.name == "drawn"
    np.testing.assert_array_equal(picture.decode(), pixels)
    assert picture.decode(2).shape == (3, 4, 3)
    with pytest.raises(DataError, match=r"^drawn: expected HxWx3 uint8 RGB pixels, received shape \(6, 8\) of uint8$"):
        Picture.of(pixels[:, :, 0], "drawn")


def damaged(jpeg, png: bytes) -> dict[str, tuple[bytes | None, str]]:
    """File name -> its bytes (None: no such file) and the reason given."""
    data = jpeg.read_bytes()
    middle = len(data) * 2 // 3
    return {
        "missing.jpg": (None, "no such picture file"),
        "empty.jpg": (b"", "empty, expected a picture"),
        "refused.jpg": (
            b"\n<!DOCTYPE html><title>404</title>",
            "a web page or other markup, expected a picture: check its download",
        ),
        "words.jpg": (
            b"It was a dark and stormy night",
            "not a picture, or a damaged header; expected one of JPEG, PNG, BMP, GIF, PPM, TIFF, WEBP",
        ),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture, or a damaged header; expected one of .*"),
        "cut.jpg": (data[:middle], "broken picture: Premature end of JPEG file"),
        "last_byte.jpg": (data[:-2] + b"", "broken picture: Premature end of JPEG file"),
        "hole.jpg": (data[:middle] + data[middle + 300 :], "broken picture: Corrupt JPEG data: .*"),
        "zeros.jpg": (data[:middle] + bytes(len(data) - middle), "broken picture: .*"),
        "cut.png": (png[: len(png) // 2], "broken picture: .*"),
        "flipped.png": (png[:900] + bytes([png[900] ^ 255]) + png[901:], "broken picture: .*"),
        "flat.png": (resized(png, 0, 7), ".*"),
        "bomb.png": (
            resized(png, 12_000, 12_000),
            r"12000x12000 pixels \(144 megapixels\) take 1268 MB to decode, the limit is 300 MB: .*",
        ),
        "huge_bomb.png": (resized(png, 200_000, 200_000), r"200000x200000 pixels .* take 352001 MB to decode, the limit is 300 MB: .*"),
    }


def resized(png: bytes, width: int, height: int) -> bytes:
    """A PNG that claims another size."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def test_broken_files_are_refused_in_one_line_that_names_them(jpeg, texture, tmp_path):
    texture.save(tmp_path / "sound.png")
    for name, (data, reason) in damaged(jpeg, (tmp_path / "sound.png").read_bytes()).items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(DataError) as refusal:
            Picture.open(path).decode()
        assert re.fullmatch(f"{re.escape(str(path))}: {reason}", str(refusal.value)), refusal.value


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_damaged_exif_does_not_touch_the_pixels(texture, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    path = tmp_path / f"photo.{suffix}"
    texture.save(path, exif=exif)
    want = Picture.open(path).decode()
    data = bytearray(path.read_bytes())
    at = data.index(b"MM\0*" if b"MM\0*" in data else b"II*\0")
    data[at + 8 : at + 14] = b"\xff" * 6
    if suffix == "png":
        start = data.index(b"eXIf")
        end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[start:end]))
    path.write_bytes(data)
    np.testing.assert_array_equal(Picture.open(path).decode(), want)


def test_a_folder_is_not_a_picture(tmp_path):
    with pytest.raises(DataError) as refusal:
        Picture.open(tmp_path)
    assert str(refusal.value) == f"{tmp_path}: a folder or special file, expected a picture"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(DataError, match=r"photo.jpg: a folder or special file, expected a picture$"):
        Picture.open(tmp_path / "photo.jpg")


def test_what_the_system_refuses_is_reported_in_its_words(jpeg, monkeypatch):
    picture = Picture.open(jpeg)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: (_ for _ in ()).throw(OSError(5, "Input/output error", str(self))))
        with pytest.raises(DataError, match=r"photo.jpg: cannot be read: Input/output error$"):
            picture.decode()


def test_what_a_picture_may_take_depends_on_what_its_decoder_takes(texture, tmp_path, monkeypatch):
    """Of a budget that a plain JPEG of this size just fits, a turned or a progressive one, a PNG and a WebP take too much."""
    turned = Image.Exif()
    turned[picture_module.ORIENTATION] = 6
    texture.save(tmp_path / "plain.jpg")
    monkeypatch.setenv(VARIABLE, str((133 * 75 * 3.3 + (tmp_path / "plain.jpg").stat().st_size) / 1e6))
    assert Picture.open(tmp_path / "plain.jpg").decode().shape == (75, 133, 3)
    cases = {"turned.jpg": {"exif": turned}, "in_scans.jpg": {"progressive": True}, "plain.png": {}, "plain.webp": {}}
    for name, options in cases.items():
        texture.save(tmp_path / name, **options)
        with pytest.raises(DataError, match=rf"{name}: 133x75 pixels \(0 megapixels\) take 1 MB to decode, the limit is 0\.0"):
            Picture.open(tmp_path / name)


def test_a_bomb_is_refused_before_it_is_decoded(texture, tmp_path, monkeypatch):
    texture.save(tmp_path / "bomb.png")
    (tmp_path / "bomb.png").write_bytes(resized((tmp_path / "bomb.png").read_bytes(), 60_000, 60_000))
    monkeypatch.setattr(picture_module, "_pillow", lambda data: pytest.fail("decoded"))
    with pytest.raises(DataError, match="a decompression bomb"):
        Picture.open(tmp_path / "bomb.png")


def test_a_file_changed_since_it_was_opened_is_refused(jpeg, texture):
    picture = Picture.open(jpeg)
    texture.crop((0, 0, 40, 40)).save(jpeg)
    with pytest.raises(
        DataError, match=r"photo.jpg: expected \(75, 133\) pixels as in its header, received \(40, 40\): was the file changed\?"
    ):
        picture.decode()


def test_harmless_warnings_of_libjpeg_do_not_cost_a_picture(jpeg):
    data = bytearray(jpeg.read_bytes())
    start = data.index(b"\xff\xda") + 2
    length = int.from_bytes(data[start : start + 2], "big")
    want = Picture.open(jpeg).decode()
    data[start + length - 2] = 0  # Se, the end of spectral selection: must be 63, and some telephones write 0
    jpeg.write_bytes(data)
    np.testing.assert_array_equal(Picture.open(jpeg).decode(), want)


def test_no_mutation_yields_anything_but_a_whole_picture_or_a_refusal(jpeg, texture, tmp_path, rng):
    texture.save(tmp_path / "sound.png")
    refused = 0
    for source in (jpeg, tmp_path / "sound.png"):
        data = source.read_bytes()
        for trial in range(150):
            mutated = bytearray(data)
            at = int(rng.integers(len(data)))
            if trial % 3 == 0:
                mutated[at] ^= 1 << int(rng.integers(8))
            elif trial % 3 == 1:
                del mutated[at:]
            else:
                del mutated[at : at + 40]
            path = tmp_path / f"mutated{source.suffix}"
            path.write_bytes(mutated)
            try:
                picture = Picture.open(path)
                pixels = picture.decode()
            except DataError as error:
                refused += 1
                assert str(error).startswith(str(path)) and "\n" not in str(error)
            else:
                assert pixels.shape == (*picture.size, 3)
    assert refused > 200  # every cut, and what flips a decoder can notice


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_bytes_in_memory_are_read_as_the_file_is(texture, tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[picture_module.ORIENTATION] = orientation
    path = tmp_path / f"photo.{suffix}"
    texture.save(path, **({"exif": exif} if orientation > 1 else {}))
    file, memory = Picture.open(path), Picture.encoded(path.read_bytes(), "record 3")
    assert memory.size == file.size and memory.name == "record 3"
    for reduce in (1, 2):
        np.testing.assert_array_equal(memory.decode(reduce), file.decode(reduce))


def test_bytes_that_are_no_picture_are_refused_by_name(jpeg, monkeypatch):
    data = jpeg.read_bytes()
    for broken, reason in ((b"", "empty, expected a picture"), (b"words", "not a picture, .*"), (data[:100], "broken picture: .*")):
        with pytest.raises(DataError, match=f"^record 3: {reason}"):
            Picture.encoded(broken, "record 3")
    with pytest.raises(DataError, match=r"^record 3: broken picture: Premature end of JPEG file$"):
        Picture.encoded(data[:-2], "record 3").decode()
    monkeypatch.setenv(VARIABLE, "0.0001")
    with pytest.raises(DataError, match=r"^record 3: 133x75 pixels \(0 megapixels\) take 1 MB to decode, the limit is 0.0001 MB: "):
        Picture.encoded(data, "record 3")
