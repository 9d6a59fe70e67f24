"""Kernels of 3x3 convolutions by Winograd's algorithm F(2x2, 3x3): everything but its 16 matrix products.

    out = A^T ((G weight G^T) * (B^T x B)) A     for tiles of 4 x 4 pixels of x, 2 apart, each of which gives 2 x 2 pixels of out

Source: Lavin and Gray 2015, https://arxiv.org/abs/1509.09308, section 4.1.
Shape: x, grad, out (N, C, H, W); tiles (4, 4, C, T), in which tile (i, j) of image `first + n` is number (n * rows + i) * columns + j, with
rows = ceil(H / 2) and columns = ceil(W / 2); T may be larger, by less than a whole image. All are float32 and contiguous.
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel

ZERO, ONE = np.float32(0), np.float32(1)
IMAGES, TILES = "float32[:, :, :, ::1]", "float32[:, :, :, ::1]"


@kernel()
def split(row, border, even, odd):
    """even, odd = row[::2], row[1::2], of the row with `border` zeros (0 or 1) before it and zeros behind it."""
    even[:], odd[:] = ZERO, ZERO
    if border:
        for j in range(len(row) // 2):
            even[j + 1] = row[2 * j + 1]
        for j in range((len(row) + 1) // 2):
            odd[j] = row[2 * j]
    else:
        for j in range((len(row) + 1) // 2):
            even[j] = row[2 * j]
        for j in range(len(row) // 2):
            odd[j] = row[2 * j + 1]


@kernel(f"void({IMAGES}, int64, {TILES})")
def input_tiles(x, first, tiles):
    """Writes B^T x B of every tile; x has a border of one zero."""
    channels, height, width = x.shape[1:]
    rows, columns = (height + 1) // 2, (width + 1) // 2
    images = tiles.shape[3] // (rows * columns)
    tiles[:, :, :, images * rows * columns :] = ZERO
    evens, odds = np.empty((4, columns + 1), np.float32), np.empty((4, columns + 1), np.float32)
    for n in range(images):
        for c in range(channels):
            for i in range(rows):
                for r in range(4):
                    y = 2 * i - 1 + r
                    if 0 <= y < height:
                        split(x[first + n, c, y], 1, evens[r], odds[r])
                    else:
                        evens[r], odds[r] = ZERO, ZERO
                start = (n * rows + i) * columns
                for k in range(4):
                    # row k of B^T: rows 0 - 2, 1 + 2, 2 - 1, 1 - 3
                    upper, lower, sign = (0, 1, 2, 1)[k], (2, 2, 1, 3)[k], ONE if k == 1 else -ONE
                    even, odd, even2, odd2 = evens[upper], odds[upper], evens[lower], odds[lower]
                    row = tiles[k, :, c, start : start + columns]
                    one, two, three, four = row[0], row[1], row[2], row[3]
                    for j in range(columns):
                        a, b = even[j] + sign * even2[j], odd[j] + sign * odd2[j]
                        p, q = even[j + 1] + sign * even2[j + 1], odd[j + 1] + sign * odd2[j + 1]
                        one[j], two[j], three[j], four[j] = a - p, b + p, p - b, b - q


@kernel(f"void({TILES}, int64, {IMAGES})")
def output_pixels(tiles, first, out):
    """Writes A^T tile A of every tile."""
    channels, height, width = out.shape[1:]
    rows, columns = (height + 1) // 2, (width + 1) // 2
    images = tiles.shape[3] // (rows * columns)
    even, odd = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for n in range(images):
        for c in range(channels):
            for i in range(rows):
                start = (n * rows + i) * columns
                tile = tiles[:, :, c, start : start + columns]
                for r in range(min(2, height - 2 * i)):
                    # row r of A^T: rows 0 + 1 + 2, 1 - 2 - 3
                    upper, middle, lower, sign = tile[r], tile[1 + r], tile[2 + r], ONE if r == 0 else -ONE
                    one, two, three, four = upper[0], upper[1], upper[2], upper[3]
                    one1, two1, three1, four1 = middle[0], middle[1], middle[2], middle[3]
                    one2, two2, three2, four2 = lower[0], lower[1], lower[2], lower[3]
                    for j in range(columns):
                        a, b = one[j] + sign * (one1[j] + one2[j]), two[j] + sign * (two1[j] + two2[j])
                        p, q = three[j] + sign * (three1[j] + three2[j]), four[j] + sign * (four1[j] + four2[j])
                        even[j], odd[j] = a + b + p, b - p - q
                    row = out[first + n, c, 2 * i + r]
                    for j in range(width // 2):
                        row[2 * j], row[2 * j + 1] = even[j], odd[j]
                    if width % 2:
                        row[width - 1] = even[columns - 1]


@kernel(f"void({IMAGES}, int64, {TILES})")
def gradient_tiles(grad, first, tiles):
    """Writes A dL/dout A^T of every tile."""
    channels, height, width = grad.shape[1:]
    rows, columns = (height + 1) // 2, (width + 1) // 2
    images = tiles.shape[3] // (rows * columns)
    tiles[:, :, :, images * rows * columns :] = ZERO
    evens, odds = np.empty((2, columns), np.float32), np.empty((2, columns), np.float32)
    for n in range(images):
        for c in range(channels):
            for i in range(rows):
                for r in range(2):
                    if 2 * i + r < height:
                        split(grad[first + n, c, 2 * i + r], 0, evens[r], odds[r])
                    else:
                        evens[r], odds[r] = ZERO, ZERO
                even, odd, even2, odd2 = evens[0], odds[0], evens[1], odds[1]
                start = (n * rows + i) * columns
                for k in range(4):
                    # row k of A: rows 0, 0 + 1, 0 - 1, -1
                    s, t = ONE if k < 3 else ZERO, ZERO if k == 0 else ONE if k == 1 else -ONE
                    row = tiles[k, :, c, start : start + columns]
                    one, two, three, four = row[0], row[1], row[2], row[3]
                    for j in range(columns):
                        a, b = s * even[j] + t * even2[j], s * odd[j] + t * odd2[j]
                        one[j], two[j], three[j], four[j] = a, a + b, a - b, -b
