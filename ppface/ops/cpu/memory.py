"""A tensor's own memory as an array, and a check for operators whose gradients are kernels."""

import ctypes
import math

import numpy as np
import paddle


def view(tensor: paddle.Tensor) -> np.ndarray:
    """A contiguous float32 tensor's numbers; not through DLPack, whose arrays NumPy before 2.1 makes read-only. Keep the tensor alive."""
    shape = tensor.shape
    memory = (ctypes.c_float * math.prod(shape)).from_address(tensor.data_ptr())  # tensor.size takes four times as long as all of this
    return np.ctypeslib.as_array(memory).reshape(shape)


def refuse_second_order(operator: str) -> None:
    """For a backward pass: raises if gradients of the gradients are wanted (create_graph=True), which would silently be zero.

    Raises:
        RuntimeError: they are.
    """
    if paddle.is_grad_enabled():
        raise RuntimeError(f"{operator}: expected create_graph=False, received True: the CPU kernels have no second derivatives")
