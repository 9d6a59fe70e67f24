"""The folder of checkpoints: what stays, what is found, what is refused, and the messages for each."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ppface.core.errors import NumericError, SaveError, WeightsError
from ppface.core.files import checkpoint_files, checkpoint_folder
from ppface.core.files.checkpoint_folder import CheckpointFolder

WEIGHTS, STATE = "weights.safetensors", "state.json"


def arrays(value: float = 1.0) -> dict:
    return {WEIGHTS: {"a": np.full((4, 3), value, "float32")}, "optimizer.safetensors": {"a/moment": np.full(5, value)}}


def save(folder: CheckpointFolder, step: int, best: bool = False, **more) -> Path:
    return folder.save(arrays(step), {"step": step, **more}, best)


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.folder.iterdir())


def flip(file: Path, place: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


@pytest.fixture
def folder(tmp_path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "run" / "checkpoints")


def test_what_was_saved_is_read_back_with_its_state(folder):
    state = {"step": 3, "rng": [2**127, "PCG64"], "metrics": {"ap": 0.5}, "best": None, "config": {"a": [1, {"b": "ü"}]}}
    path = folder.save(arrays(), state, best=True)
    assert path == folder.find("last") == folder.find("best") == folder.folder / "step_00000003"
    read, told = checkpoint_files.read(path)
    assert {key: told[key] for key in state} == state
    assert told["best_step"] == 3
    for file, content in arrays().items():
        for name, array in content.items():
            np.testing.assert_array_equal(read[file][name], array)
    assert json.loads((path / STATE).read_text()) == told  # any JSON reader can read it


def test_the_newest_and_the_best_stay(folder):
    for step in range(1, 8):
        save(folder, step, best=step == 2)
    assert names(folder) == ["step_00000002", "step_00000006", "step_00000007"]
    assert (folder.find("last").name, folder.find("best").name) == ("step_00000007", "step_00000002")
    assert CheckpointFolder(folder.folder).find("best").name == "step_00000002"
    save(CheckpointFolder(folder.folder, keep=1), 8)  # another process goes on
    assert names(folder) == ["step_00000002", "step_00000008"]


def test_steps_are_ordered_as_numbers(folder):
    for step in (99_999_999, 100_000_000):
        save(folder, step)
    assert folder.find("last").name == "step_100000000"


def test_without_a_best_one_the_last_is_the_best(folder, caplog):
    save(folder, 1)
    save(folder, 2)
    assert folder.find("best").name == "step_00000002"
    assert not caplog.messages


def test_a_second_save_of_a_step_never_replaces_the_first_before_it_is_there(folder):
    first = save(folder, 5, best=True)
    second = folder.save(arrays(50), {"step": 5}, best=False)
    assert (first.name, second.name, names(folder)) == ("step_00000005", "step_00000005_2", ["step_00000005_2"])
    assert checkpoint_files.read(folder.find("best"))[0][WEIGHTS]["a"][0, 0] == 50
    save(folder, 6)
    assert names(folder) == ["step_00000005_2", "step_00000006"]


def test_recorded_results_replace_the_state_in_one_step(folder, monkeypatch):
    save(folder, 1, best=True, metrics={})
    second = save(folder, 2, metrics={}, owes_evaluation=True)
    third = save(folder, 3)
    folder.record(second, {"metrics": {"ap": 0.5}, "owes_evaluation": False}, best=True)
    state = checkpoint_files.read(second)[1]
    assert (state["metrics"], state["owes_evaluation"], state["best_step"], state["step"]) == ({"ap": 0.5}, False, 2, 2)
    assert sorted(path.name for path in second.iterdir()) == ["optimizer.safetensors", STATE, WEIGHTS]
    assert third.is_dir()  # a newer checkpoint is left alone

    def full(file, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_files, "replace_text", full)
    with pytest.raises(SaveError, match="cannot write the results of the evaluation into this checkpoint: No space left"):
        folder.record(third, {"metrics": {"ap": 0.7}}, best=True)
    assert "metrics" not in checkpoint_files.read(folder.find("last"))[1]
    (second / WEIGHTS).unlink()
    with pytest.raises(SaveError, match=r"expected the files optimizer.safetensors, weights.safetensors, found optimizer"):
        folder.record(second, {}, best=False)


def test_broken_ones_do_not_count_among_those_that_stay(folder, caplog):
    for step in (1, 2, 3):
        save(folder, step)
    flip(folder.folder / "step_00000003" / WEIGHTS)
    resumed = CheckpointFolder(folder.folder)
    assert resumed.find("last").name == "step_00000002"
    save(resumed, 4)
    assert names(folder) == ["step_00000002", "step_00000003", "step_00000004"]  # two sound ones
    save(resumed, 5)
    assert names(folder) == ["step_00000004", "step_00000005"]


def test_the_best_is_that_of_the_newest_sound_state(folder):
    save(folder, 1, best=True)
    save(folder, 2, best=True)
    flip(folder.folder / "step_00000002" / STATE, 10)
    assert folder.find("best").name == "step_00000001"
    resumed = CheckpointFolder(folder.folder)
    save(resumed, 3)
    assert resumed.find("best").name == "step_00000001"


def test_a_save_never_removes_what_is_newer(folder):
    save(folder, 9)
    other = CheckpointFolder(folder.folder, keep=1)
    save(other, 3)
    save(other, 4)
    assert names(folder) == ["step_00000004", "step_00000009"]


DAMAGES = {
    "flipped": (lambda path: flip(path / WEIGHTS), f"{WEIGHTS}: expected content with the SHA-256 "),
    "cut": (lambda path: os.truncate(path / WEIGHTS, 50), f"{WEIGHTS}: expected content with the SHA-256 "),
    "missing": (
        lambda path: (path / WEIGHTS).unlink(),
        f"expected the files optimizer.safetensors, {WEIGHTS}, found optimizer.safetensors",
    ),
    "extra": (
        lambda path: (path / "ema.safetensors").write_bytes(b""),
        f"expected the files optimizer.safetensors, {WEIGHTS}, found ema.safetensors, optimizer.safetensors, {WEIGHTS}",
    ),
    "state": (
        lambda path: flip(path / STATE, 1),
        f"{STATE}: expected a text that matches the SHA-256 at its end: it was truncated or changed",
    ),
    "space": (
        lambda path: (path / STATE).write_bytes((path / STATE).read_bytes() + b"\n"),
        f"{STATE}: expected a text that matches the SHA-256 at its end: it was truncated or changed",
    ),
    "empty": (lambda path: (path / STATE).write_bytes(b""), f"{STATE}: expected a text that matches the SHA-256 at its end"),
    "gone": (lambda path: (path / STATE).unlink(), f"{STATE}: cannot read it: No such file or directory"),
    "folder": (lambda path: ((path / WEIGHTS).unlink(), (path / WEIGHTS).mkdir()), f"{WEIGHTS}: cannot read it: Is a directory"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("look", [checkpoint_files.read, checkpoint_files.verify])
def test_damage_is_named_and_the_newest_sound_one_is_taken(folder, caplog, damage, look):
    sound, broken = save(folder, 1), save(folder, 2)
    harm, message = DAMAGES[damage]
    harm(broken)
    with pytest.raises(WeightsError) as caught:
        look(broken)
    assert str(caught.value).startswith(f"{broken}: {message}" if message.startswith("expected the files") else f"{broken}/{message}")
    assert folder.find("last") == sound
    first, second = caplog.messages[-1].splitlines()
    assert first == f"BROKEN CHECKPOINT: falling back to the newest intact one, {sound}, because:"
    assert second == f"  {caught.value}"


def test_where_all_are_broken_each_is_reported(folder):
    for step in (1, 2):
        flip(save(folder, step) / WEIGHTS)
    with pytest.raises(WeightsError) as caught:
        folder.find("last")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{folder.folder}: expected an intact checkpoint, but all are broken:"
    assert [line.split(": expected")[0] for line in lines[1:]] == [f"  {folder.folder}/step_0000000{step}/{WEIGHTS}" for step in (2, 1)]


def test_a_checkpoint_under_another_name_is_noticed(folder, caplog):
    save(folder, 1)
    save(folder, 2).rename(folder.folder / "step_00000008")
    assert folder.find("last").name == "step_00000001"
    assert "step_00000008: expected the checkpoint of the step in its name, received that of step 2" in caplog.messages[0]


def test_a_best_one_that_is_gone_is_reported(folder, caplog):
    best = save(folder, 1, best=True)
    save(folder, 2)
    for file in [*best.iterdir()]:
        file.unlink()
    best.rmdir()
    assert folder.find("best").name == "step_00000002"
    assert "step_00000001/state.json: cannot read it: No such file or directory" in caplog.messages[0]


@pytest.mark.parametrize("state", [[], {}, {"sha256": []}, {"sha256": {"a": 1}}, {"sha256": {"../a.safetensors": "0"}}, "[" * 100_000])
def test_a_state_that_fits_its_digest_but_was_never_saved_is_refused(tmp_path, state):
    text = (state if isinstance(state, str) else json.dumps({"x": state} if isinstance(state, list) else state)).encode()
    text = text.rstrip(b"}")
    (tmp_path / STATE).write_bytes(text + checkpoint_files._seal(text))
    with pytest.raises(
        WeightsError,
        match=r"expected (the unchanged state of a checkpoint|a mapping of file names to texts, received |the files .*, found none)",
    ):
        checkpoint_files.read(tmp_path)


WHOLE, MAPPING = "a whole number of at least 0", "a mapping"
WINDOW = "null or a mapping of steps, a whole number, and sums, a mapping of names to numbers"
SELECTED = "null or a mapping of epoch, a whole number, and order, whole numbers"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("step", "1", WHOLE), ("step", True, WHOLE), ("step", -1, WHOLE), ("step", 1.0, WHOLE), ("ema_updates", None, WHOLE),
        ("ema_updates", [], WHOLE), ("best_step", "1", f"{WHOLE} or null"), ("best", "0.5", "a number or null"),
        ("best", {}, "a number or null"), ("owes_evaluation", 1, "true or false"), ("config", [], MAPPING), ("config", None, MAPPING),
        ("log_window", [], WINDOW), ("log_window", {"steps": 1}, WINDOW), ("log_window", {"steps": 1, "sums": []}, WINDOW),
        ("log_window", {"steps": "1", "sums": {}}, WINDOW), ("log_window", {"steps": 1, "sums": {"a": "1"}}, WINDOW),
        ("selected", [1], SELECTED), ("selected", {"epoch": 1, "order": [-1]}, SELECTED), ("selected", {"epoch": 1}, SELECTED),
        ("scaler", [1], "a mapping of names to numbers"), ("scaler", {"scale": []}, "a mapping of names to numbers"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_named_and_the_newest_sound_one_is_taken(folder, caplog, key, value, expected):
    """The digests fit: another program made this state."""
    sound = save(folder, 1)
    path = folder.folder / "step_00000002"
    checkpoint_files.write(path, {}, {"step": 2, "best_step": None} | {key: value})
    told = f"{path}/state.json: {key}: expected {expected}, received {value!r}; ppface did not write this state: use another checkpoint"
    with pytest.raises(WeightsError) as caught:
        checkpoint_files.read(path)
    assert str(caught.value) == told
    for which in ("last", "best"):
        assert folder.find(which) == sound
        assert told in caplog.messages[-1]


def test_digests_that_are_no_texts_are_named(tmp_path):
    (tmp_path / WEIGHTS).write_bytes(b"")
    (tmp_path / STATE).write_bytes(checkpoint_files._sealed({"sha256": {WEIGHTS: 1}}))
    with pytest.raises(
        WeightsError, match=r"sha256: expected a mapping of file names to texts, received {'weights.safetensors': 1}; ppface did not"
    ):
        checkpoint_files.verify(tmp_path)


def test_no_checkpoint_is_one_line(tmp_path):
    (tmp_path / ".step_00000001.saving").mkdir()
    (tmp_path / "step_00000001").write_text("a file")
    with pytest.raises(WeightsError) as caught:
        CheckpointFolder(tmp_path).find("last")
    assert str(caught.value) == f"{tmp_path}: expected a run with at least one checkpoint, found none"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_never_saved(folder, value):
    save(folder, 1)
    bad = arrays()
    bad["optimizer.safetensors"]["a/moment"][1:3] = value
    bad["optimizer.safetensors"]["b"] = np.array(value, "float16")
    with pytest.raises(NumericError) as caught:
        folder.save(bad, {"step": 2}, best=False)
    told = "optimizer.safetensors: a/moment: 2 of 5 values are not finite (and 1 more arrays)"
    assert str(caught.value) == f"{folder.folder}/step_00000002: not saved: {told}; earlier checkpoints are untouched"
    assert names(folder) == ["step_00000001"]


def test_leftovers_of_killed_saves_and_removals_go_with_the_next_save(folder):
    save(folder, 1)
    for name in (".step_00000002.saving", ".step_00000000.removing"):
        (folder.folder / name).mkdir()
        (folder.folder / name / STATE).write_text("half")
    (folder.folder / ".step_00000007.removing").symlink_to(folder.folder / "step_00000001")
    (folder.folder / ".mine").write_text("a stranger's file")
    save(folder, 2)
    assert names(folder) == [".mine", "step_00000001", "step_00000002"]


def test_no_room_is_reported_before_anything_is_written(folder, monkeypatch):
    save(folder, 1)
    monkeypatch.setattr(checkpoint_folder, "MARGIN", 10**15)
    with pytest.raises(
        SaveError, match=r"cannot save this checkpoint: needs 1000000000\.\d MB, but \d+\.\d MB are free on its disk; earlier "
    ) as caught:
        save(folder, 2)
    assert caught.value.exit_code == 6
    assert names(folder) == ["step_00000001"]


def test_a_limit_met_in_the_middle_of_a_save_leaves_the_earlier_one(folder):
    """A real limit: files of this process may not grow beyond a few bytes more than the first file needs."""
    save(folder, 1)
    script = (
        "import resource, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import test_checkpoint_folder as t\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))\n"
        "t.save(t.CheckpointFolder(Path(sys.argv[1])), 2)"
    )
    done = subprocess.run([sys.executable, "-c", script, folder.folder, Path(__file__).parent], capture_output=True, text=True)
    told = f"SaveError: {folder.folder}/step_00000002: cannot save this checkpoint: File too large; earlier checkpoints are untouched"
    assert done.stderr.strip().splitlines()[-1].endswith(told)
    assert names(folder) == ["step_00000001"]
    assert folder.find("last").name == "step_00000001"


def test_a_state_that_is_not_plain_leaves_nothing(folder):
    with pytest.raises(TypeError):
        save(folder, 1, rng=np.zeros(3))
    assert not folder.folder.exists()


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="file/step_00000001: cannot save this checkpoint: File exists; earlier checkpoints are untouched"):
        save(CheckpointFolder(tmp_path / "file"), 1)
    with pytest.raises(SaveError, match="Not a directory"):
        save(CheckpointFolder(tmp_path / "file" / "below"), 1)


def test_a_folder_that_takes_no_files_is_one_line():
    with pytest.raises(SaveError, match="/proc/step_00000001: cannot save this checkpoint: "):
        save(CheckpointFolder(Path("/proc")), 1)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc, whose folders cannot be synced")
def test_a_file_system_whose_folders_cannot_be_synced_is_enough():
    handle = os.open("/proc", os.O_RDONLY)
    with pytest.raises(OSError, match="Invalid argument"):
        os.fsync(handle)
    os.close(handle)
    checkpoint_files.sync_folder(Path("/proc"))


def test_a_link_to_a_folder_is_as_good_as_the_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "disk")
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=1)
    for step in (1, 2):
        save(folder, step)
    (tmp_path / "disk" / "step_00000000").symlink_to(tmp_path / "disk" / "step_00000002")  # even a checkpoint may be one
    save(folder, 3)
    assert names(folder) == ["step_00000003"]
    assert folder.find("last") == tmp_path / "checkpoints" / "step_00000003"


def test_two_runs_that_save_into_one_folder_take_turns(folder):
    def run(value: int) -> None:
        one = CheckpointFolder(folder.folder, keep=3)
        for step in range(1, 21):
            one.save(arrays(value), {"step": step, "run": value}, best=False)

    threads = [threading.Thread(target=run, args=(value,)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(name.startswith(".") for name in names(folder))
    for path in folder.folder.iterdir():
        read, state = checkpoint_files.read(path)
        assert read[WEIGHTS]["a"][0, 0] == state["run"]
    assert folder.find("last").name.startswith("step_00000020")


def test_a_reader_beside_a_run_that_saves_always_finds_a_whole_checkpoint(folder, caplog):
    save(folder, 0)
    writer = threading.Thread(target=lambda: [save(CheckpointFolder(folder.folder, keep=1), step) for step in range(1, 60)])
    writer.start()
    seen = [0]
    while writer.is_alive():
        read, state = CheckpointFolder(folder.folder).read_intact("last", checkpoint_files.read)
        assert read[WEIGHTS]["a"][0, 0] == state["step"] >= seen[-1]
        seen.append(state["step"])
    writer.join()
    assert len(set(seen)) > 1
    assert not caplog.messages  # what was removed meanwhile is not broken


def test_a_save_that_another_process_keeps_waiting_gives_up(folder):
    save(folder, 1)
    impatient = CheckpointFolder(folder.folder, lock_timeout=0.1)
    with (
        checkpoint_folder._locked(folder.folder, 1.0),
        pytest.raises(SaveError, match="another process has been saving here for 0 s; is this run started twice"),
    ):
        save(impatient, 2)
    save(impatient, 2)


def test_weights_are_those_of_the_running_average_and_verified_alone(folder):
    path = folder.save(arrays() | {"ema.safetensors": {"a": np.zeros(2)}}, {"step": 1}, best=True)
    flip(path / WEIGHTS)  # not what is used
    average = path / "ema.safetensors"
    for found in (checkpoint_files.read_weights(path), checkpoint_files.read_weight_file(average)):
        assert (found.file, found.content, found.state["step"]) == (average, average.read_bytes(), 1)
        assert found.sha256() == hashlib.sha256(average.read_bytes()).hexdigest() == found.state["sha256"]["ema.safetensors"]
    assert checkpoint_files.read_weights(path).file == average
    with pytest.raises(WeightsError, match=r"weights.safetensors: expected content with the SHA-256"):
        checkpoint_files.read_weight_file(path / WEIGHTS)
    flip(path / "ema.safetensors")
    with pytest.raises(WeightsError, match=r"ema.safetensors: expected content with the SHA-256"):
        checkpoint_files.read_weights(path)
    only = folder.save({"optimizer.safetensors": {}}, {"step": 2}, best=False)
    with pytest.raises(WeightsError, match="in this checkpoint, found optimizer"):
        checkpoint_files.read_weights(only)
