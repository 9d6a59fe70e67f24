"""What the model and the loss are given of a batch."""

from typing import Any

from ppface.core.errors import UserError


class Tensors(dict):
    """The tensors of one step by name; a name that is not there is the user's mistake: this data does not fit this model or loss."""

    def __missing__(self, key: str) -> Any:
        raise UserError(f"the model or loss asks for '{key}', but the data has {', '.join(self)}: choose a data set that yields it")
