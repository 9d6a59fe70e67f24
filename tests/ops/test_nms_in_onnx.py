"""The suppression that an ONNX file gets, run by ONNX Runtime, against loops over each picture's boxes."""

import numpy as np
import pytest

from ppface.ops import boxes as ops
from ppface.ops.nms import MARK
from ppface.ops.nms_in_onnx import replace_marks

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def marked(alpha: float):
    """A graph with nothing but the mark."""
    boxes, kept = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", "p", 4]) for name in ("boxes", "kept"))
    graph = onnx.helper.make_graph([onnx.helper.make_node(MARK, ["boxes"], ["kept"], alpha=alpha)], "g", [boxes], [kept])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def loops(boxes: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for row in range(len(boxes)):
        if all(ops.iou(boxes[other : other + 1], boxes[row : row + 1])[0, 0] <= threshold for other in kept):
            kept.append(row)
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize(("pictures", "count"), [(1, 30), (3, 30), (2, 1)])
def test_every_picture_keeps_what_loops_keep(rng, pictures, count, threshold):
    model = marked(-1 - threshold)
    assert replace_marks(model) == 1
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    centre, side = rng.uniform(0, 60, (pictures, count, 2)), rng.uniform(15, 40, (pictures, count, 2))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=2).astype("float32")
    (kept,) = session.run(None, {"boxes": boxes})
    assert kept.shape == boxes.shape
    found = [np.flatnonzero(rows[:, 0]).tolist() for rows in kept]
    assert found == [loops(rows, threshold) for rows in boxes]
    assert count == 1 or all(len(rows) < count for rows in found)
    assert pictures < 3 or len({str(rows) for rows in found}) == 3


def test_the_operator_of_a_network_is_left_alone():
    model = marked(0.5)
    assert replace_marks(model) == 0 and [node.op_type for node in model.graph.node] == [MARK]
