"""Anchors against four nested loops."""

import numpy as np
import paddle
import pytest

from ppface.ops.anchors import level_anchors


@pytest.mark.parametrize("size", [(640, 640), (321, 517), (5, 9)])
def test_anchors_go_by_level_row_column_and_size(size):
    height, width = size
    steps, min_sizes = [8, 16], [[16, 24], [32, 48.5]]
    levels = [(-(-height // step), -(-width // step)) for step in steps]
    want = [
        ((column + 0.5) * step / width, (row + 0.5) * step / height, side / width, side / height)
        for (rows, columns), step, sides in zip(levels, steps, min_sizes, strict=True)
        for row in range(rows)
        for column in range(columns)
        for side in sides
    ]
    got = level_anchors([paddle.to_tensor(level) for level in levels], paddle.to_tensor(size), steps, min_sizes)
    np.testing.assert_allclose(got.numpy(), np.array(want), rtol=1e-6)
