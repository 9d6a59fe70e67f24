"""Random tensors under PyTorch's names, for a forward that is written from the names of a published network alone."""

import numpy as np
import paddle
import paddle.nn.functional as F


class TorchTensors:
    """Draws every tensor when it is first asked for; `tensors` holds all of them by name."""

    def __init__(self, rng: np.random.Generator):
        self.rng, self.tensors = rng, {}

    def get(self, name, shape, low, high):
        if name not in self.tensors:
            self.tensors[name] = self.rng.uniform(low, high, shape).astype("float32")
        return paddle.to_tensor(self.tensors[name])

    def conv(self, x, conv, norm, out, kernel, stride=1, groups=1, slope=0.0):
        """Convolution without bias, batch norm in evaluation, and a factor on negative numbers: 0 for ReLU, 1 for no activation."""
        bound = (6 / (x.shape[1] // groups * kernel * kernel)) ** 0.5
        weight = self.get(f"{conv}.weight", (out, x.shape[1] // groups, kernel, kernel), -bound, bound)
        x = F.conv2d(x, weight, None, stride, kernel // 2, 1, groups)
        bounds = {"running_mean": (-0.1, 0.1), "running_var": (0.7, 1.5), "weight": (0.7, 1.2), "bias": (-0.2, 0.2)}
        mean, variance, scale, shift = (self.get(f"{norm}.{key}", out, *bound).reshape([1, -1, 1, 1]) for key, bound in bounds.items())
        x = (x - mean) / paddle.sqrt(variance + 1e-5) * scale + shift
        return paddle.where(x > 0, x, slope * x)
