"""Kernels of 3x3 convolutions by Winograd's algorithm F(4x4, 3x3): everything but its 36 matrix products.

    out = A^T ((G weight G^T) * (B^T x B)) A     for tiles of 6 x 6 pixels of x, 4 apart, each of which gives 4 x 4 pixels of out

Source: Lavin and Gray 2015, https://arxiv.org/abs/1509.09308, sections 3 and 4. Interpolated at 0, 1, -1, 1/2, -2 and infinity, with half
the rounding errors of the usual 0, 1, -1, 2, -2 and infinity (on the choice: Barabasz et al. 2018, https://arxiv.org/abs/1803.10986).
Shape: x, grad, out (N, C, H, W); tiles (6, 6, C * T), in which tile (i, j) of image `first + n` and channel c is number
c * T + (n * rows + i) * columns + j, with rows = ceil(H / 4) and columns = ceil(W / 4); T may be larger than of `images` images.
All are float32 and contiguous.
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel

TILES_AT_ONCE = 256  # whose numbers fit in a second-level cache
ZERO = np.float32(0)
EIGHTH, QUARTER, HALF, THREE_HALVES, TWO, FIVE_HALVES, FOUR, EIGHT = map(np.float32, (0.125, 0.25, 0.5, 1.5, 2, 2.5, 4, 8))
IMAGES, TILES = "float32[:, :, :, ::1]", "float32[:, :, ::1]"


@kernel()
def input_transform(a, b, c, d, e, f, out, at):
    """out[:, at:] = B^T (a, b, c, d, e, f)."""
    one, two, three, four, five, six = out[0, at:], out[1, at:], out[2, at:], out[3, at:], out[4, at:], out[5, at:]
    for q in range(len(a)):
        x0, x1, x2, x3, x4, x5 = a[q], b[q], c[q], d[q], e[q], f[q]
        one[q] = x0 + x4 + THREE_HALVES * (x3 - x1) - TWO * x2
        two[q] = x4 - x1 + FIVE_HALVES * x3 + HALF * x2
        three[q] = x4 + x1 - FIVE_HALVES * x2 + HALF * x3
        four[q] = x4 - x2 + TWO * (x3 - x1)
        five[q] = x4 - x2 + HALF * (x1 - x3)
        six[q] = x1 + x5 + THREE_HALVES * (x4 - x2) - TWO * x3


@kernel()
def output_transform(x, at, one, two, three, four):
    """(one, two, three, four) = A^T x[:, at:]."""
    a, b, c, d, e, f = x[0, at:], x[1, at:], x[2, at:], x[3, at:], x[4, at:], x[5, at:]
    for q in range(len(one)):
        x0, x1, x2, x3, x4, x5 = a[q], b[q], c[q], d[q], e[q], f[q]
        total, difference = x1 + x2, x1 - x2
        one[q] = x0 + total + x3 + x4
        two[q] = difference + HALF * x3 - TWO * x4
        three[q] = total + QUARTER * x3 + FOUR * x4
        four[q] = difference + EIGHTH * x3 - EIGHT * x4 + x5


@kernel()
def gradient_transform(a, b, c, d, out, at):
    """out[:, at:] = A (a, b, c, d)."""
    one, two, three, four, five, six = out[0, at:], out[1, at:], out[2, at:], out[3, at:], out[4, at:], out[5, at:]
    for q in range(len(a)):
        x0, x1, x2, x3 = a[q], b[q], c[q], d[q]
        even, odd = x0 + x2, x1 + x3
        one[q], two[q], three[q], six[q] = x0, even + odd, even - odd, x3
        four[q] = x0 + HALF * x1 + QUARTER * x2 + EIGHTH * x3
        five[q] = x0 - TWO * x1 + FOUR * x2 - EIGHT * x3


@kernel()
def split(row, one, two, three, four):
    """one, two, three, four = row[::4], row[1::4], row[2::4], row[3::4]."""
    for j in range(len(row) // 4):
        one[j], two[j], three[j], four[j] = row[4 * j], row[4 * j + 1], row[4 * j + 2], row[4 * j + 3]


@kernel()
def join(one, two, three, four, row):
    """The inverse of `split`."""
    for j in range(len(row) // 4):
        row[4 * j], row[4 * j + 1], row[4 * j + 2], row[4 * j + 3] = one[j], two[j], three[j], four[j]


@kernel()
def line(plane, y, outside):
    return plane[y] if 0 <= y < len(plane) else outside


@kernel()
def clear_rest(tiles, channels, used):
    """Zeros behind the `used` tiles of every channel."""
    size = tiles.shape[2] // channels
    for c in range(channels):
        tiles[:, :, c * size + used : (c + 1) * size] = ZERO


@kernel(f"void({IMAGES}, int64, int64, {TILES})")
def input_tiles(x, first, images, tiles):
    """Writes B^T x B of every tile of `images` images, and zeros behind them; x has a border of one zero."""
    channels, height, width = x.shape[1:]
    rows, columns, size = (height + 3) // 4, (width + 3) // 4, tiles.shape[2] // x.shape[1]
    step = max(1, TILES_AT_ONCE // columns)
    clear_rest(tiles, channels, images * rows * columns)
    lines, parts = np.zeros((6, step * columns * 4), np.float32), np.empty((6, step * columns), np.float32)
    zero, one, two, three, four, five = parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]
    outside = np.zeros(width, np.float32)
    for n in range(images):
        for c in range(channels):
            plane = x[first + n, c]
            for top in range(0, rows, step):
                many = min(step, rows - top)
                for i in range(many):
                    y = 4 * (top + i) - 1
                    a, b, c0 = line(plane, y, outside), line(plane, y + 1, outside), line(plane, y + 2, outside)
                    d, e, f = line(plane, y + 3, outside), line(plane, y + 4, outside), line(plane, y + 5, outside)
                    input_transform(a, b, c0, d, e, f, lines, 4 * i * columns)
                count = many * columns
                for k in range(6):
                    split(lines[k, : 4 * count], one, two, three, four)
                    zero[0] = five[count - 1] = ZERO
                    for j in range(count - 1):
                        zero[j + 1], five[j] = four[j], one[j + 1]
                    for j in range(columns, count, columns):
                        zero[j] = five[j - 1] = ZERO
                    input_transform(zero[:count], one, two, three, four, five, tiles[k], c * size + (n * rows + top) * columns)


@kernel(f"void({TILES}, int64, int64, {IMAGES})")
def output_pixels(tiles, first, images, out):
    """Writes A^T tile A of every tile of `images` images."""
    channels, height, width = out.shape[1:]
    rows, columns, size = (height + 3) // 4, (width + 3) // 4, tiles.shape[2] // out.shape[1]
    step = max(1, TILES_AT_ONCE // columns)
    lines, parts = np.empty((6, step * columns * 4), np.float32), np.empty((4, step * columns), np.float32)
    one, two, three, four = parts[0], parts[1], parts[2], parts[3]
    outside = np.empty(width, np.float32)
    for n in range(images):
        for c in range(channels):
            plane = out[first + n, c]
            for top in range(0, rows, step):
                many = min(step, rows - top)
                count = many * columns
                for k in range(6):
                    output_transform(tiles[k], c * size + (n * rows + top) * columns, one[:count], two, three, four)
                    join(one, two, three, four, lines[k, : 4 * count])
                for i in range(many):
                    y = 4 * (top + i)
                    b, c0, d = line(plane, y + 1, outside), line(plane, y + 2, outside), line(plane, y + 3, outside)
                    output_transform(lines, 4 * i * columns, plane[y], b, c0, d)


@kernel(f"void({IMAGES}, int64, int64, {TILES})")
def gradient_tiles(grad, first, images, tiles):
    """Writes A dL/dout A^T of every tile of `images` images, and zeros behind them."""
    channels, height, width = grad.shape[1:]
    rows, columns, size = (height + 3) // 4, (width + 3) // 4, tiles.shape[2] // grad.shape[1]
    step = max(1, TILES_AT_ONCE // columns)
    clear_rest(tiles, channels, images * rows * columns)
    lines, parts = np.zeros((6, step * columns * 4), np.float32), np.empty((4, step * columns), np.float32)
    one, two, three, four = parts[0], parts[1], parts[2], parts[3]
    outside = np.zeros(width, np.float32)
    for n in range(images):
        for c in range(channels):
            plane = grad[first + n, c]
            for top in range(0, rows, step):
                many = min(step, rows - top)
                for i in range(many):
                    y = 4 * (top + i)
                    b, c0, d = line(plane, y + 1, outside), line(plane, y + 2, outside), line(plane, y + 3, outside)
                    gradient_transform(plane[y], b, c0, d, lines, 4 * i * columns)
                count = many * columns
                for k in range(6):
                    split(lines[k, : 4 * count], one, two, three, four)
                    gradient_transform(one[:count], two, three, four, tiles[k], c * size + (n * rows + top) * columns)
