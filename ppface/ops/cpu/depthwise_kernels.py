"""Kernels of depthwise convolution and its gradients: plain loops that LLVM vectorises.

A plane is first laid out so that every tap of the kernel reads consecutive numbers. With stride S the padded plane is split into S * S
phases, phase (a, b) with the pixels (S * i + a, S * j + b). Tap (ky, kx) of the output (i, j) is then in phase (ky % S, kx % S) at
(i + ky // S, j + kx // S): at a fixed distance from it. All rows of a phase are L = columns of the output + (K - 1) // S long and follow
each other, so one loop runs over many rows of a small plane; the last (K - 1) // S columns of each row are computed and discarded.

Source: Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047, section 3.1, for the operation.
Shape: x (N, C, H, W), weight (C, 1, K, K), out (N, C, (H + 2 * pad - K) // S + 1, ...), all float32 and contiguous; K 3, 5 or 7, S 1 or 2.
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel

BAND = 2048  # outputs that are summed in the first-level cache
TENSOR = "float32[:, :, :, ::1]"


@kernel()
def scatter(plane, stride, pad_y, pad_x, rows, length, phases):
    """Writes what taps read of a plane (H, W) into its phases (stride * stride * rows * length,), whose padding is zero already."""
    height, width = plane.shape
    for y in range(min(height, rows * stride - pad_y)):
        row, a = (y + pad_y) // stride, (y + pad_y) % stride
        for b in range(stride):
            first = (b - pad_x) % stride
            column = (first + pad_x) // stride
            start = ((a * stride + b) * rows + row) * length + column
            source = plane[y, first:]
            target = phases[start:][: min((width - first + stride - 1) // stride, length - column)]
            if stride == 1:
                for j in range(len(target)):
                    target[j] = source[j]
            else:
                for j in range(len(target)):
                    target[j] = source[2 * j]


@kernel()
def add_taps(total, source, offsets, weights):
    """total[q] += sum over taps t of weights[t] * source[offsets[t] + q], for 1 to 5 or 7 taps."""
    n, taps = len(total), len(weights)
    last = taps - 1
    w0, w1, w2, w3 = weights[0], weights[min(1, last)], weights[min(2, last)], weights[min(3, last)]
    a, b = source[offsets[0] :][:n], source[offsets[min(1, last)] :][:n]
    c, d = source[offsets[min(2, last)] :][:n], source[offsets[min(3, last)] :][:n]
    if taps == 1:
        for q in range(n):
            total[q] += w0 * a[q]
    elif taps == 2:
        for q in range(n):
            total[q] += w0 * a[q] + w1 * b[q]
    elif taps == 3:
        for q in range(n):
            total[q] += w0 * a[q] + w1 * b[q] + w2 * c[q]
    elif taps == 4:
        for q in range(n):
            total[q] += w0 * a[q] + w1 * b[q] + w2 * c[q] + w3 * d[q]
    elif taps == 5:
        w4, e = weights[4], source[offsets[4] :][:n]
        for q in range(n):
            total[q] += w0 * a[q] + w1 * b[q] + w2 * c[q] + w3 * d[q] + w4 * e[q]
    else:
        w4, w5, w6 = weights[4], weights[5], weights[6]
        e, f, g = source[offsets[4] :][:n], source[offsets[5] :][:n], source[offsets[6] :][:n]
        for q in range(n):
            total[q] += w0 * a[q] + w1 * b[q] + w2 * c[q] + w3 * d[q] + w4 * e[q] + w5 * f[q] + w6 * g[q]


@kernel()
def add_products(sums, grad, source, offsets):
    """sums[t] += sum over q of grad[q] * source[offsets[t] + q], for 3, 5 or 7 taps."""
    n, taps = len(grad), len(sums)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = np.float32(0)
    a, b, c = source[offsets[0] :][:n], source[offsets[1] :][:n], source[offsets[2] :][:n]
    if taps == 3:
        for q in range(n):
            s0 += grad[q] * a[q]
            s1 += grad[q] * b[q]
            s2 += grad[q] * c[q]
    else:
        d, e = source[offsets[3] :][:n], source[offsets[4] :][:n]
        for q in range(n):
            s0 += grad[q] * a[q]
            s1 += grad[q] * b[q]
            s2 += grad[q] * c[q]
            s3 += grad[q] * d[q]
            s4 += grad[q] * e[q]
        if taps == 7:
            f, g = source[offsets[5] :][:n], source[offsets[6] :][:n]
            for q in range(n):
                s5 += grad[q] * f[q]
                s6 += grad[q] * g[q]
            sums[5] += s5
            sums[6] += s6
        sums[3] += s3
        sums[4] += s4
    sums[0] += s0
    sums[1] += s1
    sums[2] += s2


@kernel(f"void({TENSOR}, {TENSOR}, int64, int64, int64, {TENSOR})")
def forward(x, weight, stride, pad_y, pad_x, out):
    """out[n, c, i, j] = sum over (ky, kx) of weight[c, 0, ky, kx] * padded x[n, c, stride * i + ky, stride * j + kx]."""
    size, height, width = weight.shape[2], out.shape[2], out.shape[3]
    more = (size - 1) // stride
    rows, length = height + more, width + more
    phases = np.zeros(stride * stride * rows * length, np.float32)
    band = max(1, min(height, BAND // length))
    total, offsets = np.empty(band * length, np.float32), np.empty(size, np.int64)
    for c in range(x.shape[1]):
        for n in range(x.shape[0]):
            scatter(x[n, c], stride, pad_y, pad_x, rows, length, phases)
            for top in range(0, height, band):
                count = min(band, height - top)
                part = total[: count * length - more]
                part[:] = 0
                for ky in range(size):
                    for kx in range(size):
                        phase = (ky % stride) * stride + kx % stride
                        offsets[kx] = (phase * rows + top + ky // stride) * length + kx // stride
                    add_taps(part, phases, offsets, weight[c, 0, ky])
                for i in range(count):
                    row, target = total[i * length :], out[n, c, top + i]
                    for j in range(width):
                        target[j] = row[j]


@kernel(f"void({TENSOR}, {TENSOR}, int64, int64, int64, {TENSOR})")
def input_gradient(grad, weight, stride, pad_y, pad_x, out):
    """The gradient of x from that of the output: each phase of it is a convolution of `grad` with the taps of that phase."""
    size, height, width = weight.shape[2], out.shape[2], out.shape[3]
    more = (size - 1) // stride
    rows, length = grad.shape[2] + more, grad.shape[3] + more
    before = more * (length + 1)  # zeros
    source = np.zeros(before + rows * length, np.float32)
    band = max(1, min(rows, BAND // length))
    total, offsets, taps = np.empty(band * length, np.float32), np.empty(size, np.int64), np.empty(size, np.float32)
    for c in range(grad.shape[1]):
        for n in range(grad.shape[0]):
            scatter(grad[n, c], 1, 0, 0, rows, length, source[before:])
            if height + pad_y > rows * stride or width + pad_x > length * stride:
                out[n, c] = 0  # pixels that no output has seen
            for phase in range(stride * stride):
                a, b = phase // stride, phase % stride
                first = (pad_x - b + stride - 1) // stride  # column of the phase, and of `out` below, from which it is inside
                last = min(length, (width + pad_x - b + stride - 1) // stride)
                column = first * stride + b - pad_x
                for top in range(0, rows, band):
                    count = min(band, rows - top)
                    part = total[: count * length]
                    part[:] = 0
                    for ky in range(a, size, stride):
                        used = 0
                        for kx in range(b, size, stride):
                            offsets[used] = before + (top - ky // stride) * length - kx // stride
                            taps[used] = weight[c, 0, ky, kx]
                            used += 1
                        add_taps(part, source, offsets, taps[:used])
                    for i in range(count):
                        y = (top + i) * stride + a - pad_y
                        if 0 <= y < height and first < last:
                            row, target = part[i * length + first : i * length + last], out[n, c, y, column:]
                            if stride == 1:
                                for j in range(len(row)):
                                    target[j] = row[j]
                            else:
                                for j in range(len(row)):
                                    target[2 * j] = row[j]


@kernel(f"void({TENSOR}, {TENSOR}, int64, int64, int64, {TENSOR})")
def weight_gradient(x, grad, stride, pad_y, pad_x, out):
    """out[c, 0, ky, kx] = sum over (n, i, j) of grad[n, c, i, j] * padded x[n, c, stride * i + ky, stride * j + kx]."""
    size, height, width = out.shape[2], grad.shape[2], grad.shape[3]
    more = (size - 1) // stride
    rows, length = height + more, width + more
    phases, spread = np.zeros(stride * stride * rows * length, np.float32), np.zeros(height * length, np.float32)
    sums, offsets = np.empty((size, size), np.float64), np.empty(size, np.int64)
    for c in range(x.shape[1]):
        sums[:] = 0
        for n in range(x.shape[0]):
            scatter(x[n, c], stride, pad_y, pad_x, rows, length, phases)
            scatter(grad[n, c], 1, 0, 0, height, length, spread)
            for start in range(0, height * length - more, BAND):
                part = spread[start : min(start + BAND, height * length - more)]
                for ky in range(size):
                    for kx in range(size):
                        phase = (ky % stride) * stride + kx % stride
                        offsets[kx] = (phase * rows + ky // stride) * length + kx // stride + start
                    add_products(sums[ky], part, phases, offsets)
        for ky in range(size):
            for kx in range(size):
                out[c, 0, ky, kx] = sums[ky, kx]
