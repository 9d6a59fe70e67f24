"""The library face: what can be loaded, what a picture may be, and in whose pixels the faces come back."""

import hashlib
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import ppface
from ppface.core.errors import DataError, WeightsError
from ppface.core.files.checkpoint_folder import CheckpointFolder
from ppface.ops.resize import TestSize
from ppface.predict import Face, FaceDetector, live_model
from ppface.predict.live_model import find_weights

WEIGHTS = "weights.safetensors"
ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "quickstart" / "detection.yml"


class Fixed:
    """A detector that always finds the same two faces, and remembers what it was shown."""

    def __init__(self, mode="stretch", size=(64, 32), max_side=0, landmarks=False):
        self.test_size, self.landmarks, self.seen = TestSize(mode, size, max_side), landmarks, []
        self.boxes = np.array([[8, 16, 16, 32], [-4, 0, 40, 64]], "float32")

    def __call__(self, batch):
        self.seen.append(batch["image"])
        answer = {
            "boxes": self.boxes,
            "scores": np.array([0.5, 0.9], "float32"),
            "count": np.array([2]),
        }
        if self.landmarks:
            answer["landmarks"] = np.full((2, 5, 2), 16, "float32")
        return answer


def test_faces_come_back_best_first_in_pixels_of_the_original():
    detector = Fixed(landmarks=True)
    faces = FaceDetector(detector)(np.zeros((128, 96, 3), "uint8"))
    assert detector.seen[0].shape == (1, 3, 64, 32)
    assert detector.seen[0].dtype == np.uint8
    assert [face.score for face in faces] == pytest.approx([0.9, 0.5])
    assert faces[1].box == (24.0, 32.0, 48.0, 64.0)
    assert faces[0].box == (0.0, 0.0, 96.0, 128.0)  # clipped to the picture
    np.testing.assert_array_equal(faces[1].landmarks, np.tile([48.0, 32.0], (5, 1)))
    assert isinstance(faces[0], Face)
    with pytest.raises(AttributeError):
        faces[0].score = 1.0


def test_a_box_wholly_outside_the_picture_is_no_face():
    detector = Fixed()
    detector.boxes = np.array([[-20, -20, -5, -5], [8, 16, 16, 32]], "float32")
    faces = FaceDetector(detector)(np.zeros((64, 32, 3), "uint8"))
    assert [face.box for face in faces] == [(8.0, 16.0, 16.0, 32.0)]


def test_size_follows_the_policy_or_is_native_or_is_given():
    detector = Fixed("long_side", (50, 50))
    find, image = FaceDetector(detector), np.zeros((100, 60, 3), "uint8")
    find(image)
    find(image, size="native")
    find(image, size=(20, 30))
    assert [seen.shape[2:] for seen in detector.seen] == [(50, 30), (100, 60), (20, 30)]


def test_colours_stay_rgb_from_array_and_file(tmp_path):
    image = np.zeros((64, 32, 3), "uint8")
    image[..., 0] = 250
    cv2.imwrite(str(tmp_path / "red.png"), image[:, :, ::-1])
    detector = Fixed()
    FaceDetector(detector)(image)
    FaceDetector(detector)(tmp_path / "red.png")
    np.testing.assert_array_equal(detector.seen[0], detector.seen[1])
    assert detector.seen[0][0, :, 0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        (np.zeros((4, 4), "uint8"), None, "array: expected HxWx3 uint8 RGB pixels, received shape (4, 4) of uint8"),
        (np.zeros((4, 4, 3)), None, "array: expected HxWx3 uint8 RGB pixels, received shape (4, 4, 3) of float64"),
        (
            None,
            None,
            "array: expected HxWx3 uint8 RGB pixels, a NumPy array, received NoneType: "
            "cv2.imread returns None for a file that is missing or no picture",
        ),
        ([[[0, 0, 0]]], None, "array: expected HxWx3 uint8 RGB pixels, a NumPy array, received list"),
        (b"a.jpg", None, "array: expected HxWx3 uint8 RGB pixels, a NumPy array, received bytes"),
        ("gone.jpg", None, "gone.jpg: no such picture file"),
        (np.zeros((4, 4, 3), "uint8"), 5, "size: expected None, 'native' or (height, width), received 5"),
        (np.zeros((4, 4, 3), "uint8"), (0, 5), "size: expected None, 'native' or (height, width), received (0, 5)"),
    ],
)
def test_what_is_no_picture_is_named(image, size, message):
    with pytest.raises(DataError) as caught:
        FaceDetector(Fixed())(image, size)
    assert str(caught.value) == message


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    paddle.seed(1)
    model = ppface.build_model(ppface.load_config(CONFIG))
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file({name: value.numpy() for name, value in model.state_dict().items()}, path)
    return path


def test_a_config_with_weights_a_checkpoint_and_a_run_give_the_same_faces(tmp_path, weights, rng):
    image = rng.integers(0, 256, (90, 120, 3)).astype("uint8")
    expected = ppface.predict.load(CONFIG, weights)(image)
    run = tmp_path / "run"
    CheckpointFolder(run / "checkpoints").save({"weights.safetensors": load_file(weights)}, {"step": 1}, best=False)
    (run / "config.yml").write_text(yaml.safe_dump(ppface.load_config(CONFIG).plain()))
    checked = ppface.load_config(CONFIG)
    with_weights = ppface.load_config(checked, [f"weights={weights}"])
    sources = [(run, None), (CONFIG, run), (CONFIG, run / "checkpoints" / "step_00000001"), (checked, weights), (with_weights, None)]
    for source, given in sources:
        found = ppface.predict.load(source, given)(image)
        assert [face.box for face in found] == [face.box for face in expected]


def test_the_best_checkpoint_and_its_running_average_come_first(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    first = folder.save({"weights.safetensors": {}}, {"step": 1}, best=True)
    second = folder.save({"weights.safetensors": {}, "ema.safetensors": {}}, {"step": 2}, best=False)
    assert find_weights(tmp_path).file == first / "weights.safetensors"
    assert find_weights(second).file == second / "ema.safetensors"
    folder.save({"weights.safetensors": {}, "ema.safetensors": {}}, {"step": 2}, best=True)
    assert find_weights(tmp_path).file == folder.folder / "step_00000002_2" / "ema.safetensors"


def test_a_config_file_and_a_checked_config_build_the_same_model():
    shapes = [
        {name: value.shape for name, value in ppface.build_model(config).state_dict().items()}
        for config in (CONFIG, ppface.load_config(CONFIG))
    ]
    assert shapes[0] == shapes[1]


def test_a_checked_config_without_weights_is_named():
    with pytest.raises(WeightsError) as caught:
        ppface.predict.load(ppface.load_config(CONFIG))
    assert str(caught.value) == f"{CONFIG}: expected weights for this config: give a weight file or the folder of a run"


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"expected the folder of a run \(config.yml\) or of an export \(inference.yml\)"):
        ppface.predict.load(tmp_path)
    with pytest.raises(WeightsError, match=r"detection.yml: expected weights for this config: give a weight file or the folder of a run"):
        ppface.predict.load(CONFIG)
    with pytest.raises(WeightsError, match=r"expected a weight file, a checkpoint \(with its state.json\) or a run with a checkpoint"):
        ppface.predict.load(CONFIG, tmp_path)
    with pytest.raises(WeightsError, match=r"gone.safetensors: expected a weight file"):
        ppface.predict.load(CONFIG, tmp_path / "gone.safetensors")


def test_broken_weights_are_never_used(tmp_path, caplog):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    best, last = (folder.save({"weights.safetensors": {"a": np.ones(2)}}, {"step": step}, best=step == 1) for step in (1, 2))
    for path, left in ((best, last), (last, None)):
        file = path / "weights.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        message = rf"{file}: expected content with the SHA-256 \w+\.\.\., received \w+\.\.\.: it was truncated, changed or replaced"
        for named in (file, path):
            with pytest.raises(WeightsError, match=message):
                find_weights(named)
        if left:
            assert find_weights(tmp_path).file == left / "weights.safetensors"
            assert f"falling back to the newest intact one, {left}, because:\n  {file}: expected content" in caplog.messages[-1]
    with pytest.raises(WeightsError, match="expected an intact checkpoint, but all are broken:\n"):
        find_weights(tmp_path)


def run_of(folder: Path, weights: Path, **state) -> Path:
    """A run with one checkpoint, which records its config; there is no config.yml."""
    config = ppface.load_config(CONFIG).plain()
    CheckpointFolder(folder / "checkpoints").save({"weights.safetensors": load_file(weights)}, {"step": 1, "config": config} | state, True)
    return folder


def same_weights(model, weights: Path) -> bool:
    return all(np.array_equal(model.state_dict()[name].numpy(), array) for name, array in load_file(weights).items())


@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_what_is_loaded_are_the_bytes_that_were_compared(tmp_path, weights, monkeypatch, harm):
    """A training with keep=1 removes what a reader has just compared; a disk may change it."""
    run, plain = run_of(tmp_path / "run", weights), live_model.find_weights
    (run / "config.yml").write_text(f"_BASE_: {CONFIG}\n")

    def find(path):
        found = plain(path)
        shutil.rmtree(found.file.parent) if harm == "removed" else found.file.write_bytes(b"odd")
        return found

    monkeypatch.setattr(live_model, "find_weights", find)
    loaded = ppface.predict.open_model(run)
    assert same_weights(loaded.model, weights)
    assert loaded.weights.sha256() == hashlib.sha256(loaded.weights.content).hexdigest() == loaded.weights.state["sha256"][WEIGHTS]


def test_a_reader_beside_a_run_that_keeps_one_checkpoint_loads_a_whole_one(tmp_path, caplog):
    toy, folder = paddle.nn.Linear(8, 8), CheckpointFolder(tmp_path / "checkpoints", keep=1)
    arrays = {name: value.numpy() for name, value in toy.state_dict().items()}

    def save(step: int) -> None:
        folder.save({WEIGHTS: {name: np.full_like(array, step) for name, array in arrays.items()}}, {"step": step}, best=True)

    save(0)
    writer = threading.Thread(target=lambda: [save(step) for step in range(1, 80)])
    writer.start()
    seen = [0]
    while writer.is_alive():
        found = ppface.predict.load_into(toy, tmp_path)
        assert {float(value) for array in toy.state_dict().values() for value in array.numpy().ravel()} == {found.state["step"]}
        seen.append(found.state["step"])
    writer.join()
    assert len(set(seen)) > 1 and seen == sorted(seen)
    assert not caplog.messages


def test_messages_name_the_checkpoints_file(tmp_path, weights):
    file = run_of(tmp_path / "run", weights) / "checkpoints" / "step_00000001" / WEIGHTS
    with pytest.raises(WeightsError, match=rf"^{file}: these are weights of another network: "):
        ppface.predict.load_into(paddle.nn.Linear(2, 2), tmp_path / "run")


def test_a_run_without_its_config_and_a_checkpoint_load_by_what_is_recorded(tmp_path, weights, caplog):
    run = run_of(tmp_path / "run", weights)
    step = run / "checkpoints" / "step_00000001"
    assert same_weights(ppface.predict.load_model(step), weights)
    assert not caplog.messages
    assert same_weights(ppface.predict.load_model(run), weights)
    assert caplog.messages == [f"{run}/config.yml is missing; using the config stored in {step}"]


def test_the_identity_is_that_of_config_weights_and_names(tmp_path, weights, trial):
    rules = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for number, file in enumerate(rules):
        file.write_text(f"names: [['^none{number}', '']]\n")
    save_file({name: array + 1 for name, array in load_file(weights).items()}, tmp_path / "other.safetensors")
    given = [
        {}, {"names": rules[0]}, {"names": rules[1]}, {"overrides": ["model.input.mean=[1, 2, 3]"]},
        {"weights": tmp_path / "other.safetensors"},
    ]  # fmt: skip
    found = [ppface.predict.open_predictor(CONFIG, **({"weights": weights} | more))[1].identity() for more in given]
    found += [ppface.predict.open_predictor(trial.export, threads=1)[1].identity()]
    assert len(set(found)) == len(given) + 1
    for same in (weights, run_of(tmp_path, weights)):  # a checkpoint's file has the same bytes
        again = ppface.predict.open_predictor(CONFIG, same, overrides=["seed=5", "device=cpu"])[1]
        assert again.identity() == found[0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sha256", ["a"], "sha256: expected a dict, received ['a']"),
        ("outputs", 3, "outputs: expected a list, received 3"),
        ("outputs", [1], "outputs: expected names, received [1]"),
        ("input", "a", "input: expected a dict, received 'a'"),
        ("size", "ab", "size: expected a list, received 'ab'"),
        ("size", ["a", 1], "input.test: expected height, width and max_side, whole numbers of pixels, received ['a', 1, 0]"),
        ("coarser", 2.0, "TestSize: expected coarser above 0 and below 1 (0: no second run), received 2.0"),
        ("size", [5], "input.test: expected height, width and max_side, whole numbers of pixels, received [5, 0]"),
        ("max_side", "1", "input.test: expected height, width and max_side, whole numbers of pixels, received [160, 160, '1']"),
    ],
)
def test_an_export_described_by_other_types_is_named(tmp_path, trial, key, value, message):
    shutil.copytree(trial.export, tmp_path / "export")
    file = tmp_path / "export" / "inference.yml"
    about = yaml.safe_load(file.read_text())
    (about if key in about else about["input"]["test"])[key] = value
    file.write_text(yaml.safe_dump(about))
    with pytest.raises(WeightsError) as caught:
        ppface.predict.load(file.parent)
    assert str(caught.value) == f"{file}: not a valid export description ({message}); export or copy it again"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.pdiparams", None, "model.pdiparams: not the file that inference.yml describes: truncated or replaced"),
        ("model.json", None, "model.json: not the file that inference.yml describes: truncated or replaced"),
        ("inference.yml", "a: [", "inference.yml: not a valid export description"),
        ("inference.yml", "a: 1", "inference.yml: not a valid export description"),
    ],
)
def test_a_damaged_export_is_named(tmp_path, trial, file, content, message):
    folder = tmp_path / "export"
    shutil.copytree(trial.export, folder)
    damaged = (folder / file).read_bytes()[:2000] if content is None else content.encode()
    (folder / file).write_bytes(damaged)
    with pytest.raises(WeightsError, match=message):
        ppface.predict.load(folder)
