"""A soft rasteriser: pixels as smooth functions of a mesh, in plain tensors."""

import paddle
import paddle.nn.functional as F

SOFTNESS = 0.5  # pixels over which an edge fades
DEPTH_SCALE = 0.05  # difference of distance at which the nearer triangle weighs e times as much
LEAST_AREA = 1e-3  # square pixels, doubled; smaller triangles are seen from the side
HIDDEN = -80.0  # of a triangle that is not seen: its cover is exp(-80)


def rasterize(
    pixels: paddle.Tensor, distance: paddle.Tensor, colors: paddle.Tensor, triangles: paddle.Tensor, size: int
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Draws the front of a mesh, after Liu et al. 2019 (Soft Rasterizer), https://arxiv.org/abs/1904.01786, equations 1 to 4, with the
    distance to the lines of a triangle's edges (and to a circle around it, see `_within`) instead of its outline.

        cover_t = sigmoid(s_t / 0.5),   s_t the least signed distance of a pixel's centre to the lines of the three edges, > 0 inside
        color   = sum_t w_t c_t / sum_t w_t,   w_t = cover_t * exp(-d_t / 0.05)
        alpha   = 1 - prod_t (1 - cover_t)

    c_t and d_t are color and distance at the pixel, by barycentric coordinates that are clamped to >= 0 and add up to 1. Only triangles
    whose front faces the viewer count. Memory: about 20 arrays of N * size^2 * T.

    Args:
        pixels: x, y of the vertices.
        distance: of the vertices from the viewer.
        colors: of the vertices, lit.
        triangles: counterclockwise for the viewer, with y up.
        size: side of the picture.

    Shape:
        pixels (N, V, 2), distance (N, V), colors (N, V, 3), triangles (T, 3) -> color (N, 3, size, size), alpha (N, size, size)
    """
    corners = [paddle.index_select(pixels, triangles[:, k], axis=1) for k in range(3)]  # each (N, T, 2)
    lines, heights, front = _edges(corners)
    centres = _centres(size, pixels.dtype)
    # several times faster than to scale the products: broadcasting over (N, size^2, T) is slow
    inside = _least([paddle.matmul(centres, lines[k] * heights[k]) for k in range(3)])
    inside = paddle.minimum(inside, _within(corners, centres)) / SOFTNESS
    inside = paddle.where(front, inside, paddle.full([1], HIDDEN, dtype=pixels.dtype))

    weights = [F.relu(paddle.matmul(centres, lines[k])) for k in range(3)]  # barycentric, each (N, size^2, T)
    whole = (weights[0] + weights[1] + weights[2]).clip(min=0.5)  # at least 1 but for triangles without area
    scale = 1 / whole
    depths = [paddle.index_select(distance, triangles[:, k], axis=1).unsqueeze(1) for k in range(3)]
    depth = scale * (weights[0] * depths[0] + weights[1] * depths[1] + weights[2] * depths[2])
    share = scale * F.softmax(F.log_sigmoid(inside) - depth / DEPTH_SCALE, axis=-1)
    parts = [paddle.matmul(share * weights[k], paddle.index_select(colors, triangles[:, k], axis=1)) for k in range(3)]
    color = (parts[0] + parts[1] + parts[2]).transpose([0, 2, 1]).reshape([0, 3, size, size])
    alpha = 1 - paddle.exp(-F.softplus(inside).sum(axis=-1))
    return color, alpha.reshape([0, size, size])


def _centres(size: int, dtype: paddle.dtype) -> paddle.Tensor:
    """(size^2, 3) x, y of the pixels' centres, and 1, row by row."""
    line = paddle.arange(size, dtype=dtype) + 0.5
    y, x = (axis.flatten() for axis in paddle.meshgrid(line, line))
    return paddle.stack([x, y, paddle.ones_like(x)], axis=1)


def _least(distances: list[paddle.Tensor]) -> paddle.Tensor:
    return paddle.minimum(paddle.minimum(distances[0], distances[1]), distances[2])


def _within(corners: list[paddle.Tensor], centres: paddle.Tensor) -> paddle.Tensor:
    """Signed distance in pixels to the circle about the mean of a triangle's corners through the farthest of them, > 0 inside: it bounds
    narrow triangles, beyond whose sharp corners the lines of both edges stay near.

    Shape:
        three (N, T, 2), (size^2, 3) -> (N, size^2, T)
    """
    middle = (corners[0] + corners[1] + corners[2]) / 3
    radius = paddle.sqrt(paddle.stack([((corner - middle) ** 2).sum(axis=-1) for corner in corners]).max(axis=0) + 1e-12)
    squares = paddle.stack([-2 * middle[..., 0], -2 * middle[..., 1], (middle**2).sum(axis=-1)], axis=1)
    apart = paddle.matmul(centres, squares) + (centres[:, :2] ** 2).sum(axis=1).reshape([1, -1, 1])
    return radius.unsqueeze(1) - paddle.sqrt(apart.clip(min=1e-6))


def _edges(corners: list[paddle.Tensor]) -> tuple[list[paddle.Tensor], list[paddle.Tensor], paddle.Tensor]:
    """Of every triangle, for each corner: its barycentric coordinate as a function of (x, y, 1), and its height over the opposite edge in
    pixels; and whether the front is seen.

    Shape:
        three (N, T, 2) -> three (N, 3, T), three (N, 1, T), (N, 1, T) bool
    """
    a, b, c = corners
    area = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    front = area < -LEAST_AREA  # rows go down, so that counterclockwise triangles have a negative area
    area = paddle.where(area.abs() > LEAST_AREA, area, paddle.full_like(area, LEAST_AREA))
    lines, heights = [], []
    for start, end in ((b, c), (c, a), (a, b)):
        dx, dy = end[..., 0] - start[..., 0], end[..., 1] - start[..., 1]
        line = paddle.stack([-dy, dx, dy * start[..., 0] - dx * start[..., 1]], axis=1)
        lines.append(line / area.unsqueeze(1))
        heights.append((-area / paddle.sqrt(dx**2 + dy**2 + 1e-12)).unsqueeze(1))
    return lines, heights, front.unsqueeze(1)
