"""The kernel that widens float16, which NumPy converts one number at a time, to float32.

Source: IEEE 754-2019, table 3.5: a float16 has 5 bits of exponent with bias 15, a float32 8 with bias 127.
Shape: rows (N, D) uint16, the bits of finite float16, out (N, D) float32, both contiguous.
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel

SHIFT = np.float32(2.0**112)  # the difference of the two biases


@kernel("void(uint16[:, ::1], float32[:, ::1])")
def widen(rows, out):
    """Exact, also for subnormal numbers; not for infinities and NaN."""
    bits = out.view(np.uint32)
    for n in range(rows.shape[0]):
        row, target, numbers = rows[n], bits[n], out[n]
        for i in range(len(row)):
            half = np.uint32(row[i])
            target[i] = ((half & np.uint32(0x8000)) << np.uint32(16)) | ((half & np.uint32(0x7FFF)) << np.uint32(13))
        for i in range(len(numbers)):
            numbers[i] *= SHIFT
