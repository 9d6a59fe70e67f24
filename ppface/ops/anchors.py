"""Square anchors on the grids of one or more feature maps."""

import paddle


def level_anchors(levels: list[paddle.Tensor], size: paddle.Tensor, steps: list[int], min_sizes: list[list[float]]) -> paddle.Tensor:
    """Anchors of all levels by level, row, column, min_size: centre ((column + 0.5) * step, (row + 0.5) * step), sides min_size.

    Sizes are tensors, so that a static graph computes the anchors of whatever size it is run at.

    Args:
        levels: (2,) int height and width of every feature map.
        size: (2,) int height and width of the input in pixels, which coordinates are divided by.
        steps: pixels a cell, one number a level.
        min_sizes: sides in pixels, one list a level.

    Shape:
        -> (A, 4) float32, centre x, centre y, width, height, in parts of the input
    """
    scale = size.astype("float32").flip(0)
    anchors = []
    for i, level in enumerate(levels):
        y = (paddle.arange(level[0], dtype="float32") + 0.5) * steps[i]
        x = (paddle.arange(level[1], dtype="float32") + 0.5) * steps[i]
        y, x = paddle.meshgrid(y, x)
        centres = paddle.stack([x, y], axis=-1).reshape([-1, 1, 2])
        sides = paddle.to_tensor(min_sizes[i], dtype="float32").reshape([1, -1, 1])
        # expanded, not added to zeros: the broadcast sums of oneDNN cost as much as a tenth of the exported network
        shape = [paddle.shape(centres)[0], len(min_sizes[i]), 2]
        anchors.append(paddle.concat([centres.expand(shape), sides.expand(shape)], axis=-1).reshape([-1, 2, 2]))
    return (paddle.concat(anchors) / scale).reshape([-1, 4])
