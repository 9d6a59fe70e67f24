"""Official files: what is read and written, and one clear line for each that is broken."""

import numpy as np
import pytest
from scipy.io import savemat

from ppface.core.errors import DataError
from ppface.evaluators.wider_files import in_order, read_ground_truth, read_predictions, write_predictions

NAMES = [("0--Parade", "a_1"), ("0--Parade", "a_2"), ("1--Handshaking", "b_1")]


def test_ground_truth_is_read_in_order(official):
    truth = read_ground_truth(str(official.folder))
    assert truth.names == official.names
    assert [boxes.tolist() for boxes in truth.faces] == official.faces
    assert truth.counted["easy"].tolist() == [True, False, False, True, False]
    assert truth.counted["hard"].all()


def test_written_predictions_are_read_again(tmp_path, rng):
    predictions = {name: rng.random((count, 5)) * [900, 900, 90, 90, 1] for name, count in zip(NAMES, (4, 0, 1), strict=True)}
    write_predictions(tmp_path, predictions)
    text = (tmp_path / "0--Parade" / "a_1.txt").read_text().splitlines()
    assert text[:2] == ["0--Parade/a_1.jpg", "4"]
    again = read_predictions(tmp_path)
    assert sorted(again) == sorted(predictions)
    for name, rows in predictions.items():
        np.testing.assert_allclose(again[name], rows, atol=5.1e-4)
        np.testing.assert_allclose(again[name][:, 4], rows[:, 4], rtol=1e-8)


def test_pictures_without_predictions_are_empty_and_named_in_the_log(caplog):
    with caplog.at_level("WARNING"):
        found = in_order({NAMES[0]: np.zeros((2, 5)), (NAMES[2][0], "b_1.jpg"): np.zeros((0, 5))}, NAMES)
    assert [len(rows) for rows in found] == [2, 0, 0]
    assert caplog.messages == ["1 of 3 pictures have no prediction and count as empty: 0--Parade/a_2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a_1.jpg\n1\n1 2 3 4\n", ":3: expected 'x y w h score', five finite numbers, received '1 2 3 4'"),
        ("a_1.jpg\n2\n1 2 3 4 .5\n1 2 3 4 5 6\n", ":4: expected 'x y w h score', five finite numbers, received '1 2 3 4 5 6'"),
        ("a_1.jpg\n2\n1 2 3 4 .5\n1 2 x 4 5\n", ":4: expected 'x y w h score', five finite numbers, received '1 2 x 4 5'"),
        ("a_1.jpg\n2\n1 2 3 4 .5\n1 2 3 4 nan\n", ":4: expected 'x y w h score', five finite numbers, received '1 2 3 4 nan'"),
        ("a_1.jpg\n3\n1 2 3 4 .5\n", ":2: expected 3 predictions according to this line, received 1 lines"),
        ("a_1.jpg\n-1\n", ":2: expected the number of predictions, received '-1'"),
        ("", ":2: expected the number of predictions, received ''"),
    ],
)
def test_malformed_prediction_files_are_named_with_their_line(tmp_path, text, message):
    path = tmp_path / "0--Parade" / "a_1.txt"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_predictions(tmp_path)
    assert str(caught.value) == f"{path}{message}"


def test_prediction_folders_that_hold_none(tmp_path):
    with pytest.raises(DataError) as caught:
        read_predictions(tmp_path)
    assert str(caught.value) == f"{tmp_path}: expected prediction files like 0--Parade/0_Parade_Parade_0_102.txt"
    with pytest.raises(DataError) as caught:
        read_predictions(tmp_path / "no")
    assert str(caught.value) == f"{tmp_path / 'no'}: no such folder; expected predictions as event/picture.txt"


def test_predictions_under_wrong_keys():
    with pytest.raises(DataError) as caught:
        in_order({("0--Parade", "a_3"): np.zeros((0, 5))}, NAMES)
    assert str(caught.value) == "0--Parade/a_3: expected a picture of the ground truth; check the event and the name"
    with pytest.raises(DataError) as caught:
        in_order({"0--Parade/a_1": np.zeros((0, 5))}, NAMES)
    assert str(caught.value) == "'0--Parade/a_1': expected keys (event, image name), as ('0--Parade', '0_Parade_Parade_0_102')"


def test_ground_truth_that_is_missing_or_broken(official):
    ground_truth, by_event = official.folder, official.by_event

    def message():
        with pytest.raises(DataError) as caught:
            read_ground_truth(ground_truth)
        return str(caught.value)

    medium, hard, tools = ground_truth / "wider_medium_val.mat", ground_truth / "wider_hard_val.mat", "WIDER FACE's evaluation tools"
    savemat(hard, {"gt_list": by_event([np.array([[3]]), np.array([[1]]), np.array([[1]])])})
    assert message() == f"{hard}: 0--Parade/a_1 has 2 faces, expected their numbers from 1, received [3]"
    savemat(hard, {"gt_list": by_event([np.array([[1]])])})
    assert message() == f"{hard}: lists 1 pictures, expected the 3 of wider_face_val.mat"
    savemat(medium, {"other": 1})
    assert message() == f"{medium}: expected a variable 'gt_list' in it; take the file from {tools}"
    medium.write_bytes(b"no MATLAB file" * 100)
    assert message().startswith(f"{medium}: not a readable .mat file (")
    assert message().endswith(f"); take it from {tools} again")
    medium.unlink()
    assert message() == f"{medium}: no such file; expected it beside the other .mat files of {tools}"
    ground_truth.rename(ground_truth.with_name("moved"))
    expected = "expected WIDER FACE's ground_truth folder with wider_face_val.mat and wider_*_val.mat"
    assert message() == f"{ground_truth}: no such folder; {expected}"
