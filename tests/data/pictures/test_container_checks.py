"""Damage that decoders ignore: each kind is found, and the same picture without damage is accepted."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ppface.core.errors import DataError
from ppface.data.pictures import container_checks, picture, truncation
from ppface.data.pictures.picture import Picture


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
    monkeypatch.setattr(container_checks, "MAX_SCANNED", 9 * 70 * 90)
    assert refusal(data) == "more than 9 scans of 6300 pixels: damaged, or a decompression bomb"


def test_a_jpeg_whose_end_was_overwritten_with_zeros_is_refused():
    """Luckily as many blocks as were lost, of 191 bits each: libjpeg has nothing to warn of."""
    data = saved(Image.effect_noise((64, 64), 90), "JPEG", quality=90)
    start = data.index(b"\xff\xda") + 10
    zeros = data[:start] + bytes(64 * 191 // 8) + b"\xff\xd9"
    assert np.asarray(Image.open(io.BytesIO(zeros))).shape == (64, 64)
    picture.simplejpeg.decode_jpeg(zeros)
    assert refusal(zeros) == "its pixel data was overwritten by zeros"
    assert refusal(zeros[:-2] + bytes(40)) == "its pixel data was overwritten by zeros"


@pytest.mark.parametrize("optimize", [False, True])
def test_zeros_of_a_plain_jpeg_and_behind_any_are_no_damage(photo, optimize):
    plain = saved(Image.new("L", (900, 700), 128), "JPEG", optimize=optimize)
    assert (container_checks.ZEROS in plain) == optimize
    assert (decoded(plain) == 128).all()
    data = saved(photo, "JPEG")
    np.testing.assert_array_equal(decoded(data + bytes(500)), decoded(data))


def test_a_jpeg_of_arithmetic_coding_is_refused(photo):
    """Its writers may leave out zeros at the end, so that no decoder can tell what is cut."""
    data = saved(photo, "JPEG")
    at = data.index(b"\xff\xc0") + 1
    for marker in container_checks.ARITHMETIC:
        want = "a JPEG with arithmetic coding, in which decoders do not detect damage; expected Huffman coding"
        assert refusal(data[:at] + bytes([marker]) + data[at + 1 :]) == want


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
        assert refusal(data[:-cut]) == "truncated"
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


def replaced(data: bytes, kind: bytes, *contents: bytes) -> bytes:
    """A PNG with as many chunks of other contents in the place of one."""
    at = data.index(kind) - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    made = [struct.pack(">I", len(one)) + kind + one + struct.pack(">I", zlib.crc32(kind + one)) for one in contents]
    return data[:at] + b"".join(made) + data[end:]


@pytest.mark.parametrize("colours", [2, 4, 16, 200])
def test_a_png_without_all_colours_of_its_pixels_is_refused(photo, colours):
    image = photo.quantize(colours)
    data = saved(image, "PNG")
    palette = bytes(image.getpalette())
    np.testing.assert_array_equal(decoded(replaced(data, b"PLTE", palette)), np.asarray(image.convert("RGB")))
    fewer = f"pixels with colours beyond the {colours - 1} of its palette"
    assert refusal(replaced(data, b"PLTE", palette[:-3])) == fewer
    whole = "a palette of {} bytes before its pixels, expected 3 for each colour"
    assert refusal(replaced(data, b"PLTE")) == whole.format(0)
    assert refusal(replaced(data, b"PLTE", b"")) == whole.format(0)
    assert refusal(replaced(data, b"PLTE", palette[:-1])) == whole.format(len(palette) - 1)
    late = replaced(data, b"PLTE")
    assert refusal(late[:-12] + data[data.index(b"PLTE") - 4 :][: 12 + len(palette)] + late[-12:]) == whole.format(0)


def test_a_palette_that_is_longer_than_its_pixels_need_is_no_damage(photo):
    image = photo.quantize(20)
    data = replaced(saved(image, "PNG"), b"PLTE", bytes(image.getpalette()) + bytes(300))
    np.testing.assert_array_equal(decoded(data), np.asarray(image.convert("RGB")))


def test_a_pngs_header_is_read_without_its_pixels(photo, monkeypatch):
    exif = Image.Exif()
    exif[picture.ORIENTATION] = 6
    data = saved(photo, "PNG", exif=exif)
    at, end = data.index(b"eXIf") - 4, data.index(b"IEND") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
    behind = data[:end].replace(chunk, b"") + chunk + data[end:]  # it may stand behind the pixels too
    assert len(behind) == len(data) and behind != data
    monkeypatch.setattr(picture.Image, "open", lambda *_, **__: pytest.fail("decoded"))
    for one in (data, behind):
        assert Picture.encoded(one, "photo").size == (90, 70)
    assert Picture.encoded(saved(photo, "PNG"), "photo").size == (70, 90)


def test_a_png_of_very_many_chunks_is_refused(photo, monkeypatch):
    monkeypatch.setattr(container_checks, "MAX_CHUNKS", 100)
    data = saved(photo, "PNG")
    empty = b"\0\0\0\0abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    np.testing.assert_array_equal(decoded(data[:33] + 50 * empty + data[33:]), np.asarray(photo))
    assert refusal(data[:33] + 200 * empty + data[33:]) == "more than 100 chunks: damaged, or a decompression bomb"


def test_a_png_without_pixels_is_refused(photo):
    assert refusal(resized(saved(photo, "PNG"), 0, 70)) == "damaged header"


def test_a_gif_whose_pixels_end_early_is_refused(photo):
    image = photo.quantize(64)
    data = saved(image, "GIF")
    at = data.index(b"\x2c\0\0\0\0") + 7
    assert struct.unpack("<H", data[at : at + 2]) == (70,)
    taller = data[:8] + struct.pack("<H", 75) + data[10:at] + struct.pack("<H", 75) + data[at + 2 :]
    assert re.fullmatch(r"image file is truncated \(\d bytes not processed\)", refusal(taller))
    assert refusal(data[: len(data) // 2]) == "truncated"
    first = data[at + 4] + 1  # of its first block of pixels, behind it none
    assert re.fullmatch(r"image file is truncated \(\d+ bytes not processed\)", refusal(data[: at + 4 + first] + b"\0;"))


def test_a_gif_whose_frame_does_not_fill_it_is_refused(photo):
    data = saved(photo.quantize(64), "GIF")
    wider = data[:6] + struct.pack("<H", 400) + data[8:]
    assert refusal(wider) == "its frame at (0, 0, 90, 70) does not fill the 400 x 70 pixels of its header"


@pytest.mark.parametrize("rows", [69, 35])
def test_a_gif_of_more_pixels_than_it_claims_is_refused(photo, rows):
    """Pillow would leave rows out."""
    data = saved(photo.quantize(64), "GIF")
    fewer = data[:6] + struct.pack("<HH", 90, rows) + data[10:].replace(struct.pack("<HH", 90, 70), struct.pack("<HH", 90, rows), 1)
    assert refusal(fewer) == "its decoder did not need all of its data: damaged"


def test_a_gif_of_very_many_blocks_is_refused(photo, monkeypatch):
    data = saved(photo.quantize(64), "GIF")
    monkeypatch.setattr(truncation, "MAX_BLOCKS", 3)
    assert refusal(data) == "more than 3 blocks of pixels: damaged, or a decompression bomb"


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 1), (90, 70)])
@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_a_sound_gif_needs_its_end(photo, size, mode):
    """Blocks shorter and longer than what is taken away, at the end of the pixels and elsewhere."""
    image = photo.resize(size).convert(mode)
    data = saved(image, "GIF")
    np.testing.assert_array_equal(decoded(data), np.asarray(image.convert("RGB")))
    start = Image.open(io.BytesIO(data)).tile[0][2]
    packed, at = b"", start
    while data[at]:
        packed, at = packed + data[at + 1 : at + 1 + data[at]], at + 1 + data[at]
    for length in (1, 3, 7, 8, 9, 100):
        blocks = (packed[i : i + length] for i in range(0, len(packed), length))
        other = data[:start] + b"".join(bytes([len(block)]) + block for block in blocks) + data[at:]
        np.testing.assert_array_equal(decoded(other), decoded(data))


WEBP = [{}, {"quality": 5, "method": 6}, {"quality": 100, "method": 0}, {"lossless": True}, {"exif": b"Exif\0\0MM\0*"}, {"save_all": True}]


def packed(data: bytes) -> tuple[int, int]:
    """Where the pixels of the first frame of a WebP lie."""
    match = re.search(b"VP8[ L]", data)
    return match.end() + 4, match.end() + 4 + int.from_bytes(data[match.end() : match.end() + 4], "little")


@pytest.mark.parametrize("options", WEBP)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_webp_whose_end_was_overwritten_is_refused(photo, rng, options, share):
    """libwebp makes pixels of whatever is there."""
    if "save_all" in options:
        options = options | {"append_images": [photo.rotate(90)]}
    data = saved(photo, "WEBP", **options)
    assert decoded(data).shape == (70, 90, 3)
    start, end = packed(data)
    at = start + int((end - start) * share)
    mutated = data[:at] + bytes(end - at) + data[end:]
    assert np.asarray(Image.open(io.BytesIO(mutated))).shape == (70, 90, 3)
    assert refusal(mutated) == "its decoder did not need all of its data: damaged"
    noticed = 0
    for _ in range(20):
        try:
            decoded(data[:at] + rng.bytes(end - at) + data[end:])
        except DataError:
            noticed += 1
    assert noticed >= 12  # by chance as many bits may be needed as there were


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (16, 16), (70, 90)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_sound_webp_needs_its_end(photo, size, mode):
    """The smallest, plain ones too; and bytes that some encoders leave behind are no damage."""
    for image in (Image.new(mode, size, "red" if mode != "L" else 7), photo.resize(size).convert(mode)):
        for lossless in (False, True):
            data = saved(image, "WEBP", lossless=lossless)
            pixels = decoded(data)
            assert pixels.shape == (*size[::-1], 3)
            start, end = packed(data)
            more = (
                b"WEBP" + data[start - 8 : start - 4] + struct.pack("<I", end - start + 4) + data[start:end] + bytes(4 + (end - start) % 2)
            )
            np.testing.assert_array_equal(decoded(b"RIFF" + struct.pack("<I", len(more)) + more), pixels)


def test_a_webp_whose_first_frame_does_not_fill_it_is_refused(photo):
    data = saved(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)])
    at = data.index(b"VP8X") + 12
    wider = data[:at] + (399).to_bytes(3, "little") + data[at + 3 :]
    assert np.asarray(Image.open(io.BytesIO(wider))).shape == (70, 400, 3)
    assert refusal(wider) == "its frame at (0, 0, 90, 70) does not fill the 400 x 70 pixels of its header"


def test_a_webp_of_very_many_chunks_is_refused(photo, monkeypatch):
    monkeypatch.setattr(truncation, "MAX_CHUNKS", 20)
    data = saved(photo, "WEBP", exif=b"Exif\0\0MM\0*")
    at = data.index(b"VP8 ")

    def chunks(count: int) -> bytes:
        body = data[8:at] + b"abCd\0\0\0\0" * count + data[at:]
        return b"RIFF" + struct.pack("<I", len(body)) + body

    np.testing.assert_array_equal(decoded(chunks(10)), decoded(data))
    assert refusal(chunks(30)) == "more than 20 chunks: damaged, or a decompression bomb"


@pytest.mark.parametrize(("packing", "number"), [("jpeg", 7), ("group4", 4), ("packbits", 32773)])
def test_a_tiff_whose_packing_hides_damage_is_refused(photo, packing, number):
    data = saved(photo.convert("1") if packing == "group4" else photo, "TIFF", compression=packing)
    want = f"TIFF compression {number}, in which decoders do not detect damage; expected one of none, LZW, deflate, LZMA"
    assert refusal(data) == want


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"])
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


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_tiff_of_more_strips_than_its_rows_need_is_refused(photo, packing):
    image = photo.resize((90, 700))
    data = saved(image, "TIFF", compression=packing, tiffinfo={278: 100})
    assert len(Image.open(io.BytesIO(data)).tag_v2[273]) == 7
    np.testing.assert_array_equal(decoded(data), np.asarray(image))
    assert refusal(tagged(data, 257, 600)) == "7 strips of pixels, expected 6"


def test_a_tiff_of_huge_tiles_is_refused():
    """One tile that claims far more pixels than the picture has, as small as it may be packed."""
    entries = {256: 90, 257: 70, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 134, 325: 4}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + b"tile"
    assert refusal(data) == "tiles of 60000 x 60000 for 90 x 70 pixels: damaged, or a decompression bomb"


@pytest.mark.parametrize(("kind", "mode"), [("BMP", "RGB"), ("BMP", "P"), ("PPM", "RGB"), ("PPM", "L"), ("PPM", "1"), ("PPM", "I")])
def test_a_format_without_an_end_mark_is_as_long_as_its_header_says(photo, kind, mode):
    image = photo.convert("L").convert("I") if mode == "I" else photo.convert(mode)
    data = saved(image, kind)
    assert decoded(data).shape == (70, 90, 3)
    assert decoded(data + b"\0\0").shape == (70, 90, 3)  # what some writers append
    rows = data[:22] + struct.pack("<i", 35) + data[26:] if kind == "BMP" else data.replace(b"90 70", b"90 35", 1)
    assert re.fullmatch(r"\d+ bytes more than the 90 x 35 pixels of its header need", refusal(rows))


def test_a_bmp_of_runs_is_refused():
    """Its rows may end early or late, and the rest would be made up."""
    runs = b"\2\1\0\0" * 2 + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 8, 1, len(runs), 0, 0, 2, 0) + b"\0\0\xff\0\xff\0\0\0"
    data = b"BM" + struct.pack("<IHHI", 14 + len(header) + len(runs), 0, 0, 14 + len(header)) + header + runs
    assert np.asarray(Image.open(io.BytesIO(data))).shape == (2, 2)
    assert refusal(data) == "a run-length coded BMP, in which decoders do not detect damage; expected an uncompressed one"


def test_a_ppm_of_text_or_of_an_odd_maximum_is_refused():
    want = "a PPM in text form or with another maximum; expected a binary one with maximum 255, or grey with 65535"
    assert refusal(b"P3\n1 1\n255\n255 255 25") == want  # whether its last number is whole, nobody can tell
    assert refusal(b"P6\n1 1\n100\n" + bytes(3)) == want
