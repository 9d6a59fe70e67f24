"""The kernels of depthwise convolution, in Numba.

Each padded plane is split into stride x stride phases (every stride-th row and column), laid out as rows of `width` numbers. Tap
(ky, kx) of the kernel then reads phase (ky % stride, kx % stride), shifted by ky // stride rows and kx // stride columns, and every
innermost loop runs over consecutive numbers, in blocks that stay in the first-level cache.
"""

import functools
from collections.abc import Callable

import numba
import numpy as np

from ppface.ops.cpu.compiled import READ, WRITE, compiled

BLOCK = 2048  # numbers of a block of rows: 8 KB
_IN, _OUT = ("float32", 4, READ), ("float32", 4, WRITE)
_PHASES, _PLANE = ("float32", 3, WRITE), ("float32", 1, WRITE)


def scratch(height: int, width: int, side: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Memory for the phases of one padded plane, and for one plane of an output (height, width) with as long rows."""
    more = (side - 1) // stride
    length = (height + more) * (width + more)
    return np.empty((stride, stride, length + more), "float32"), np.empty(length + 2 * more * (width + more + 1), "float32")


@numba.njit
def split(plane, padding, stride, width, phases):
    """One plane, padded with zeros, into its phases."""
    phases[:] = 0
    rows = phases.shape[2] // width
    for y in range(min(plane.shape[0], rows * stride - padding)):
        row, phase = (y + padding) // stride, phases[(y + padding) % stride]
        for b in range(stride):
            first = (b - padding) % stride
            column = (first + padding) // stride
            source, target = plane[y, first:], phase[b, row * width + column :]
            for i in range(min((source.size + stride - 1) // stride, width - column)):
                target[i] = source[i * stride]


@numba.njit
def join(phases, padding, stride, width, plane):
    """The phases of a padded plane into the plane without its padding."""
    plane[:] = 0
    rows = phases.shape[2] // width
    for y in range(min(plane.shape[0], rows * stride - padding)):
        row, phase = (y + padding) // stride, phases[(y + padding) % stride]
        for b in range(stride):
            first = (b - padding) % stride
            column = (first + padding) // stride
            source, target = phase[b, row * width + column :], plane[y, first:]
            for i in range(min((target.size + stride - 1) // stride, width - column)):
                target[i * stride] = source[i]


@functools.cache
def forward_kernel(side: int, stride: int) -> Callable:
    """(x, weight, padding, phases, plane, out) -> None"""
    more = (side - 1) // stride

    def forward(x, weight, padding, phases, plane, out):
        height, width = out.shape[2], out.shape[3]
        wide = width + more
        rows = max(1, BLOCK // wide)
        for n in range(x.shape[0]):
            for c in range(x.shape[1]):
                split(x[n, c], padding, stride, wide, phases)
                for top in range(0, height, rows):
                    start, count = top * wide, min(rows, height - top) * wide
                    plane[:count] = 0
                    for ky in range(side):
                        for b in range(stride):
                            taps, source = weight[c, 0, ky], phases[ky % stride, b, start + ky // stride * wide :]
                            for i in range(count):
                                total = plane[i]
                                for q in range((side - b + stride - 1) // stride):
                                    total += taps[b + q * stride] * source[i + q]
                                plane[i] = total
                    for y in range(min(rows, height - top)):
                        for i in range(width):
                            out[n, c, top + y, i] = plane[y * wide + i]

    return compiled(forward, _IN, _IN, "int64", _PHASES, _PLANE, _OUT)


@functools.cache
def input_gradient_kernel(side: int, stride: int) -> Callable:
    """(gradient of the output, weight, padding, phases, plane, out) -> None"""
    more = (side - 1) // stride

    def by_input(grad, weight, padding, phases, plane, out):
        height, width = grad.shape[2], grad.shape[3]
        wide = width + more
        lead, length = more * (wide + 1), (height + more) * wide  # zeros before the first row of the gradient
        for n in range(grad.shape[0]):
            for c in range(grad.shape[1]):
                plane[:] = 0
                for y in range(height):
                    for i in range(width):
                        plane[lead + y * wide + i] = grad[n, c, y, i]
                phases[:] = 0
                for start in range(0, length, BLOCK):
                    count = min(BLOCK, length - start)
                    for ky in range(side):
                        taps, source = weight[c, 0, ky], plane[lead + start - ky // stride * wide - more :]
                        for b in range(stride):
                            target = phases[ky % stride, b, start:]
                            for i in range(count):
                                total = target[i]
                                for q in range((side - b + stride - 1) // stride):
                                    total += taps[b + q * stride] * source[i + more - q]
                                target[i] = total
                join(phases, padding, stride, wide, out[n, c])

    return compiled(by_input, _IN, _IN, "int64", _PHASES, _PLANE, _OUT)


@functools.cache
def weight_gradient_kernel(side: int, stride: int) -> Callable:
    """(gradient of the output, x, padding, phases, plane, out) -> None"""
    more = (side - 1) // stride

    def by_weight(grad, x, padding, phases, plane, out):
        height, width = grad.shape[2], grad.shape[3]
        wide = width + more
        out[:] = 0
        for n in range(grad.shape[0]):
            for c in range(grad.shape[1]):
                split(x[n, c], padding, stride, wide, phases)
                plane[:] = 0
                for y in range(height):
                    for i in range(width):
                        plane[y * wide + i] = grad[n, c, y, i]
                for start in range(0, height * wide, BLOCK):
                    count = min(BLOCK, height * wide - start)
                    for ky in range(side):
                        for kx in range(side):
                            source = phases[ky % stride, kx % stride, start + ky // stride * wide + kx // stride :]
                            factor, total = plane[start:], np.float32(0)
                            for i in range(count):
                                total += factor[i] * source[i]
                            out[c, 0, ky, kx] += total

    return compiled(by_weight, _IN, _IN, "int64", _PHASES, _PLANE, _OUT)
