"""Puts ONNX's NonMaxSuppression in the place of the marks that `ppface.ops.nms.suppress` leaves in graphs traced for ONNX."""

from typing import Any

import numpy as np

from ppface.ops.nms import MARK


def replace_marks(model: Any) -> int:
    """Greedy suppression for every picture of a batch, as `ppface.ops.nms.suppress`: rows come by descending score, so that their ranks
    are the scores of https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html.

    Args:
        model: an onnx.ModelProto, changed in place.

    Returns:
        how many marks were replaced

    Shape:
        boxes (N, P, 4) -> (N, P, 4), 1 for the rows that are kept, else 0
    """
    graph, count = model.graph, 0
    for node in list(graph.node):
        if node.op_type == MARK and (alpha := node.attribute[0].f) <= -1:
            nodes, constants = _suppression(node.input[0], node.output[0], -1 - alpha, f"nms{count}")
            place = list(graph.node).index(node)
            graph.node.remove(node)
            for offset, made in enumerate(nodes):
                graph.node.insert(place + offset, made)
            graph.initializer.extend(constants)
            count += 1
    return count


def _suppression(boxes: str, kept: str, iou_threshold: float, name: str) -> tuple[list, list]:
    """The nodes from boxes to what is kept, and their constants."""
    from onnx import TensorProto, helper, numpy_helper

    values = {
        "zero": np.array(0, "int64"), "minus": np.array(-1, "int64"), "one": np.array([1], "int64"), "four": np.array([4], "int64"),
        "threshold": np.array([iou_threshold], "float32"), "columns": np.array([0, 2], "int64"), "yes": np.array([1], "float32"),
    }  # fmt: skip
    nodes: list = []

    def add(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        output = output if output == kept else f"{name}.{output}"
        nodes.append(helper.make_node(operator, inputs, [output], f"{name}.{operator}.{len(nodes)}", **attributes))
        return output

    constant = {key: f"{name}.{key}" for key in values}
    batch, length = add("Shape", [boxes], "batch", start=0, end=1), add("Shape", [boxes], "length", start=1, end=2)
    rank = add("Range", [add("Squeeze", [length], "rows"), constant["zero"], constant["minus"]], "rank")
    shape = add("Concat", [batch, constant["one"], length], "shape", axis=0)
    scores = add("Expand", [add("Cast", [rank], "score", to=TensorProto.FLOAT), shape], "scores")
    chosen = add("NonMaxSuppression", [boxes, scores, length, constant["threshold"]], "chosen")
    where = add("Gather", [chosen, constant["columns"]], "where", axis=1)  # of (picture, class, row), the class is always 0
    none = add("ConstantOfShape", [add("Shape", [boxes], "all")], "none")
    number = add("Concat", [add("Shape", [chosen], "number", start=0, end=1), constant["four"]], "updates", axis=0)
    add("ScatterND", [none, where, add("Expand", [constant["yes"], number], "ones")], kept)
    return nodes, [numpy_helper.from_array(value, constant[key]) for key, value in values.items()]
