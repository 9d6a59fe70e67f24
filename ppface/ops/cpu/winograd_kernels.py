"""Kernels of 3x3 convolutions by Winograd's algorithm F(2x2, 3x3), without gradients: everything but its 16 matrix products.

    out = A^T ((G weight G^T) * (B^T x B)) A     for tiles of 4 x 4 pixels of x, 2 apart, each of which gives 2 x 2 pixels of out

Source: Lavin and Gray 2015, https://arxiv.org/abs/1509.09308, section 4.1.
Shape: as in winograd_4x4_kernels, with tiles (4, 4, C * T), rows = ceil(H / 2) and columns = ceil(W / 2).
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel

TILES_AT_ONCE = 512  # whose numbers fit in a second-level cache
ZERO = np.float32(0)
IMAGES, TILES = "float32[:, :, :, ::1]", "float32[:, :, ::1]"


@kernel()
def input_transform(a, b, c, d, out, at):
    """out[:, at:] = B^T (a, b, c, d)."""
    one, two, three, four = out[0, at:], out[1, at:], out[2, at:], out[3, at:]
    for q in range(len(a)):
        x0, x1, x2, x3 = a[q], b[q], c[q], d[q]
        one[q], two[q], three[q], four[q] = x0 - x2, x1 + x2, x2 - x1, x1 - x3


@kernel()
def output_transform(x, at, one, two):
    """(one, two) = A^T x[:, at:]."""
    a, b, c, d = x[0, at:], x[1, at:], x[2, at:], x[3, at:]
    for q in range(len(one)):
        one[q], two[q] = a[q] + b[q] + c[q], b[q] - c[q] - d[q]


@kernel()
def line(plane, y, outside):
    return plane[y] if 0 <= y < len(plane) else outside


@kernel(f"void({IMAGES}, int64, int64, {TILES})")
def input_tiles(x, first, images, tiles):
    """Writes B^T x B of every tile of `images` images, and zeros behind them; x has a border of one zero."""
    channels, height, width = x.shape[1:]
    rows, columns, size = (height + 1) // 2, (width + 1) // 2, tiles.shape[2] // x.shape[1]
    step = max(1, TILES_AT_ONCE // columns)
    lines, parts = np.zeros((4, step * columns * 2), np.float32), np.empty((4, step * columns), np.float32)
    zero, one, two, three = parts[0], parts[1], parts[2], parts[3]
    outside = np.zeros(width, np.float32)
    for c in range(channels):
        tiles[:, :, c * size + images * rows * columns : (c + 1) * size] = ZERO
        for n in range(images):
            plane = x[first + n, c]
            for top in range(0, rows, step):
                many = min(step, rows - top)
                for i in range(many):
                    y = 2 * (top + i) - 1
                    c0, d = line(plane, y + 2, outside), line(plane, y + 3, outside)
                    input_transform(line(plane, y, outside), plane[y + 1], c0, d, lines, 2 * i * columns)
                count = many * columns
                for k in range(4):
                    row = lines[k]
                    for j in range(count):
                        one[j], two[j] = row[2 * j], row[2 * j + 1]
                    zero[0] = three[count - 1] = ZERO
                    for j in range(count - 1):
                        zero[j + 1], three[j] = two[j], one[j + 1]
                    for j in range(columns, count, columns):
                        zero[j] = three[j - 1] = ZERO
                    input_transform(zero[:count], one, two, three, tiles[k], c * size + (n * rows + top) * columns)


@kernel(f"void({TILES}, int64, int64, {IMAGES})")
def output_pixels(tiles, first, images, out):
    """Writes A^T tile A of every tile of `images` images."""
    channels, height, width = out.shape[1:]
    rows, columns, size = (height + 1) // 2, (width + 1) // 2, tiles.shape[2] // out.shape[1]
    step = max(1, TILES_AT_ONCE // columns)
    lines, parts = np.empty((4, step * columns * 2), np.float32), np.empty((2, step * columns), np.float32)
    one, two = parts[0], parts[1]
    outside = np.empty(width, np.float32)
    for n in range(images):
        for c in range(channels):
            plane = out[first + n, c]
            for top in range(0, rows, step):
                many = min(step, rows - top)
                count = many * columns
                for k in range(4):
                    output_transform(tiles[k], c * size + (n * rows + top) * columns, one[:count], two)
                    row = lines[k]
                    for j in range(count):
                        row[2 * j], row[2 * j + 1] = one[j], two[j]
                for i in range(many):
                    y = 2 * (top + i)
                    output_transform(lines, 2 * i * columns, plane[y], line(plane, y + 1, outside))
