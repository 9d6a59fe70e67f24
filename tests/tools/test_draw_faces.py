"""tools/draw_faces.py: pictures to try a detector on, and one line where it cannot draw them."""

import pytest


def test_pictures_are_drawn(tmp_path, run_tool):
    done = run_tool("tools/draw_faces.py", "--out", tmp_path / "pictures", "--count", 2, "--size", 64, 64)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "gone", "--count", "0"], 2, "draw_faces.py: error: SyntheticFaces: expected length of at least 1, received length=0"),
        (["--out", __file__], 1, f"error: {__file__}: File exists"),
    ],
)
def test_what_it_cannot_do_is_one_line(run_tool, arguments, code, message):
    done = run_tool("tools/draw_faces.py", *arguments)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (code, message)
    assert "Traceback" not in done.stderr
