"""Sign people in to any Flask application, through backends chosen in a settings file."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emolytics.app import create_app
    from emolytics.extension import Emolytics
    from emolytics.roles import roles_required

__version__ = "0.1.0"

__all__ = ["Emolytics", "create_app", "roles_required"]

_HOME = {"Emolytics": "extension", "create_app": "app", "roles_required": "roles"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line starts without loading Flask for `--help`."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"emolytics.{_HOME[name]}"), name)
