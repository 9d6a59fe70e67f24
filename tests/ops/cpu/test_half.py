"""float16 to float32: every finite number, by the kernel and without Numba."""

import numpy as np
import pytest

from ppface.ops.cpu import compiler, half


@pytest.mark.parametrize("numba", [True, False])
def test_every_finite_number_is_exact(monkeypatch, numba):
    if numba:
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(compiler, "available", lambda: False)
    numbers = np.arange(65536, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)].reshape(-1, 64)
    out = np.empty(numbers.shape, np.float32)
    half.widen(numbers, out)
    np.testing.assert_array_equal(out, numbers.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(out), np.signbit(numbers))
