"""Exceptions that skxmc adds to those of Python and scikit-learn."""

__all__ = ["TrainingDivergedError"]


class TrainingDivergedError(ArithmeticError):
    """The training loss became NaN or infinite, so that no model was kept."""
