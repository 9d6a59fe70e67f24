"""What enters and leaves the deployed detector: whole pictures, folders, videos; broken ones are refused with one line."""

import argparse
import errno
import io
import itertools
import os
import re

import cv2
import media
import numpy as np
import picture_limit as deployed
import pytest
import session
from PIL import Image
from video_container import ASF_PROPERTIES, PACKS, SEGMENT, lacks_bytes

from ppface.data.pictures import picture, picture_limit
from ppface.data.pictures.picture import Picture

GBK = os.fsdecode(b"\xc4\xe3")


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
        (b"", "not a picture, or a damaged header; expected one of JPEG, PNG, BMP, GIF, PPM, TIFF, WEBP"),
        (b"these are words", "not a picture, or a damaged header; expected one of JPEG, PNG, BMP, GIF, PPM, TIFF, WEBP"),
    ],
)
def test_what_is_no_picture_is_reported(tmp_path, data, told):
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
    with pytest.raises(
        media.MediaError, match=r"bomb\.bmp: 20000x20000 pixels \(400 megapixels\) take 3521 MB to decode, the limit is 300 MB"
    ):
        media.read_picture(file)


def test_the_deployed_limit_of_memory_is_the_same(monkeypatch):
    for name in ("VARIABLE", "DEFAULT_MB", "BYTES_PER_PIXEL", "OTHER_BYTES_PER_PIXEL", "ROTATION_BYTES_PER_PIXEL", "COPIES"):
        assert getattr(deployed, name) == getattr(picture_limit, name)
    assert (deployed.FORMATS, deployed.ORIENTATION) == (picture.FORMATS, picture.ORIENTATION)
    refused = 0
    for setting, kind, length, turned in itertools.product(
        ("", "40", "500"), ("JPEG", "full", "WEBP", "GIF", "PNG"), (0, 10**8), (False, True)
    ):
        monkeypatch.setenv(picture_limit.VARIABLE, setting)
        for size in ((1000, 2000), (3000, 4000), (9000, 12000)):
            told = []
            try:
                picture_limit.check_memory(size, kind, length, turned)
            except picture_limit.TooLargeError as error:
                told.append(f"x: {error}")
            try:
                deployed.check_memory("x", size, kind, length, turned)
            except deployed.MediaError as error:
                told.append(str(error))
            assert len(told) in (0, 2) and len(set(told)) < 2
            refused += bool(told)
    assert 30 < refused < 150


class FindsNothing:
    seconds = {"pre": 0.0, "run": 0.0, "post": 0.0}

    def __call__(self, image):
        return []


@pytest.mark.parametrize(
    ("number", "tried"),
    [(errno.ENOSPC, ["a.png"]), (errno.EACCES, ["a.png"]), (errno.ENAMETOOLONG, ["a.png", "b.png", "c.png"])],
)
def test_a_full_disk_is_reported_once(tmp_path, pixels, monkeypatch, capsys, number, tried):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(encoded(pixels, "PNG"))
    names = []

    def write_bytes(file, data):
        names.append(file.name)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(media.Path, "write_bytes", write_bytes)
    if number == errno.ENOSPC:  # then the table of faces cannot be written either
        monkeypatch.setattr(media.Path, "write_text", lambda file, *_, **__: write_bytes(file, b""))
        tried = [*tried, "faces.json"]
    parser = argparse.ArgumentParser()
    session.add_options(parser)
    out = tmp_path / "out"
    options = parser.parse_args(["--input", str(tmp_path), "--output", str(out)])
    reason = f"{out / 'a.png'}: cannot write the picture: {os.strerror(number)}"
    if len(tried) < 3:
        with pytest.raises(media.MediaError) as error:
            session.process(FindsNothing(), options)
        assert str(error.value) == reason
    else:
        assert session.process(FindsNothing(), options) == 3
        assert f"skipped: a.png: {reason}\n" in capsys.readouterr().err
    assert names == tried


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


def clip(file, frames: int = 40, codec: str = "MJPG", rate: float = 25.0):
    """A video of noise, which needs many bytes a frame."""
    noise = np.random.default_rng(1)
    writer = cv2.VideoWriter(os.fsencode(file), cv2.VideoWriter.fourcc(*codec), rate, (64, 48))
    for _ in range(frames):
        writer.write(noise.integers(0, 256, (48, 64, 3)).astype("uint8"))
    writer.release()
    return file


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "MJPG"), ("a.AVI", "XVID"), ("a.mkv", "mp4v"), ("a.webm", "VP80"), ("a.flv", "FLV1")]
)
def test_a_cut_video_is_reported_after_its_last_frame(tmp_path, name, codec):
    file = clip(tmp_path / name, codec=codec)
    assert len(list(media.frames(str(file)))) == 40
    file.write_bytes(file.read_bytes()[: int(0.6 * file.stat().st_size)])
    found = []
    with pytest.raises(media.MediaError) as error:
        for frame in media.frames(str(file)):
            found.append(frame.number)
    assert 4 < len(found) < 36 and found == list(range(len(found)))
    told = f"the video ends after {len(found)} of the 40 frames that its header states: it is truncated or damaged; the results of these {len(found)} frames are kept"
    assert str(error.value) == f"{file}: {told}"


STREAMS = [("a.wmv", "WMV2"), ("a.mpg", "PIM1"), ("a.mpeg", "MPG2"), ("a.vob", "MPG2"), ("a.ts", "MPG2"), ("a.m2ts", "MPG2")]


@pytest.mark.parametrize(("name", "codec"), STREAMS)
def test_streams_that_lack_their_end_are_reported_and_complete_ones_never(tmp_path, name, codec):
    for frames in (1, 2, 40):
        file = clip(tmp_path / name, frames, codec)
        assert len(list(media.frames(str(file)))) == frames
    whole = file.read_bytes()
    assert not lacks_bytes(file)
    for end in (1, 5, 100, 1023):  # inside a packet
        file.write_bytes(whole[: len(whole) * 3 // 5 // 2048 * 2048 - end])
        assert lacks_bytes(file)
    found = []
    with pytest.raises(media.MediaError) as error:
        for frame in media.frames(str(file)):
            found.append(frame.number)
    count = len(found)
    lacks = r"(frames, and its file is incomplete|of the \d+ frames that its header states)"
    told = rf"the video ends after {count} {lacks}: it is truncated or damaged; the results of these {count} frames are kept"
    assert 4 < count < 36 and re.fullmatch(rf"{file}: {told}", str(error.value))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.webm", "VP80"), ("a.flv", "FLV1"), ("a.mp4", "mp4v")]
)
def test_files_that_lack_a_few_bytes_are_found_by_the_sizes_that_they_state(tmp_path, name, codec):
    for frames in (1, 2, 40):
        file = clip(tmp_path / name, frames, codec)
        assert not lacks_bytes(file)
    whole = file.read_bytes()
    file.write_bytes(whole + b"\0\0\x10\0words of a telephone")
    assert not lacks_bytes(file)
    file.write_bytes(whole[:-2])
    assert lacks_bytes(file)
    if name != "a.mp4":  # its index comes last: without it nothing can be read
        with pytest.raises(media.MediaError, match="frames, and its file is incomplete: it is truncated or damaged; the results of"):
            list(media.frames(str(file)))
    file.write_bytes(whole[:6])
    lacks_bytes(file)  # never a traceback


def test_containers_that_do_not_know_their_size_are_left_to_the_number_of_frames(tmp_path):
    file = clip(tmp_path / "a.avi", codec="MJPG")
    whole = file.read_bytes()
    for size in (bytes(4), b"\xff" * 4):
        file.write_bytes(whole[:4] + size + whole[8:-9])
        assert lacks_bytes(file) is None
    file = clip(tmp_path / "a.mkv", codec="mp4v")
    whole = file.read_bytes()
    at = whole.index(SEGMENT) + 4
    file.write_bytes(whole[:at] + b"\x01" + b"\xff" * 7 + whole[at + 8 : -9])
    assert lacks_bytes(file) is None


def test_what_follows_or_replaces_the_packets_of_a_stream_is_no_missing_end(tmp_path):
    file = clip(tmp_path / "a.vob", codec="MPG2")
    whole = file.read_bytes()
    for more in (b"\0" * 100, b"\0\0", b"\0\0\x01\xb9", b"\0\0\x01\xb9words", b"words"):
        file.write_bytes(whole + more)
        assert lacks_bytes(file) is False
    asf = clip(tmp_path / "a.wmv", codec="WMV2").read_bytes()
    at = asf.find(ASF_PROPERTIES) + 40
    file.write_bytes(asf[:at] + bytes(8) + asf[at + 8 :])  # a live recording does not know its size
    assert lacks_bytes(file) is False
    for content in (b"", b"words", PACKS[:3]):
        file.write_bytes(content)
        assert lacks_bytes(file) is None


@pytest.mark.parametrize(
    ("counted", "number", "seconds", "expected", "rate", "cut"),
    [
        (True, 40, 0.0, 40, 25, False),
        (True, 39, 0.0, 40, 25, False),  # some writers count one too many
        (True, 38, 0.0, 40, 25, True),
        (False, 9, 0.36, 10, 25, False),
        (False, 250, 9.96, 270, 25, False),  # its sound is 0.8 seconds longer
        (False, 250, 9.96, 300, 25, True),
        (False, 250, 9.96, 10_000, 1000, False),  # a webm of a browser, whose rate is that of its clock
        (False, 250, 9.96, -9.2e18, 25, False),  # the file does not know its length
        (False, 250, 9.96, 300, 0, False),
        (False, 40, 0.0, 37, 25, False),  # an estimate that is too low
        (False, 250, 0.0, 260, 25, False),  # without times
        (False, 250, 0.0, 300, 25, True),
    ],
)
def test_which_videos_are_cut(counted, number, seconds, expected, rate, cut):
    assert media._is_cut(counted, number, seconds, expected, rate) is cut


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mpg", "MPG1"), ("a.wmv", "WMV2"), ("a.ts", "MPG2"), ("a.xyz", "MJPG"), ("no ending", "MJPG")]
)
def test_any_ending_may_be_a_video(tmp_path, name, codec):
    written = clip(tmp_path / f"x{(tmp_path / name).suffix if codec != 'MJPG' else '.avi'}", codec=codec)
    written.rename(tmp_path / name)
    assert [frame.number for frame in media.frames(str(tmp_path / name))] == list(range(40))


def test_a_picture_without_an_ending_is_a_picture(tmp_path, pixels):
    (tmp_path / "photo").write_bytes(encoded(pixels, "JPEG"))
    (found,) = media.frames(str(tmp_path / "photo"))
    assert (found.name, found.number) == ("photo", None) and found.read().shape == pixels.shape


def test_names_that_are_not_utf8(tmp_path, pixels):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{GBK}.png").write_bytes(encoded(pixels, "PNG"))
    (tmp_path / "in" / GBK).write_bytes(encoded(pixels, "PNG"))
    (found,) = media.frames(str(tmp_path / "in"))
    write = media.Writer(str(tmp_path / GBK), str(tmp_path / "in"))
    write(found, found.read())
    assert np.array_equal(media.read_picture(tmp_path / GBK / f"{GBK}.png"), pixels)
    (found,) = media.frames(str(tmp_path / "in" / GBK))
    assert np.array_equal(found.read(), pixels)
    video = clip(tmp_path / f"{GBK}.avi", frames=3)
    write = media.Writer(str(tmp_path / GBK), str(video))
    for frame in media.frames(str(video)):
        write(frame, frame.read())
    write.close()
    assert len(list(media.frames(str(tmp_path / GBK / f"{GBK}.mp4")))) == 3
    (tmp_path / f"{GBK}.txt").write_text("words")
    with pytest.raises(media.MediaError, match="neither a picture nor a video"):
        next(media.frames(str(tmp_path / f"{GBK}.txt")))


def test_a_folder_says_what_it_leaves_out_and_does_not_search_its_own_drawings(tmp_path, pixels, capsys):
    for name in ("a.pgm", "b.gif", "c.jfif", "._c.jfif", "notes.txt", "out/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(pixels, {"pgm": "PPM", "gif": "GIF"}.get(name[2:], "JPEG")))
    assert [frame.read().shape for frame in media.frames(str(tmp_path), output=str(tmp_path / "out"))] == [pixels.shape] * 3
    start, _, kinds = capsys.readouterr().err.strip().partition(": left out: ")
    assert start == str(tmp_path) and sorted(kinds.split(", ")) == ["1 .txt", "1 hidden", "1 output folder"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.xyz").write_text("")
    with pytest.raises(
        media.MediaError, match=r"no pictures in this folder \(left out: 1 .xyz\); expected files that end with .jpg .jpeg "
    ):
        next(media.frames(str(tmp_path / "other")))


def test_drawings_may_lie_beside_or_inside_the_input_folder_but_never_over_it(tmp_path, pixels, monkeypatch):
    picture = tmp_path / "in" / "in" / "a.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"mine")
    (tmp_path / "in" / "a.png").write_bytes(b"mine")
    monkeypatch.chdir(tmp_path)
    beside = media.Writer(".", "in")
    beside(media.Frame("a.png", lambda: pixels), pixels)
    assert np.array_equal(media.read_picture(tmp_path / "a.png"), pixels)
    with pytest.raises(media.MediaError) as error:
        beside(media.Frame("in/a.png", lambda: pixels), pixels)
    assert str(error.value) == "in/a.png: this drawn picture would be written over the input: choose another output folder"
    media.Writer("in/out", "in")(media.Frame("in/a.png", lambda: pixels), pixels)
    assert np.array_equal(media.read_picture(tmp_path / "in" / "out" / "in" / "a.png"), pixels)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(picture)
    with pytest.raises(media.MediaError, match="written over the input"):
        media.Writer("links", "links/a.png")(media.Frame("a.png", lambda: pixels), pixels)
    assert picture.read_bytes() == (tmp_path / "in" / "a.png").read_bytes() == b"mine"


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


def test_a_video_of_huge_frames_is_refused_by_its_header(tmp_path, monkeypatch):
    write = media.Writer(str(tmp_path), str(tmp_path / "in" / "clip.avi"))
    write(media.Frame("clip.avi", lambda: None, 0, 10.0), np.zeros((480, 640, 3), np.uint8))
    write.close()
    monkeypatch.setenv("PPFACE_PICTURE_MB", "2.5")
    with pytest.raises(media.MediaError, match=r"clip\.mp4: 640x480 pixels \(0 megapixels\) take 3 MB to decode, the limit is 2\.5 MB"):
        next(media.frames(str(tmp_path / "clip.mp4")))
    monkeypatch.setenv("PPFACE_PICTURE_MB", "3")
    assert next(media.frames(str(tmp_path / "clip.mp4"))).read().shape == (480, 640, 3)


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


def test_an_output_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(media.MediaError, match="file/out: cannot write there: Not a directory"):
        media.Writer(str(tmp_path / "file" / "out"), "0")
