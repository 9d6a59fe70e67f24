"""Kernels of max pooling over 2x2 pixels with stride 2 that keeps the last odd row and column, and its gradient.

Source: Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047, figure 1, for the operation.
Shape: x (P, H, W), out (P, ceil(H / 2), ceil(W / 2)), float32 and contiguous.
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel

ZERO = np.float32(0)
PLANES = "float32[:, :, ::1]"


@kernel(f"void({PLANES}, {PLANES})")
def forward(x, out):
    """out[p, i, j] = the largest of x[p, 2i : 2i + 2, 2j : 2j + 2], NaN if one of them is."""
    planes, height, width = x.shape
    for p in range(planes):
        for i in range(out.shape[1]):
            above, below, target = x[p, 2 * i], x[p, min(2 * i + 1, height - 1)], out[p, i]
            for j in range(width // 2):
                a, b, c, d = above[2 * j], above[2 * j + 1], below[2 * j], below[2 * j + 1]
                left = c if c > a or c != c else a
                right = d if d > b or d != d else b
                target[j] = right if right > left or right != right else left
            if width % 2:
                a, c = above[width - 1], below[width - 1]
                target[width // 2] = c if c > a or c != c else a


@kernel(f"void({PLANES}, {PLANES}, {PLANES})")
def gradient(x, grad, of_x):
    """Gives each output's gradient to the first of its largest pixels, row by row."""
    planes, height, width = x.shape
    for p in range(planes):
        for i in range(grad.shape[1]):
            last = min(2 * i + 1, height - 1)
            top, bottom, given, of_top, of_bottom = x[p, 2 * i], x[p, last], grad[p, i], of_x[p, 2 * i], of_x[p, last]
            for j in range(width // 2):
                a, b, c, d, g = top[2 * j], top[2 * j + 1], bottom[2 * j], bottom[2 * j + 1], given[j]
                upper, lower = b if b > a else a, d if d > c else c
                above, below = (ZERO if lower > upper else g), (g if lower > upper else ZERO)
                of_bottom[2 * j] = ZERO if d > c else below
                of_bottom[2 * j + 1] = below if d > c else ZERO
                of_top[2 * j] = ZERO if b > a else above
                of_top[2 * j + 1] = above if b > a else ZERO
            if width % 2:
                below = bottom[width - 1] > top[width - 1]
                of_bottom[width - 1] = given[width // 2] if below else ZERO
                of_top[width - 1] = ZERO if below else given[width // 2]
