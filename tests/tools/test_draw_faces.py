"""tools/draw_faces.py: pictures to try a detector on, and one line where it cannot draw them."""

import pytest


def test_pictures_are_drawn(tmp_path, run_tool):
    done = run_tool("tools/draw_faces.py", "--out", tmp_path / "pictures", "--count", 2, "--size", 64, 64)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 2


def test_portraits_are_drawn_a_folder_a_person(tmp_path, run_tool):
    from ppface.data import IdentityFolder

    done = run_tool("tools/draw_faces.py", "--out", tmp_path / "people", "--people", 3, "--count", 2, "--size", 64, 48)
    assert done.returncode == 0, done.stderr
    drawn = IdentityFolder(str(tmp_path / "people"), size=(64, 48))
    assert drawn.class_names == ["0000", "0001", "0002"]
    assert drawn.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert drawn[0]["picture"].decode().shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "gone", "--count", "0"], 2, "draw_faces.py: error: SyntheticFaces: expected length of at least 1, received length=0"),
        (
            ["--out", "gone", "--people", "0"],
            2,
            "draw_faces.py: error: SyntheticIdentities: expected identities and images of at least 1, received 0 and 12",
        ),
        (["--out", __file__], 1, f"error: {__file__}: File exists"),
    ],
)
def test_what_it_cannot_do_is_one_line(run_tool, arguments, code, message):
    done = run_tool("tools/draw_faces.py", *arguments)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (code, message)
    assert "Traceback" not in done.stderr
