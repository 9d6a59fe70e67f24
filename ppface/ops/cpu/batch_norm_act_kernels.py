"""Kernels of batch norm in training followed by a piecewise linear activation, and their gradients: channel by channel, for the cache.

    z = weight * (x - mean) / sqrt(variance + epsilon) + bias,    out = z where z > 0, else slope * z

Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1 and the gradients of section 3.
Shape: x, grad, out (N, C, P), all others (C,), float32 and contiguous.
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel

PART = 4096  # numbers summed in float32; these sums are added in float64
ZERO, ONE = np.float32(0), np.float32(1)
PLANES, NUMBERS = "float32[:, :, ::1]", "float32[::1]"


@kernel()
def distances(plane, mean):
    """Sums of x - mean and of (x - mean)^2."""
    first = second = 0.0
    for start in range(0, len(plane), PART):
        part = plane[start : start + PART]
        one = two = ZERO
        for q in range(len(part)):
            distance = part[q] - mean
            one += distance
            two += distance * distance
        first += float(one)
        second += float(two)
    return first, second


@kernel(f"void({PLANES}, {NUMBERS}, {NUMBERS}, {NUMBERS}, float32, {NUMBERS}, {NUMBERS}, {PLANES})")
def forward(x, weight, bias, slope, epsilon, mean, variance, out):
    """Writes `out`, and the `mean` and `variance` (biased) of every channel."""
    batch, channels, pixels = x.shape
    count = batch * pixels
    for c in range(channels):
        total = 0.0
        for n in range(batch):
            total += distances(x[n, c], ZERO)[0]
        center = np.float32(total / count)
        total = 0.0
        for n in range(batch):
            total += distances(x[n, c], center)[1]
        mean[c], variance[c] = center, total / count
        scale, shift, low = np.float32(weight[c] / np.sqrt(variance[c] + epsilon)), bias[c], slope[c]
        for n in range(batch):
            source, target = x[n, c], out[n, c]
            for q in range(pixels):
                z = (source[q] - center) * scale + shift
                target[q] = z * (ONE if z > 0 else low)


@kernel()
def slopes(source, grad, center, scale, shift, low):
    """Of one plane, sums of dL/dz, of (x - mean) * dL/dz, and of dL/dslope."""
    first = second = third = 0.0
    for start in range(0, len(source), PART):
        part, above = source[start : start + PART], grad[start : start + PART]
        one = two = three = ZERO
        for q in range(len(part)):
            g, distance = above[q], part[q] - center
            z = distance * scale + shift
            inner = g * (ONE if z > 0 else low)
            one += inner
            two += inner * distance
            three += g * (ZERO if z > 0 else z)
        first += float(one)
        second += float(two)
        third += float(three)
    return first, second, third


@kernel(
    f"void({PLANES}, {PLANES}, {NUMBERS}, {NUMBERS}, {NUMBERS}, float32, {NUMBERS}, {NUMBERS}, {PLANES}, {NUMBERS}, {NUMBERS}, {NUMBERS})"
)
def gradients(x, grad, weight, bias, slope, epsilon, mean, variance, of_x, of_weight, of_bias, of_slope):
    """From dL/dout in `grad` those of x, weight, bias and slope."""
    batch, channels, pixels = x.shape
    count = batch * pixels
    for c in range(channels):
        inverse = 1 / np.sqrt(np.float64(variance[c] + epsilon))
        center, scale, shift, low = mean[c], np.float32(weight[c] * inverse), bias[c], slope[c]
        of_z = of_distance = of_low = 0.0
        for n in range(batch):
            one, two, three = slopes(x[n, c], grad[n, c], center, scale, shift, low)
            of_z += one
            of_distance += two
            of_low += three
        of_weight[c], of_bias[c], of_slope[c] = of_distance * inverse, of_z, of_low
        common, tilt = np.float32(of_z / count), np.float32(of_distance * inverse * inverse / count)
        for n in range(batch):
            source, above, target = x[n, c], grad[n, c], of_x[n, c]
            for q in range(pixels):
                g, distance = above[q], source[q] - center
                inner = g * (ONE if distance * scale + shift > 0 else low)
                target[q] = scale * (inner - common - distance * tilt)
