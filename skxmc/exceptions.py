"""Exceptions that skxmc adds to those of Python and scikit-learn."""

__all__ = ["CorruptFileError", "FormatVersionError", "TrainingDivergedError"]


class TrainingDivergedError(ArithmeticError):
    """The training loss became NaN or infinite, so that no model was kept."""


class CorruptFileError(ValueError):
    """A model file is damaged, incomplete, or was not written by skxmc."""


class FormatVersionError(ValueError):
    """A model file was written in a newer format than this skxmc reads."""
