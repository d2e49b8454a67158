"""The closed table of classes whose instances model files may hold."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """How instances of a class are stored: its attributes, and the way back."""

    cls: type
    fields: dict[str, str]
    get: Callable[[Any], dict]
    restore: Callable[[type, dict], Any]
    sizes: Callable[[dict], dict]


TABLE: dict[str, Kind] = {}


def restore_vars(cls, state):
    """Make an instance with these attributes, without its `__init__`."""
    instance = cls.__new__(cls)
    vars(instance).update(state)
    return instance


def attributes(*names):
    """Return a function that gives these attributes of an instance, a dict."""
    return lambda instance: {name: getattr(instance, name) for name in names}


def no_sizes(state):
    """Say that the attributes of an instance tell no sizes beside those in them."""
    return {}


def register(cls, fields, *, get=vars, restore=restore_vars, sizes=no_sizes):
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
    sizes : callable
        Maps a dict of checked attributes to further sizes that hold for the whole
        model, a dict of str to int.
    """
    TABLE[cls.__name__] = Kind(cls, fields, get, restore, sizes)
