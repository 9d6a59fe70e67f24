"""deploy/python with each runtime, where neither ppface nor, for ONNX Runtime and OpenVINO, paddle can be imported."""

import builtins
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import runtimes
from embedder import open_export
from PIL import Image
from runtimes import ModelError, candidates

from ppface import predict
from ppface.core.errors import DataError, WeightsError
from ppface.core.run import cpu
from ppface.engine.export import compare
from ppface.predict.runtimes import is_export

for package in ("onnx", "paddle2onnx", "onnxruntime", "openvino"):
    pytest.importorskip(package, reason="needs the extras onnx and openvino")
EXPORT, INFER = "tools/export_model.py", "deploy/python/infer.py"


@pytest.fixture(scope="module")
def several(trial, run_tool, tmp_path_factory):
    """The small detector for ONNX Runtime and OpenVINO, and what the tool printed."""
    out = tmp_path_factory.mktemp("several") / "export"
    done = run_tool(EXPORT, "-c", trial.config, "-w", trial.weights, "--out", out, "--format", "onnx", "openvino")
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def scene(seed: int, height: int = 97, width: int = 131) -> np.ndarray:
    return np.kron(np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))[
        :height, :width
    ].astype("uint8")


def test_all_pictures_of_a_batch_get_their_faces(several, trial):
    batch = {"image": np.stack([scene(seed).transpose(2, 0, 1) for seed in range(3)])}
    want = predict.load_model(trial.config, trial.weights).predictor()(batch)
    assert min(want["count"]) > 0
    for name in ("onnx", "openvino"):
        got = predict.load_predictor(several[0] / name)(batch)
        assert got["count"].shape == (3,) and got["landmarks"].shape[1:] == (5, 2)
        assert compare(want, got, 1e-3) < 1e-3
    assert [line.split()[0] for line in several[1].splitlines()] == ["format", "onnx", "openvino"]


def test_a_picture_without_faces_gives_no_rows(several):
    for name in ("onnx", "openvino"):
        got = predict.load_predictor(several[0] / name)({"image": np.zeros((2, 3, 32, 32), np.uint8)})
        assert len(got["boxes"]) == len(got["scores"]) == len(got["landmarks"]) == got["count"].sum()


@pytest.mark.parametrize("name", ["detector in paddle", "embedder in paddle", "onnx", "openvino"])
def test_no_pictures_give_arrays_without_rows(name, several, trial, toy_export):
    folder = {"detector in paddle": trial.export, "embedder in paddle": toy_export}.get(name, several[0] / name)
    none = np.zeros((0, 3, 16, 16) if folder == toy_export else (0, 3, 40, 72), np.uint8)
    for run in (lambda pixels: predict.load_predictor(folder, threads=1)({"image": pixels}), open_export(folder, 1).run):
        shapes = {key: rows.shape for key, rows in run(none).items()}
        if folder == toy_export:
            assert shapes == {"embedding": (0, 6), "norm": (0, 1)}
        else:
            assert shapes == {"boxes": (0, 4), "scores": (0,), "count": (0,), "landmarks": (0, 5, 2)}


def test_it_runs_without_paddle_and_ppface(several, trial, run_tool, tmp_path):
    for name in ("paddle", "ppface"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not for this process')\n")
    Image.fromarray(scene(0)).save(tmp_path / "a.png")
    want = predict.load(trial.export)(tmp_path / "a.png")
    best = [face for face in want if face.score >= 0.4]
    assert best
    for runtime in ("onnxruntime", "openvino"):
        file = tmp_path / f"{runtime}.json"
        done = run_tool(
            INFER,
            "-m",
            several[0],
            "--runtime",
            runtime,
            "-i",
            tmp_path / "a.png",
            "--json",
            file,
            "--threshold",
            0.4,
            PYTHONPATH=str(tmp_path),
        )
        assert done.returncode == 0, done.stderr
        (record,) = json.loads(file.read_text())
        np.testing.assert_allclose([face["box"] for face in record["faces"]], [face.box for face in best], atol=0.05)


def test_the_fastest_runtime_comes_first(several, tmp_path):
    ranked = sorted(json.loads((several[0] / "parity.json").read_text())["formats"], key=lambda row: min(row["ms"].values()))
    assert candidates(several[0]) == [(several[0] / row["folder"], row["runtime"]) for row in ranked]
    assert candidates(several[0], "openvino") == [(several[0] / "openvino", "openvino")]
    with pytest.raises(ModelError, match="expected an export for paddle, this one is for"):
        candidates(several[0], "paddle")
    with pytest.raises(ModelError, match="expected an export for openvino, this one is for onnxruntime"):
        candidates(several[0] / "onnx", "openvino")
    (tmp_path / "parity.json").write_text("{}")
    with pytest.raises(ModelError, match=r"parity\.json: not the figures of an export"):
        candidates(tmp_path)


@pytest.fixture
def of_two(several, tmp_path):
    """The export of two formats with figures by which OpenVINO is the faster one."""
    shutil.copytree(several[0], tmp_path / "export")
    rows = [{"folder": folder, "runtime": runtime, "ms": {"1": ms}} for folder, runtime, ms in RANKED]
    (tmp_path / "export" / "parity.json").write_text(json.dumps({"formats": rows}))
    return tmp_path / "export"


RANKED = [("onnx", "onnxruntime", 2.0), ("openvino", "openvino", 1.0)]


def test_a_runtime_that_is_not_installed_is_passed_over(of_two, monkeypatch, capsys):
    find = runtimes.importlib.util.find_spec
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    assert (open_export(of_two, 1).runtime, capsys.readouterr().err) == ("onnxruntime", "")
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    reasons = "openvino is not installed: pip install openvino; onnxruntime is not installed: pip install onnxruntime"
    with pytest.raises(ModelError, match=rf"^{of_two}: no runtime can run it: {reasons}$"):
        open_export(of_two, 1)


@pytest.mark.parametrize("error", [ImportError("no libtbb.so"), AttributeError("no libtbb.so"), OSError()], ids=repr)
def test_a_runtime_that_cannot_be_imported_is_passed_over(of_two, error, monkeypatch, capsys, caplog):
    def broken(name, *arguments):
        if name == "openvino":
            raise error
        return original(name, *arguments)

    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", broken)
    image = scene(0, 40, 40)
    assert len(open_export(of_two, 1)(image)) == len(predict.load(of_two, threads=1)(image)) > 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("openvino is left out, onnxruntime runs the model: ") and (str(error) or "OSError") in line
    (record,) = caplog.records
    assert "onnxruntime runs the model, as a faster one fails: " in record.getMessage() and (str(error) or "OSError") in record.getMessage()
    with pytest.raises(ModelError, match=str(error) or "OSError"):
        open_export(of_two, 1, runtime="openvino")


def test_a_model_that_one_runtime_refuses_is_run_by_the_next(of_two, monkeypatch, capsys, caplog):
    written_anew(of_two / "openvino", "model.xml")
    assert open_export(of_two, 1).runtime == "onnxruntime"
    assert "openvino cannot run it: " in capsys.readouterr().err
    predict.load(of_two, threads=1)
    assert "OpenVINO cannot run it: " in caplog.records[0].getMessage()
    written_anew(of_two / "onnx", "model.onnx")
    with pytest.raises(ModelError, match=r"no runtime can run it: .*openvino cannot run it: .*; .*onnxruntime cannot run it: "):
        open_export(of_two, 1)
    with pytest.raises(WeightsError, match=r"to be installed and to work; .*OpenVINO cannot run it: .*; .*ONNX Runtime cannot run it: "):
        predict.load(of_two, threads=1)


def written_anew(folder: Path, name: str) -> None:
    """Another file in the place of a model, of which inference.yml has the digest."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / name).write_bytes(b"of a later version")
    about = folder / "inference.yml"
    about.write_text(about.read_text().replace(digest, hashlib.sha256(b"of a later version").hexdigest()))


def test_without_its_figures_an_export_of_several_formats_names_their_folders(tmp_path):
    with pytest.raises(ModelError, match=r": expected an exported model, inference\.yml is missing$"):
        candidates(tmp_path)
    for name in ("openvino", "onnx"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inference.yml").touch()
    for runtime in ("auto", "openvino"):
        with pytest.raises(ModelError, match=r"parity\.json is missing: copy it too, or name the folder of one format: onnx, openvino$"):
            candidates(tmp_path, runtime)
    (tmp_path / "config.yml").write_text("seed: 1\n")
    with pytest.raises(WeightsError, match=r"parity\.json is missing: copy it too, or name the folder of one format: onnx, openvino$"):
        predict.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    assert not is_export(tmp_path)  # a run whose exports lie inside


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_model_that_a_runtime_refuses_is_one_line(runtime, tmp_path):
    files = tuple(tmp_path / name for name in runtimes.FILES[runtime])
    for file in files:
        file.write_bytes(b"of a later version")
    with pytest.raises(ModelError, match=rf"^{files[0]}: {runtime} cannot run it: .*: install another version of {runtime}$"):
        runtimes.start(runtime, files, ["boxes"], 1)


def test_another_device_needs_paddle(several):
    with pytest.raises(ModelError, match="expected device cpu for onnxruntime, received 'gpu'"):
        runtimes.start("onnxruntime", (), [], 1, "gpu")


def test_an_export_in_a_folder_whose_name_is_not_utf8_is_one_line(toy_export, tmp_path):
    folder = tmp_path / os.fsdecode(b"\xc4\xe3")
    shutil.copytree(toy_export, folder)
    with pytest.raises(ModelError, match=r"model\.json: expected a path in UTF-8, which the runtimes need: rename the folder"):
        open_export(str(folder), 1, "cpu", "paddle")
    with pytest.raises(DataError, match="expected a path in UTF-8, which Paddle, ONNX Runtime and OpenVINO need"):
        predict.load_predictor(folder)


@pytest.mark.parametrize(("module", "name"), [(cpu, "avoid_amx"), (runtimes, "_avoid_amx")])
@pytest.mark.parametrize(("flags", "own", "limit"), [
    ("avx512_vnni amx_bf16 amx_tile", None, "AVX512_CORE_FP16"),
    ("avx512_vnni amx_tile amx_int8", "AVX2", "AVX2"),
    ("avx2 avx512_vnni", None, None),
])  # fmt: skip
def test_openvino_gets_no_amx_unless_the_user_says_so(module, name, flags, own, limit, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if own:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", own)
    getattr(module, name)()  # a system without the file
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu {flags}\nbugs\t\t:\n\nprocessor\t: 1\n")
    assert os.environ.get("ONEDNN_MAX_CPU_ISA") == own
    getattr(module, name)()
    assert os.environ.get("ONEDNN_MAX_CPU_ISA") == limit


def test_an_int8_model_finds_faces_in_pictures_of_any_size(trial, run_tool, tmp_path):
    """On processors with AMX, OpenVINO crashed here."""
    pytest.importorskip("nncf", reason="needs the extra int8")
    (tmp_path / "pictures").mkdir()
    for seed in range(4):
        Image.fromarray(scene(seed)).save(tmp_path / "pictures" / f"{seed}.png")
    done = run_tool(EXPORT, "-c", trial.config, "-w", trial.weights, "--out", tmp_path / "export", "--format", "openvino",
                    "--int8", "--calibration", tmp_path / "pictures")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = predict.load_predictor(tmp_path / "export" / "openvino_int8")
    for height, width in ((32, 32), (64, 64), (33, 77), (97, 131), (320, 320)):
        assert len(found({"image": scene(0, height, width).transpose(2, 0, 1)[None].copy()})["boxes"])
