"""A tensor's own memory as an array."""

import ctypes

import numpy as np
import paddle


def view(tensor: paddle.Tensor) -> np.ndarray:
    """A contiguous float32 tensor's numbers; not through DLPack, whose arrays NumPy before 2.1 makes read-only. Keep the tensor alive."""
    memory = (ctypes.c_float * tensor.size).from_address(tensor.data_ptr())
    return np.ctypeslib.as_array(memory).reshape(tensor.shape)
