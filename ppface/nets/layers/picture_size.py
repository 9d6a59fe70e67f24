"""What backbones of one picture size alone ask of the pictures that they get."""

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
