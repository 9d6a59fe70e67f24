"""A soft rasteriser: pixels as smooth functions of a mesh, in plain tensors."""

import paddle
import paddle.nn.functional as F

SOFTNESS = 0.5  # pixels over which an edge fades
DEPTH_SCALE = 0.05  # difference of distance at which the nearer triangle weighs e times as much
LEAST_AREA = 1e-3  # square pixels, doubled; smaller triangles are seen from the side
HIDDEN = -1e4  # signed distance of triangles that are not seen, pixels


def rasterize(
    pixels: paddle.Tensor, distance: paddle.Tensor, colors: paddle.Tensor, triangles: paddle.Tensor, size: int
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Draws the front of a mesh, after Liu et al. 2019 (Soft Rasterizer), https://arxiv.org/abs/1904.01786, equations 1 to 4, with the
    distance to the lines of a triangle's edges (and to a circle around it, see `_circles`) instead of its outline.

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
    # Factors of a triangle are multiplied into its coefficients: broadcasting over (N, size^2, T) costs ten times such a product.
    centres = _centres(size, pixels.dtype)
    inside = _least([paddle.matmul(centres, _padded(lines[k] * heights[k] / SOFTNESS)) for k in range(3)])
    inside = paddle.minimum(inside, paddle.matmul(centres, _circles(corners, front) / SOFTNESS))

    weights = [F.relu(paddle.matmul(centres, _padded(line))) for line in lines]  # barycentric, each (N, size^2, T)
    scale = 1 / _sum(weights).clip(min=0.5)  # they add up to at least 1, but for triangles without area
    relative = (distance - distance.min(axis=1, keepdim=True).detach() + 1) / DEPTH_SCALE  # above 0; the same for all has no effect
    depths = [paddle.index_select(relative, triangles[:, k], axis=1).unsqueeze(1) for k in range(3)]
    depth = scale * _sum([F.relu(paddle.matmul(centres, _padded(lines[k] * depths[k]))) for k in range(3)])
    share = scale * F.softmax(F.log_sigmoid(inside) - depth, axis=-1)
    color = _sum([paddle.matmul(share * weights[k], paddle.index_select(colors, triangles[:, k], axis=1)) for k in range(3)])
    alpha = 1 - paddle.exp(-F.softplus(inside).sum(axis=-1))
    return color.transpose([0, 2, 1]).reshape([0, 3, size, size]), alpha.reshape([0, size, size])


def _centres(size: int, dtype: paddle.dtype) -> paddle.Tensor:
    """(size^2, 4) of the pixels' centres x, y, 1, x^2 + y^2, row by row."""
    line = paddle.arange(size, dtype=dtype) + 0.5
    y, x = (axis.flatten() for axis in paddle.meshgrid(line, line))
    return paddle.stack([x, y, paddle.ones_like(x), x**2 + y**2], axis=1)


def _padded(lines: paddle.Tensor) -> paddle.Tensor:
    """(N, 3, T) coefficients of x, y, 1 -> (N, 4, T), as `_centres` needs them."""
    return paddle.concat([lines, paddle.zeros_like(lines[:, :1])], axis=1)


def _sum(three: list[paddle.Tensor]) -> paddle.Tensor:
    return three[0] + three[1] + three[2]


def _least(three: list[paddle.Tensor]) -> paddle.Tensor:
    return paddle.minimum(paddle.minimum(three[0], three[1]), three[2])


def _circles(corners: list[paddle.Tensor], front: paddle.Tensor) -> paddle.Tensor:
    """Coefficients, for `_centres`, of (r^2 - |p - m|^2) / 2r, about the signed distance of p to the circle around a triangle: m is the
    mean of its corners, r the distance of the farthest. It ends narrow triangles, beyond whose sharp corners both edges' lines stay near.
    Triangles that are not seen are far from every pixel.

    Shape:
        three (N, T, 2), (N, T) bool -> (N, 4, T)
    """
    middle = _sum(corners) / 3
    square = paddle.stack([((corner - middle) ** 2).sum(axis=-1) for corner in corners]).max(axis=0) + 1e-6
    rows = [2 * middle[..., 0], 2 * middle[..., 1], square - (middle**2).sum(axis=-1), -paddle.ones_like(square)]
    circles = paddle.stack(rows, axis=1) / (2 * paddle.sqrt(square)).unsqueeze(1)
    hidden = paddle.to_tensor([0, 0, HIDDEN, 0], dtype=square.dtype).reshape([1, 4, 1])
    return paddle.where(front.unsqueeze(1), circles, hidden)


def _edges(corners: list[paddle.Tensor]) -> tuple[list[paddle.Tensor], list[paddle.Tensor], paddle.Tensor]:
    """Of every triangle, for each corner: its barycentric coordinate as a function of (x, y, 1), and its height over the opposite edge in
    pixels; and whether the front is seen.

    Shape:
        three (N, T, 2) -> three (N, 3, T), three (N, 1, T), (N, T) bool
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
    return lines, heights, front
