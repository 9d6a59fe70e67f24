"""The C++ program: the boxes of deploy/python for the same pictures, and one clear line for every mistake."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import detector
import embedder
import numpy as np
import pytest
import yaml
from PIL import Image

openvino = pytest.importorskip("openvino", reason="needs the extra openvino")
onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
SOURCES = Path(__file__).resolve().parents[2] / "deploy" / "cpp"
SIZES = [(97, 131), (240, 61), (60, 300)]
POLICIES = {
    "native": {"mode": "native", "size": None, "max_side": 210},
    "stretch": {"mode": "stretch", "size": [128, 160], "max_side": 0},
    "letterbox": {"mode": "letterbox", "size": [160, 128], "max_side": 0},
    "short_side": {"mode": "short_side", "size": [90, 90], "max_side": 200},
    "coarser": {"mode": "long_side", "size": [160, 160], "max_side": 0, "coarser": 0.5, "large": 70.0},
}


def scene(seed: int, height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 6 + 1, width // 6 + 1, 3))
    return np.kron(coarse, np.ones((6, 6, 1))).astype("uint8")[:height, :width]


@pytest.fixture(scope="module")
def program(pytestconfig, tmp_path_factory) -> Path:
    """The program, built in the folder of pytest's cache, so that only changed sources are compiled again."""
    for name in ("cmake", "c++"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    cache = getattr(pytestconfig, "cache", None)
    build = Path(cache.mkdir("cpp")) if cache else tmp_path_factory.mktemp("cpp")
    package = Path(openvino.__file__).parent / "cmake"
    options = [f"-DOpenVINO_DIR={package}", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS=-g0 -Werror"]
    unity = ["-DCMAKE_UNITY_BUILD=ON", "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0"]  # the headers of OpenCV and OpenVINO are read once
    with (build / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the same test run may build it
        made = subprocess.run(["cmake", "-S", SOURCES, "-B", build, *options, *unity], capture_output=True, text=True)
        if missing := [line.strip() for line in made.stderr.splitlines() if "was not found" in line]:
            pytest.skip(missing[0])
        assert made.returncode == 0, made.stderr
        made = subprocess.run(["cmake", "--build", build], capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
    return build / "ppface_detect"


@pytest.fixture(scope="module")
def run(program):
    """(arguments) -> the finished process, on one thread."""

    def call(*arguments, threads: bool = True) -> subprocess.CompletedProcess:
        command = [program, *map(str, arguments), *(["--threads", "1"] if threads else [])]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)

    return call


def save(folder: Path, nodes: list[tuple], outputs: dict[str, int], constants: dict, sides: list) -> None:
    """Writes model.onnx and inference.yml of a graph of (operator, inputs, output, attributes)."""
    kinds = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    made = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, names.split(), [output], **attributes) for kind, names, output, attributes in nodes],
        "model",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["pictures", 3, *sides])],
        [onnx.helper.make_tensor_value_info(name, kinds[name != "count"], [None] * rank) for name, rank in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    folder.mkdir(exist_ok=True)
    onnx.save(onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    describe(folder, list(outputs), {"mode": "stretch", "size": [16, 16], "max_side": 0})


def describe(folder: Path, outputs: list[str], policy: dict) -> None:
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("model.*")}
    about = {"format": 1, "input": {"name": "image", "test": policy}, "outputs": outputs, "sha256": digests}
    (folder / "inference.yml").write_text(yaml.safe_dump(about, default_flow_style=None))


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> Path:
    """A detector as onnx and openvino: faces are cells of 16x16 pixels with much red; green and blue are the width and height."""
    folder = tmp_path_factory.mktemp("exports")
    nodes = [
        ("Cast", "image", "pixels", {"to": onnx.TensorProto.FLOAT}),
        ("AveragePool", "pixels", "pooled", {"kernel_shape": [16, 16], "strides": [16, 16]}),
        ("Transpose", "pooled", "turned", {"perm": [0, 2, 3, 1]}),
        ("Squeeze", "turned zero", "cells", {}),
        ("Gather", "cells first", "red", {"axis": 2}),
        ("Sub", "red grey", "above", {}),
        ("Div", "above softness", "logits", {}),
        ("Sigmoid", "logits", "all", {}),
        ("Greater", "all least", "is_face", {}),
        ("NonZero", "is_face", "rows_", {}),
        ("Transpose", "rows_", "rows", {}),
        ("GatherND", "all rows", "scores", {}),
        ("Shape", "scores", "count", {}),
        ("GatherND", "cells rows", "colours", {}),
        ("Gather", "colours sides", "bright", {"axis": 1}),
        ("Mul", "bright quarter", "half", {}),
        ("Gather", "rows xy", "places", {"axis": 1}),
        ("Cast", "places", "corners", {"to": onnx.TensorProto.FLOAT}),
        ("Mul", "corners stride", "centres", {}),
        ("Sub", "centres half", "low", {}),
        ("Add", "centres half", "high", {}),
        ("Concat", "low high", "boxes", {"axis": 1}),
        ("Unsqueeze", "half one", "spread", {}),
        ("Mul", "spread five", "offsets", {}),
        ("Unsqueeze", "centres one", "middles", {}),
        ("Add", "middles offsets", "landmarks", {}),
    ]
    five = np.array([[[-0.4, -0.4], [0.4, -0.4], [0, 0], [-0.3, 0.4], [0.3, 0.4]]], "float32")
    numbers = {"grey": 128, "softness": 32, "least": 0.1, "quarter": 0.25, "stride": 16}
    indices = {"first": 0, "zero": [0], "one": [1], "sides": [1, 2], "xy": [1, 0]}
    constants = {name: np.float32(value) for name, value in numbers.items()} | {name: np.array(value) for name, value in indices.items()}
    outputs = {"boxes": 2, "count": 1, "landmarks": 3, "scores": 1}
    save(folder / "onnx", nodes, outputs, constants | {"five": five}, ["height", "width"])
    (folder / "openvino").mkdir()
    openvino.save_model(openvino.convert_model(folder / "onnx" / "model.onnx"), folder / "openvino" / "model.xml", compress_to_fp16=False)
    describe(folder / "openvino", list(outputs), {"mode": "native", "size": None, "max_side": 0})
    return folder


@pytest.fixture(scope="module")
def embedder_export(tmp_path_factory) -> Path:
    """Embeds faces of 16x16 pixels: six random projections."""
    folder = tmp_path_factory.mktemp("embedder")
    nodes = [
        ("Cast", "image", "pixels", {"to": onnx.TensorProto.FLOAT}),
        ("Flatten", "pixels", "flat", {}),
        ("MatMul", "flat weights", "embedding", {}),
    ]
    save(folder, nodes, {"embedding": 2}, {"weights": np.random.default_rng(0).normal(size=(768, 6)).astype("float32")}, [16, 16])
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    files = [folder / f"{height}x{width}.png" for height, width in SIZES]
    for seed, (file, size) in enumerate(zip(files, SIZES, strict=True)):
        Image.fromarray(scene(seed, *size)).save(file)
    return files


def with_policy(source: Path, folder: Path, policy: dict) -> Path:
    shutil.copytree(source, folder)
    about = yaml.safe_load((folder / "inference.yml").read_text())
    about["input"]["test"] = policy
    (folder / "inference.yml").write_text(yaml.safe_dump(about, default_flow_style=None))
    return folder


@pytest.mark.parametrize(("name", "format_"), [*((name, "openvino") for name in POLICIES), ("coarser", "onnx")])
def test_faces_are_those_of_the_python_program(run, exports, pictures, tmp_path, name, format_):
    folder = with_policy(exports / format_, tmp_path / "export", POLICIES[name])
    done = run("--model", folder, "--input", *pictures, "--json", tmp_path / "new" / "faces.json", "--threshold", "0.2")
    assert (done.returncode, done.stderr) == (0, "")
    find = detector.FaceDetector(folder, threads=1, runtime={"onnx": "onnxruntime"}.get(format_, format_))
    records = json.loads((tmp_path / "new" / "faces.json").read_text())
    lines = iter(done.stdout.splitlines())
    for seed, (record, size) in enumerate(zip(records, SIZES, strict=True)):
        want = [face for face in find(scene(seed, *size)) if face.score >= 0.2]
        found = record.pop("faces")
        assert len(found) == len(want) > 0
        assert record == {"image": pictures[seed].name, "size": list(size)}
        np.testing.assert_allclose([face["box"] for face in found], [face.box for face in want], atol=0.02)
        np.testing.assert_allclose([face["landmarks"] for face in found], [face.landmarks for face in want], atol=0.02)
        np.testing.assert_allclose([face["score"] for face in found], [face.score for face in want], atol=1e-4)
        assert next(lines) == f"{pictures[seed].name}: {len(want)} face{'s' * (len(want) != 1)}"
        for face in found:
            box, points = (" ".join(f"{value:.2f}" for value in face["box"])), (" ".join(f"{x:.2f},{y:.2f}" for x, y in face["landmarks"]))
            assert next(lines) == f"  box {box}  score {face['score']:.5f}  landmarks {points}"


def test_pictures_that_cannot_be_used_are_skipped(run, exports, pictures, tmp_path):
    upright = scene(5, 120, 90)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the pixels are stored turned to the left
    Image.fromarray(np.rot90(upright)).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    data = (tmp_path / "turned.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-200])
    (tmp_path / "cut.png").write_bytes(pictures[0].read_bytes()[:-20])
    (tmp_path / "words.jpg").write_text("words")
    (tmp_path / "empty.jpg").touch()
    other = b'\xff "\\\xe2\x82\xac\n.png'  # not UTF-8: kept in JSON as Python keeps such names
    (tmp_path / os.fsdecode(other)).write_bytes(pictures[0].read_bytes())
    names = ["gone.jpg", "cut.jpg", "cut.png", "words.jpg", "empty.jpg", "turned.jpg", ".", os.fsdecode(other)]
    file = tmp_path / "faces.json"
    done = run("--model", exports / "openvino", "--input", *(f"{tmp_path}/{name}" for name in names), "--json", file, "--threshold", "0.2")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"skipped: {tmp_path}/gone.jpg: cannot read the picture: No such file or directory",
        f"skipped: {tmp_path}/cut.jpg: broken picture: it is truncated",
        f"skipped: {tmp_path}/cut.png: broken picture: it is truncated",
        f"skipped: {tmp_path}/words.jpg: not a picture that OpenCV can read",
        f"skipped: {tmp_path}/empty.jpg: not a picture that OpenCV can read",
        f"skipped: {tmp_path}/.: cannot read the picture: Is a directory",
    ]
    record, last = json.loads(file.read_text())
    assert os.fsencode(last["image"]) == other
    assert record["size"] == [120, 90]
    pixels = detector.cv2.imread(str(tmp_path / "turned.jpg"))[..., ::-1]
    want = [face for face in detector.FaceDetector(exports / "openvino", 1, runtime="openvino")(pixels) if face.score >= 0.2]
    assert len(want) > 0
    np.testing.assert_allclose([face["box"] for face in record["faces"]], [face.box for face in want], atol=0.02)


def test_the_fastest_format_is_taken_and_a_full_disk_is_reported(run, exports, pictures, tmp_path):
    folder = tmp_path / "several"
    for name, format_ in (("onnx", "onnx"), ("slow", "openvino"), ("fast", "openvino")):
        shutil.copytree(exports / format_, folder / name)
    for name in ("onnx", "slow"):
        (folder / name / "inference.yml").write_text("not read\n")
    rows = [("onnx", "onnxruntime", 1), ("slow", "openvino", 9), ("fast", "openvino", 5), ("gone", "openvino", 1), ("paddle", "paddle", 1)]
    formats = [{"folder": name, "runtime": runtime, "ms": {"1": 10 * ms, "2": ms}} for name, runtime, ms in rows]
    (folder / "parity.json").write_text(json.dumps({"formats": formats}, indent=1))
    done = run("--model", folder, "--input", pictures[0], "--json", "/dev/full")
    assert (done.returncode, done.stderr) == (3, "error: /dev/full: cannot write the faces: No space left on device\n")
    (folder / "parity.json").write_text("{}")
    done = run("--model", folder, "--input", pictures[0])
    assert (done.returncode, done.stderr) == (4, f"error: {folder}: no format for OpenVINO in it: export it with --format openvino\n")


def test_models_that_cannot_be_used(run, exports, pictures, tmp_path):
    def refusal(folder: Path) -> str:
        done = run("--model", folder, "--input", pictures[0])
        assert (done.returncode, done.stdout) == (4, "")
        return done.stderr

    assert run("--help", threads=False).stdout.startswith("usage: ppface_detect --model FOLDER --input PICTURE...")
    assert refusal(tmp_path / "gone") == f"error: {tmp_path}/gone: no such folder; expected one that ppface export wrote\n"
    assert refusal(tmp_path) == f"error: {tmp_path}: expected an exported model, inference.yml is missing\n"
    expected = "expected model.xml or model.onnx in it: export it with --format openvino"
    (tmp_path / "inference.yml").touch()
    assert refusal(tmp_path) == f"error: {tmp_path}: {expected}\n"
    place = with_policy(exports / "openvino", tmp_path / "export", POLICIES["native"] | {"mode": "tiles"})
    assert refusal(place) == (
        f"error: {place}/inference.yml: expected input.test.mode to be one of native, stretch, letterbox, long_side, short_side, received "
        "'tiles': take deploy/cpp from the version that exported the model\n"
    )
    (place / "inference.yml").write_text("format: 2\n")
    expected = "expected the description of an exported model in format 1: export the model again"
    assert refusal(place) == f"error: {place}/inference.yml: {expected}\n"
    shutil.copy(exports / "openvino" / "inference.yml", place)
    (place / "model.bin").write_bytes(b"short")
    expected = "not the file that inference.yml describes: truncated or replaced; export or copy both again"
    assert refusal(place) == f"error: {place}/model.bin: {expected}\n"
    (place / "model.bin").unlink()
    assert refusal(place) == f"error: {place}: expected an exported model, model.bin is missing\n"


def test_two_faces_are_compared(run, exports, embedder_export, pictures):
    done = run("--model", embedder_export, "--compare", *pictures[:2], "--resize", "--threshold", "-0.5")
    assert (done.returncode, done.stderr) == (0, "")
    embed = embedder.FaceEmbedder(embedder_export, 1, runtime="onnxruntime")
    embed.resize = True
    want = embedder.similarity(*(embed(scene(seed, *SIZES[seed]))[0].embedding for seed in (0, 1)))
    assert done.stdout == f"similarity {want:.4f} (cosine, -1 to 1)\nthe same person at threshold -0.5\n"
    done = run("--model", embedder_export, "--compare", *pictures[:2])
    assert (done.returncode, done.stderr) == (
        3,
        f"error: {pictures[0]}: expected an aligned face of 16x16 pixels, received 131x97: align it with ppface align, or give --resize\n",
    )
    done = run("--model", embedder_export, "--input", pictures[0])
    expected = "--input expects a model with the outputs 'boxes' and 'scores', this one has embedding"
    assert (done.returncode, done.stderr) == (4, f"error: {embedder_export}: {expected}\n")
    done = run("--model", exports / "onnx", "--compare", *pictures[:2])
    expected = "--compare expects a model with the output 'embedding', this one has boxes, count, landmarks, scores"
    assert (done.returncode, done.stderr) == (4, f"error: {exports}/onnx: {expected}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected --model, the folder of an export: see --help"),
        (["--model", "a"], "expected either --input or --compare: see --help"),
        (["--model", "a", "b", "--input", "c"], "--model: expected one value, received 2"),
        (["--model", "a", "--compare", "b"], "--compare: expected two pictures, received 1"),
        (["--model", "a", "--input", "b", "--threshold", "1x"], "--threshold: expected a number, received '1x'"),
        (["--model", "a", "--input", "b", "--threads", "0"], "--threads: expected a whole number from 1 on, received '0'"),
        (["--model", "a", "--compare", "b", "c", "--json", "d"], "--json: expected --input with it"),
        (["--modell", "a"], "'--modell': no such option: see --help"),
    ],
)
def test_mistakes_in_the_options(run, arguments, message):
    done = run(*arguments, threads=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")
