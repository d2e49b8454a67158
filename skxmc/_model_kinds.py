"""The closed table of classes whose instances model files may hold."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """How instances of a class are stored: its attributes, and the way back."""

    cls: type
    fields: dict[str, str]
    get: Callable[[Any], dict]
    restore: Callable[[type, dict], Any]


TABLE: dict[str, Kind] = {}


def restore_vars(cls, state):
    """Make an instance with these attributes, without its `__init__`."""
    instance = cls.__new__(cls)
    vars(instance).update(state)
    return instance


def register(cls, fields, *, get=vars, restore=restore_vars):
    """Let a class be stored.

    Parameters
    ----------
    cls : type
        Its name is what files call it.
    fields : dict of str to str
        Its attributes, and what they have to be, see `check_fields`.
    get : callable
        Maps an instance to its attributes, a dict.
    restore : callable
        Maps the class and a dict of attributes to an instance.
    """
    TABLE[cls.__name__] = Kind(cls, fields, get, restore)
