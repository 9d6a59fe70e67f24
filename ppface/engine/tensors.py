"""The tensors of a batch, as the model and the losses receive them."""

from typing import Any

from ppface.core.errors import UserError


class Tensors(dict):
    """The tensors of one batch by name; asking for a missing one raises a UserError: the data does not fit this model or loss."""

    def __missing__(self, key: str) -> Any:
        raise UserError(f"the model or loss needs '{key}', but the data has {', '.join(self)}: choose a data set that yields it")
