"""What backbones ask of their sizes and, if they take pictures of one size alone, of the pictures that they get."""

import paddle

from ppface.core.errors import DataError


def check_picture_size(who: str, x: paddle.Tensor, size: tuple[int, int]) -> None:
    """Raises DataError for a batch of pictures of another size; in a static graph the exported size stands in their place.

    Args:
        who: the backbone's name.
        x: (N, C, H, W).
        size: (height, width) that the backbone was made for.
    """
    if not paddle.in_dynamic_mode():
        return
    received = list(x.shape[2:])
    if received != list(size):
        advice = "give the data set this size, or align or resize the pictures"
        raise DataError(f"{who}: expected pictures of [height, width] = {list(size)}, its input_size, received {received}: {advice}")


def check_sizes(who: str, embedding_size: int, input_size: tuple[int, int], stride: int = 16) -> None:
    """Raises ValueError for sizes that a backbone cannot have.

    Args:
        who: the backbone's name.
        embedding_size: at least 1.
        input_size: (height, width), multiples of `stride`.
        stride: pixels of a picture for one of the last feature map.
    """
    if embedding_size < 1:
        raise ValueError(f"{who}: expected embedding_size of at least 1, received {embedding_size}")
    if min(input_size) < stride or any(side % stride for side in input_size):
        raise ValueError(f"{who}: expected input_size in multiples of {stride}, received {list(input_size)}")
