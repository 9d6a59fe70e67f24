"""Exceptions for mistakes of the user: each carries one clear message and the exit code of the tools."""


class UserError(Exception):
    """A mistake that the user can fix. The message names the file, key or image, what was expected, and what to do.

    Tools print `str(error)` without a traceback and exit with `exit_code`.
    """

    exit_code = 1


class ConfigError(UserError):
    """One or more mistakes in a configuration, all reported at once, one per line."""

    exit_code = 2

    def __init__(self, mistakes: list[str]):
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class DataError(UserError):
    """A data set, label file or picture that cannot be used."""

    exit_code = 3


class WeightsError(UserError):
    """A weight file that cannot be read, or that belongs to another network."""

    exit_code = 4


class NumericError(UserError):
    """A loss or gradient that is not finite: raised before the parameters are changed."""

    exit_code = 5


class SaveError(UserError):
    """A checkpoint that cannot be saved: the disk is full or not writable. Earlier checkpoints are untouched."""

    exit_code = 6
