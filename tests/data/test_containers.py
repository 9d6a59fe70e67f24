"""Damage that decoders pass over: each is found, and its twin without damage is not refused."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data import containers, images
from ppface.data.images import Picture


@pytest.fixture
def photo(rng) -> Image.Image:
    smooth = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((90, 70), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(smooth) + rng.normal(0, 6, (70, 90, 3)), 0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return Picture.encoded(data, "photo").decode()


def refusal(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        decoded(data)
    assert str(caught.value).startswith("photo: broken picture: ") and "\n" not in str(caught.value)
    return str(caught.value).removeprefix("photo: broken picture: ")


def scans(data: bytes) -> list[tuple[int, int]]:
    """Where each scan with its tables begins and ends."""
    starts = [match.start() for match in re.finditer(rb"\xff[\xc4\xda]", data)]
    ends = [data.index(b"\xff\xda", start) for start in starts]
    ends = [re.compile(rb"\xff[^\x00\xd0-\xd7]").search(data, end + 4).start() for end in ends]
    return list(dict(zip(reversed(ends), reversed(starts), strict=True)).items())


def test_a_progressive_jpeg_that_lost_a_scan_is_refused(photo):
    data = saved(photo, "JPEG", progressive=True, quality=90)
    assert decoded(data).shape == (70, 90, 3)
    parts = scans(data)
    assert len(parts) == 10
    quiet = 0
    for end, start in parts:
        mutated = data[:start] + data[end:]
        quiet += np.asarray(Image.open(io.BytesIO(mutated))).shape == (70, 90, 3)  # Pillow says nothing
        assert re.match("some of its scans are missing$|Inconsistent progression sequence", refusal(mutated))
    assert quiet == 10
    end, start = parts[0]
    assert refusal(data[:start] + b"\xff\xd9") == "some of its scans are missing"


def test_a_jpeg_of_many_scans_is_refused_before_it_costs_time(photo, monkeypatch):
    data = saved(photo, "JPEG", progressive=True)
    monkeypatch.setattr(containers, "SCANNED", 9 * 70 * 90)
    assert refusal(data) == "more than 9 scans of 6300 pixels: damaged, or a bomb"


def odd(data: bytes) -> dict[str, bytes]:
    """A JPEG as careless writers make it: libjpeg warns of each, and it is harmless."""
    sos = data.index(b"\xff\xda")
    after = sos + 2 + int.from_bytes(data[sos + 2 : sos + 4], "big")
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07"
    jfif = data.index(b"JFIF\0") + 5
    return {
        "no end of the spectrum": data[: after - 2] + b"\0" + data[after - 1 :],
        "an unknown transform": data[:2] + adobe + data[2:],
        "an unknown version": data[:jfif] + b"\x07" + data[jfif + 1 :],
    }


@pytest.mark.parametrize("kind", ["no end of the spectrum", "an unknown transform", "an unknown version"])
def test_oddities_of_careless_writers_neither_cost_a_jpeg_nor_hide_its_damage(photo, kind):
    data = saved(photo, "JPEG", quality=90)
    mutated = odd(data)[kind]
    assert mutated != data
    np.testing.assert_array_equal(decoded(mutated), decoded(data))
    assert refusal(mutated[:-200]) == "Premature end of JPEG file"
    assert refusal(mutated[:-200] + b"\xff\xd9") == "Corrupt JPEG data: premature end of data segment"


def test_inks_with_an_unknown_transform_are_read_as_libjpeg_does(photo):
    data = saved(photo.convert("CMYK"), "JPEG", quality=90)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    assert decoded(data[:at] + b"\x07" + data[at + 1 :]).shape == (70, 90, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1"])
def test_every_byte_of_a_png_is_under_a_checksum(photo, mode, rng):
    data = saved(photo.convert(mode), "PNG")
    for at in {*rng.integers(8, len(data), 60).tolist(), *range(len(data) - 40, len(data))}:
        mutated = bytearray(data)
        mutated[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(DataError):
            decoded(bytes(mutated))
    at = data.index(b"IEND") - 8  # the checksum of the last pixels
    assert refusal(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) == "wrong checksum of its IDAT chunk"
    at = data.index(b"IDAT") + 2  # a name that no terminal likes
    assert refusal(data[:at] + b"\x07" + data[at + 1 :]) == "wrong checksum of its ID?T chunk"
    for cut in range(1, 20):
        assert refusal(data[:-cut]) == "cut off before its end"
    np.testing.assert_array_equal(decoded(data + b"garbage"), decoded(data))


def resized(data: bytes, width: int, height: int) -> bytes:
    """A PNG that claims another size, by a header with a right checksum."""
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "LA"])
def test_a_png_of_more_or_fewer_pixels_than_it_claims_is_refused(photo, mode):
    """Pillow would leave rows black, or leave rows out."""
    data = saved(photo.convert(mode), "PNG")
    assert resized(data, 90, 70) == data and decoded(data).shape == (70, 90, 3)
    for size in ((90, 71), (90, 69), (90, 35), (120, 70), (90, 500)):
        assert refusal(resized(data, *size)) == f"not as many pixels as the {size[0]} x {size[1]} of its header"


def test_a_pngs_header_is_read_without_its_pixels(photo, monkeypatch):
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    data = saved(photo, "PNG", exif=exif)
    at, end = data.index(b"eXIf") - 4, data.index(b"IEND") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
    behind = data[:end].replace(chunk, b"") + chunk + data[end:]  # it may stand behind the pixels too
    assert len(behind) == len(data) and behind != data
    monkeypatch.setattr(images.Image, "open", lambda *_, **__: pytest.fail("decoded"))
    for one in (data, behind):
        assert Picture.encoded(one, "photo").size == (90, 70)
    assert Picture.encoded(saved(photo, "PNG"), "photo").size == (70, 90)


def test_a_png_of_very_many_chunks_is_refused(photo, monkeypatch):
    monkeypatch.setattr(containers, "CHUNKS", 100)
    data = saved(photo, "PNG")
    empty = b"\0\0\0\0abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    np.testing.assert_array_equal(decoded(data[:33] + 50 * empty + data[33:]), np.asarray(photo))
    assert refusal(data[:33] + 200 * empty + data[33:]) == "more than 100 chunks: damaged, or a bomb"


def test_a_png_without_pixels_is_refused(photo):
    assert refusal(resized(saved(photo, "PNG"), 0, 70)) == "damaged header"


def test_a_gif_whose_pixels_end_early_is_refused(photo):
    image = photo.quantize(64)
    data = saved(image, "GIF")
    at = data.index(b"\x2c\0\0\0\0") + 7
    assert struct.unpack("<H", data[at : at + 2]) == (70,)
    taller = data[:8] + struct.pack("<H", 75) + data[10:at] + struct.pack("<H", 75) + data[at + 2 :]
    assert re.fullmatch(r"image file is truncated \(\d bytes not processed\)", refusal(taller))
    assert re.fullmatch(r"image file is truncated \(\d+ bytes not processed\)", refusal(data[: len(data) // 2]))


def test_a_gif_whose_frame_does_not_fill_it_is_refused(photo):
    data = saved(photo.quantize(64), "GIF")
    wider = data[:6] + struct.pack("<H", 400) + data[8:]
    assert refusal(wider) == "its frame at (0, 0, 90, 70) does not fill the 400 x 70 pixels of its header"


@pytest.mark.parametrize(("packing", "number"), [("jpeg", 7), ("group4", 4)])
def test_a_tiff_whose_packing_hides_damage_is_refused(photo, packing, number):
    data = saved(photo.convert("1") if packing == "group4" else photo, "TIFF", compression=packing)
    want = f"TIFF compression {number}, whose damage decoders pass over; expected one of none, LZW, deflate, PackBits, LZMA, zstd"
    assert refusal(data) == want


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_sound_tiffs_are_read(photo, packing, mode):
    image = photo.convert(mode)
    np.testing.assert_array_equal(decoded(saved(image, "TIFF", compression=packing)), np.asarray(image.convert("RGB")))


def test_damaged_deflate_in_a_tiff_is_refused(photo):
    data = saved(photo, "TIFF", compression="tiff_adobe_deflate")
    middle = len(data) // 2
    told = refusal(data[:middle] + bytes(30) + data[middle + 30 :])
    assert told == "its deflated pixels are damaged" or told.startswith("Error -3 while decompressing data: ")


def tagged(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF whose tag has another value."""
    at = data.index(struct.pack("<H", tag), struct.unpack("<I", data[4:8])[0])
    return data[: at + 8] + struct.pack("<I", value) + data[at + 12 :]


def test_a_tiff_of_fewer_rows_than_its_strips_hold_is_refused(photo):
    data = saved(photo, "TIFF")
    np.testing.assert_array_equal(decoded(tagged(data, 257, 70)), np.asarray(photo))
    assert refusal(tagged(data, 257, 35)) == f"{70 * 270} bytes of pixels, expected {35 * 270}"


def test_a_tiff_of_huge_tiles_is_refused():
    """One tile that claims far more pixels than the picture has, as small as it may be packed."""
    entries = {256: 90, 257: 70, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 134, 325: 4}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + b"tile"
    assert refusal(data) == "tiles of 60000 x 60000 for 90 x 70 pixels: damaged, or a bomb"


@pytest.mark.parametrize(("kind", "mode"), [("BMP", "RGB"), ("BMP", "P"), ("PPM", "RGB"), ("PPM", "L"), ("PPM", "1"), ("PPM", "I")])
def test_a_format_without_an_end_mark_is_as_long_as_its_header_says(photo, kind, mode):
    image = photo.convert("L").convert("I") if mode == "I" else photo.convert(mode)
    data = saved(image, kind)
    assert decoded(data).shape == (70, 90, 3)
    assert decoded(data + b"\0\0").shape == (70, 90, 3)  # what some writers append
    rows = data[:22] + struct.pack("<i", 35) + data[26:] if kind == "BMP" else data.replace(b"90 70", b"90 35", 1)
    assert re.fullmatch(r"\d+ bytes more than the 90 x 35 pixels of its header take", refusal(rows))


def test_a_ppm_of_text_or_of_an_odd_maximum_is_refused():
    want = "a PPM of text or of an odd maximum, expected a binary one of maximum 255, or grey of 65535"
    assert refusal(b"P3\n1 1\n255\n255 255 25") == want  # whether its last number is whole, nobody can tell
    assert refusal(b"P6\n1 1\n100\n" + bytes(3)) == want
