"""Formats of an export: files and figures of a small embedder, what is refused, and how the death of the converter reads."""

import contextlib
import importlib.util
import json
from unittest.mock import Mock

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from ppface import predict
from ppface.core.errors import DataError, UserError, WeightsError
from ppface.data.synthetic.synthetic_landmarks import SyntheticLandmarks
from ppface.engine import export
from ppface.engine.formats import converter, exporter, int8_file, onnx_file, parity
from ppface.ops.face_crop import square
from ppface.ops.nms_in_onnx import replace_marks
from ppface.ops.onnx_tracing import onnx_tracing, traced_for_onnx
from ppface.ops.resize import TestSize
from ppface.predict import calibration
from ppface.predict.runtimes import choose

needs = [
    pytest.importorskip(name, reason="needs the extras onnx and openvino") for name in ("onnx", "paddle2onnx", "onnxruntime", "openvino")
]
FORMATS = ("paddle", "onnx", "openvino")


@pytest.fixture(scope="module")
def written(toy_embedder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    (folder / "config.yml").write_text("model: null\n")
    places = exporter.write(toy_embedder, folder, FORMATS, {"version": "1"}, onnx_tracing, replace_marks)
    found = parity.compare_formats(toy_embedder, places, predict.load_predictor, 1e-3, [lambda run: [("norm", run(ones())["norm"].mean())]])
    parity.store(found, folder)
    return folder, found


def ones(count: int = 1) -> dict:
    return {"image": np.ones((count, 3, 16, 16), np.uint8)}


def test_every_format_answers_as_the_live_model(written, toy_embedder):
    folder, found = written
    assert [row["format"] for row in found["formats"]] == list(FORMATS)
    assert [batch[0] for batch in found["compared"]["batches"]] == [1, 2, 5]
    assert all(0 <= row["difference"] < 1e-5 and row["bytes"] > 1000 and min(row["ms"].values()) > 0 for row in found["formats"])
    images = {"image": np.random.default_rng(1).integers(0, 256, (3, 3, 16, 16), dtype=np.uint8)}
    want = toy_embedder.predictor()(images)
    for name in FORMATS:
        model = predict.load_predictor(folder / name)
        assert model.outputs() == ["embedding", "norm"] and model.about["version"] == "1"
        assert vars(model.test_size) == vars(TestSize("stretch", (16, 16)))
        got = model(images)
        assert got["embedding"].shape == (3, 6)
        np.testing.assert_allclose(got["embedding"], want["embedding"], rtol=1e-4, atol=1e-5)
        assert (folder / name / "config.yml").is_file()


def test_the_table_shows_the_metrics_of_the_live_model_too(written):
    folder, found = written
    lines = parity.table(found).splitlines()
    assert lines[0].split()[:4] == ["format", "difference", "ms,", "1"] and lines[0].split()[-2:] == ["MB", "norm"]
    assert [line.split()[0] for line in lines[1:]] == [*FORMATS, "live"]
    assert len({line.split()[-1] for line in lines[1:]}) == 1
    assert json.loads((folder / "parity.json").read_text()) == found


def test_an_export_of_several_formats_is_opened_by_the_fastest_installed(written, tmp_path, monkeypatch):
    folder, found = written
    for row, latency in zip(found["formats"], (9.0, 1.0, 2.0), strict=True):
        row["ms"] = {"1": latency}
    copied = tmp_path / "copy"
    copied.symlink_to(folder)
    parity.store(found, folder)
    assert choose(copied) == (copied / "onnx", "onnxruntime")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    assert choose(copied) == (copied / "openvino", "openvino")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="expected one of the runtimes onnxruntime, openvino, paddle to be installed"):
        choose(copied)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('"folder": 3, "runtime": "onnxruntime"', "not the figures of an export"),
        ('"folder": "onnx", "runtime": 3', "expected the folders of the formats that parity.json lists, found none of them"),
        ('"folder": "onnx", "runtime": "json"', "expected the folders of the formats that parity.json lists, found none of them"),
        ('"folder": "gone", "runtime": "onnxruntime"', "expected the folders of the formats that parity.json lists, found none of them"),
    ],
)
def test_figures_of_something_else_are_refused(tmp_path, row, reason):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "inference.yml").touch()
    (tmp_path / "parity.json").write_text(f'{{"formats": [{{"ms": {{"1": 1.0}}, {row}}}]}}')
    with pytest.raises(WeightsError, match=reason):
        choose(tmp_path)


def test_a_file_other_than_the_exported_one_is_refused(written, tmp_path):
    (tmp_path / "inference.yml").write_bytes((written[0] / "onnx" / "inference.yml").read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"odd")
    with pytest.raises(WeightsError, match=r"model\.onnx: not the file that inference\.yml describes"):
        predict.load_predictor(tmp_path)


def test_beyond_the_tolerance_the_format_is_named(written, toy_embedder):
    with pytest.raises(UserError, match="onnx: the outputs of the exported model differ from the live model"):
        parity.compare_formats(toy_embedder, {"onnx": written[0] / "onnx"}, predict.load_predictor, 0.0)


def test_the_abort_of_the_converter_is_one_line(tmp_path):
    class Suppressed(paddle.nn.Linear):
        def forward(self, x):
            return paddle.vision.ops.nms(super().forward(x), 0.3)

    static = paddle.jit.to_static(Suppressed(3, 4), input_spec=[paddle.static.InputSpec([None, 3], "float32", "image")], full_graph=True)
    paddle.jit.save(static, str(tmp_path / "model"))
    message = "paddle2onnx was ended by SIGABRT while converting the model: it has 'nms', which paddle2onnx cannot convert"
    with pytest.raises(UserError, match=message):
        converter.convert(tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx")


def test_missing_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"this export needs onnx, paddle2onnx, onnxruntime: install it with: pip install 'ppface\[onnx\]'"):
        exporter.check(["paddle", "onnx"], False)
    with pytest.raises(UserError, match=r"needs nncf, openvino, onnx, paddle2onnx: install it with: pip install 'ppface\[int8\]'"):
        exporter.check(["paddle"], True)


def test_openvino_formats_need_no_onnx_runtime(tmp_path, toy_embedder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else name)
    exporter.check(["openvino"], True)
    monkeypatch.setattr(export, "trace", Mock(side_effect=InterruptedError("traced")))
    with pytest.raises(InterruptedError, match="traced"):
        exporter.write(toy_embedder, tmp_path, ["openvino"], {}, onnx_tracing, replace_marks)


def test_inner_values_give_way_to_the_names_of_outputs():
    onnx = needs[0]
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in ("image", "fetch_0")]
    nodes = [onnx.helper.make_node("Neg", ["image"], ["boxes"]), onnx.helper.make_node("Neg", ["boxes"], ["fetch_0"])]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", info[:1], info[1:]))
    onnx_file.rename_outputs(model, ["boxes"])
    assert [[*node.input, *node.output] for node in model.graph.node] == [["image", "inner.boxes"], ["inner.boxes", "boxes"]]
    assert [output.name for output in model.graph.output] == ["boxes"]


def test_calibration_pictures_enter_as_the_model_takes_them(tmp_path):
    size = TestSize("stretch", (16, 24))
    with pytest.raises(DataError, match="expected a folder of calibration pictures, there is no such folder"):
        calibration.pictures(tmp_path / "none", size)
    with pytest.raises(DataError, match="expected calibration pictures, found none in this folder"):
        calibration.pictures(tmp_path, size)
    Image.fromarray(np.full((40, 30, 3), [1, 2, 3], np.uint8)).save(tmp_path / "a.png")
    (picture,) = calibration.pictures(tmp_path, size)
    assert picture.shape == (1, 3, 16, 24) and picture[0, :, 5, 5].tolist() == [1, 2, 3]
    (tmp_path / "b.png").write_text("words")
    with pytest.raises(DataError, match=r"b\.png"):
        calibration.pictures(tmp_path, size)
    with pytest.raises(UserError, match="INT8 needs pictures by which the range of every layer is measured: give --calibration FOLDER"):
        int8_file.write(tmp_path, tmp_path, [])


def test_a_landmark_model_is_calibrated_by_crops_of_the_faces():
    size, faces = TestSize("stretch", (32, 32)), SyntheticLandmarks(2, 96)
    whole, crops = calibration.of_data_set(faces, size), calibration.of_data_set(faces, size, crops=True)
    assert [picture.shape for picture in whole + crops] == [(1, 3, 32, 32)] * 4
    for i, picture in enumerate(crops):
        (points,) = faces[i]["gt_landmarks"]
        low, high = points.min(axis=0), points.max(axis=0)
        x1, y1, x2, y2 = square(np.array([*low, *high])).round().astype(int)
        assert min(x1, y1) >= 0 and max(x2, y2) <= 96
        want = cv2.resize(faces[i]["picture"].decode()[y1:y2, x1:x2], (32, 32), interpolation=cv2.INTER_AREA)
        apart = [np.abs(pixels[0].transpose(1, 2, 0) - want.astype(float)).mean() for pixels in (picture, whole[i])]
        assert apart[0] < 0.5 * apart[1]


def test_tracing_for_onnx_ends_with_its_context_also_after_an_error():
    with contextlib.suppress(RuntimeError), onnx_tracing():
        assert traced_for_onnx()
        raise RuntimeError
    assert not traced_for_onnx()


def test_questions_hold_different_pictures(toy_embedder):
    batches = [batch["image"] for batch in export.questions(toy_embedder, (1, 2, 5))]
    assert [len(batch) for batch in batches] == [1, 2, 5]
    assert len({image.tobytes() for batch in batches for image in batch}) == 8


def test_a_comparison_without_a_face_is_reported(toy_embedder, monkeypatch, caplog):
    monkeypatch.setattr(toy_embedder, "predictor", lambda: lambda batch: {"boxes": np.zeros((0, 4)), "count": np.zeros(1)})
    assert parity.compare_formats(toy_embedder, {}, predict.load_predictor, 1e-3)["compared"]["rows"] == [0, 0, 0]
    assert caplog.messages == ["the model finds no face on the pictures that are compared; --evaluate compares on those of the config"]


def test_narrow_first_convolutions_stay_in_float32():
    openvino = pytest.importorskip("openvino", reason="needs the extra openvino")
    from openvino import opset13

    from ppface.engine.formats.int8_file import narrow_first_convolutions

    image = opset13.parameter([-1, 3, -1, -1], np.float32)
    outputs = []
    for name, channels in (("narrow", 8), ("wide", 16)):
        x = image
        for place in ("first", "second"):
            filters = np.ones((channels, x.get_output_partial_shape(0)[1].get_length(), 3, 3), np.float32)
            x = opset13.convolution(x, filters, [1, 1], [1, 1], [1, 1], [1, 1], name=f"{name} {place}")
        outputs.append(x)
    assert narrow_first_convolutions(openvino.Model(outputs, [image])) == {"narrow first"}
