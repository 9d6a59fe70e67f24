"""Class labels of a batch, checked."""

import numpy as np
import paddle

from ppface.core.errors import DataError

INTEGERS = (paddle.int64, paddle.int32, paddle.int16, paddle.int8, paddle.uint8)


def labels_of(who: str, label: paddle.Tensor, rows: int, class_num: int | None) -> np.ndarray:
    """The labels as (rows,) int64 numbers.

    Raises:
        DataError: no integers, not as many as rows, or one outside 0..class_num-1.
        ValueError: class_num is None, as in a head that was built for embeddings only.
    """
    if class_num is None:
        raise ValueError(
            f"{who}: training needs class_num, the number of identities, but it is not set: set it, or use data that supplies it"
        )
    if label.dtype not in INTEGERS:
        raise DataError(f"{who}: expected integers as labels, received {str(label.dtype).removeprefix('paddle.')}")
    classes = label.flatten().numpy().astype("int64")
    if len(classes) != rows:
        raise DataError(f"{who}: expected a label for each of the {rows} rows, received {len(classes)}")
    odd = classes[(classes < 0) | (classes >= class_num)]
    if odd.size:
        raise DataError(f"{who}: expected labels in 0..{class_num - 1} (class_num={class_num}), received {odd[0]}")
    return classes
