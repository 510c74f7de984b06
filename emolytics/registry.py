"""From a table of settings.toml to an opened backend: its type, its settings model, the backend itself.

A type is the name of an entry point in the group `emolytics.backends`, or `package.module:Class`. Either
names a factory, a class or a function, called with the backend's settings and a `Context`. Only types that
the settings name are imported.
"""

import inspect
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

from emolytics.backend import CAPABILITIES, Backend, Context, PasswordBackend, RedirectBackend
from emolytics.errors import EmolyticsError, Problem, SettingsError
from emolytics.setting_types import BackendSettings
from emolytics.settings_problems import held_secrets, masked, unknown
from emolytics.settings_source import quoted

if TYPE_CHECKING:
    from emolytics.settings import Settings

_log = logging.getLogger(__name__)

GROUP = "emolytics.backends"
OBJECT_NAME = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"

Factory = Callable[[Any, Context], Backend]


class BackendTypeError(ValueError):
    """The type cannot be used. The text says why and what mends it."""


@dataclass(frozen=True, slots=True)
class BackendType:
    """What opens backends of one type, and the model of their settings."""

    factory: Factory
    settings_model: type[BackendSettings]


@dataclass(frozen=True, slots=True)
class ConfiguredBackend:
    """One enabled table of `[backends]`, checked."""

    name: str
    type: str
    options: BackendSettings
    factory: Factory


@dataclass(frozen=True, slots=True)
class OpenedBackend:
    """A backend at work, and the settings that say whom the core asks it about."""

    name: str
    options: BackendSettings
    backend: Backend


def installed_types() -> tuple[str, ...]:
    """The names that entry points claim, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def backend_type(name: str) -> BackendType:
    """Import what stands behind a type. Raises `BackendTypeError`."""
    factory = _imported(name) if re.fullmatch(OBJECT_NAME, name) else _installed(name)
    return BackendType(factory, _settings_model(factory))


def open_backends(settings: "Settings", make_context: Callable[[str], Context]) -> tuple[OpenedBackend, ...]:
    """Open every configured backend, in declared order; `make_context` is given each one's name.

    Raises `SettingsError` with every backend that will not do, or what a backend itself raises; those opened
    before are closed then.
    """
    opened: list[OpenedBackend] = []
    problems: list[Problem] = []
    try:
        for configured in settings.backends:
            try:
                _open(configured, make_context(configured.name), opened)
            except SettingsError as error:
                problems.extend(error.problems)
    except BaseException:
        close_backends(opened)
        raise
    if problems:
        close_backends(opened)
        raise SettingsError(problems)
    return tuple(opened)


def close_backends(opened: Sequence[OpenedBackend]) -> None:
    """Close them in reverse order; one that fails to close does not keep the others open."""
    for each in reversed(opened):
        try:
            each.backend.close()
        except Exception as error:
            _log.warning("backend %s did not close: %s", each.name, type(error).__name__)


def _open(configured: ConfiguredBackend, context: Context, opened: list[OpenedBackend]) -> None:
    name, options = configured.name, configured.options
    try:
        backend: Any = configured.factory(options, context)
    except EmolyticsError:
        raise
    except Exception as error:
        reason = masked(f"{type(error).__name__}: {error}", held_secrets(options))
        raise _refused(name, f"could not be opened: {reason}") from error
    if callable(getattr(backend, "close", None)):
        opened.append(OpenedBackend(name, options, backend))
    if fault := _fault(backend, options, context):
        raise _refused(name, fault)


def _fault(backend: Any, options: BackendSettings, context: Context) -> str:
    """Why the core cannot work with this object, or nothing."""
    called = getattr(backend, "name", None)
    missing = [member for member in ("name", "check_health", "close") if not hasattr(backend, member)]
    if missing:
        return f"opened as something that is no backend: it lacks {', '.join(missing)}"
    if not isinstance(backend, CAPABILITIES):
        capabilities = ", ".join(capability.__name__ for capability in CAPABILITIES)
        return f"opened as something that can sign nobody in: it matches none of {capabilities}"
    if called != context.name:
        return f"calls itself {quoted(str(called))}; its name has to be the one that its context gives"
    if isinstance(backend, RedirectBackend) and not context.public_url:
        return "sends people to a provider, which needs emolytics.public_url to send them back to"
    if options.basic and not isinstance(backend, PasswordBackend):
        return "checks no passwords, so that basic = true has no meaning for it"
    return ""


def _refused(name: str, message: str) -> SettingsError:
    return SettingsError([Problem(f"backends.{name}", message)])


def _installed(name: str) -> Factory:
    claims = {
        (entry.dist.name if entry.dist else "unknown", entry.value): entry
        for entry in entry_points(group=GROUP, name=name)
    }
    if not claims:
        raise BackendTypeError(
            f"{quoted(name)} {unknown(name, installed_types(), what='type of backend', others='installed')}"
        )
    if len(claims) > 1:
        both = " and ".join(f"{value} of {distribution}" for distribution, value in sorted(claims))
        raise BackendTypeError(f"the type {quoted(name)} is claimed twice, by {both}: uninstall one of them")
    return _imported(next(iter(claims.values())).value)


def _imported(name: str) -> Factory:
    module, _, attribute = name.partition(":")
    try:
        factory = attrgetter(attribute)(import_module(module))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise BackendTypeError(f"cannot import {quoted(name)}: {reason}") from error
    if not callable(factory):
        raise BackendTypeError(f"{quoted(name)} is neither a class nor a function")
    return factory  # type: ignore[no-any-return]


def _settings_model(factory: Factory) -> type[BackendSettings]:
    model = _first_annotation(factory)
    if not (isinstance(model, type) and issubclass(model, BackendSettings)):
        name = getattr(factory, "__qualname__", type(factory).__name__)
        raise BackendTypeError(
            f"the first parameter of {name} must be annotated with a subclass of BackendSettings"
        )
    return model


def _first_annotation(factory: Any) -> Any:
    """Resolve this annotation alone: the others may name what only a type checker imports."""
    function = getattr(factory, "__init__", None) if isinstance(factory, type) else inspect.unwrap(factory)
    try:
        parameter = next(iter(inspect.signature(factory).parameters.values()))
        named = SimpleNamespace(__annotations__={"first": parameter.annotation})
        return get_type_hints(named, globalns=getattr(function, "__globals__", {}))["first"]
    except (StopIteration, NameError, TypeError, ValueError):
        return None
