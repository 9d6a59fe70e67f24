"""The kernel of input normalisation.

Source: LeCun et al. 1998, Efficient BackProp, section 4.3.
Shape: image (N, C, P) uint8, mean, std (C,), channels (C,) int64, out (N, C, P) float32, all contiguous.
"""

import numpy as np

from ppface.ops.cpu.compiler import kernel


@kernel("void(uint8[:, :, ::1], float32[::1], float32[::1], int64[::1], float32[:, :, ::1])")
def standardize(image, mean, std, channels, out):
    """(image - mean) / std of every channel, rounded once each as Paddle does; out[:, i] is that of image[:, channels[i]]."""
    for n in range(image.shape[0]):
        for i in range(image.shape[1]):
            c = channels[i]
            source, target, center, width = image[n, c], out[n, i], mean[c], std[c]
            for q in range(len(source)):
                target[q] = (np.float32(source[q]) - center) / width
