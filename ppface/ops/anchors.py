"""Square anchors on the grids of one or more feature maps."""

import paddle


def level_anchors(levels: list[paddle.Tensor], size: paddle.Tensor, steps: list[int], min_sizes: list[list[float]]) -> paddle.Tensor:
    """Anchors of all levels by level, row, column, min_size: centre ((column + 0.5) * step, (row + 0.5) * step), sides min_size.

    Sizes are tensors, so that a static graph computes the anchors for any input size.

    Args:
        levels: (2,) int height and width of every feature map.
        size: (2,) int height and width of the input in pixels, by which coordinates are divided.
        steps: stride in pixels, one number per level.
        min_sizes: sides in pixels, one list per level.

    Shape:
        -> (A, 4) float32, centre x, centre y, width, height, relative to the input size
    """
    height, width = size[:1].astype("float32"), size[1:].astype("float32")
    anchors = []
    for i, level in enumerate(levels):
        # stacked columns, since broadcasting cells over sizes makes the exported graph several times slower;
        # 0 * x, since paddle.full_like warns in a static graph
        cell = paddle.arange(level[0] * level[1])
        x = ((cell % level[1]).astype("float32") + 0.5) * steps[i] / width
        y = ((cell // level[1]).astype("float32") + 0.5) * steps[i] / height
        columns = [column for side in min_sizes[i] for column in (x, y, 0 * x + side / width, 0 * y + side / height)]
        anchors.append(paddle.stack(columns).transpose([1, 0]).reshape([-1, 4]))
    return paddle.concat(anchors)
