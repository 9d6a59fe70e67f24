"""Upsampling that paddle.inference runs on a CPU and on a GPU."""

import paddle

from ppface.ops.onnx_tracing import traced_for_onnx


def upsampled(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    """Nearest-neighbour x2, cropped to the size of `like`. Not F.interpolate, which oneDNN in paddle.inference 3.3 does not implement.

    Shape:
        (N, C, h, w), like (N, any, H, W) with H <= 2 * h and W <= 2 * w -> (N, C, H, W)
    """
    # in dynamic mode its gradient takes a tenth of the time of that of repeat_interleave, whose rank OpenVINO cannot infer
    if paddle.in_dynamic_mode() or traced_for_onnx():
        x = paddle.stack([x, x], axis=4).flatten(3)
        x = paddle.stack([x, x], axis=3).flatten(2, 3)
    else:
        x = x.repeat_interleave(2, axis=2).repeat_interleave(2, axis=3)
    size = paddle.shape(like)
    return x[:, :, : size[2], : size[3]]
