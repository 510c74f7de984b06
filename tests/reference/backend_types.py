"""Types of backend for the tests of settings and registry, named there as "tests.reference.backend_types:…"."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict, SecretStr

from emolytics.backend import Context
from emolytics.identity import Denied, Outcome, Reason, Redirect
from emolytics.setting_types import BackendSettings, Duration, LocalPath, Secret, Section

if TYPE_CHECKING:
    from somewhere_else import Gate  # type: ignore[import-not-found]

HERE = __name__


def _told_apart(secret: SecretStr) -> SecretStr:
    if secret.get_secret_value().isdigit():
        raise ValueError(f"{secret.get_secret_value()} is a number")
    return secret


class GateAttributes(Section):
    """An inner table."""

    group: str = "cn"


class GateSettings(BackendSettings):
    """One key of each kind."""

    password: Annotated[Secret, AfterValidator(_told_apart)] = SecretStr("none")
    timeout: Duration | None = None
    ca_file: LocalPath | None = None
    servers: tuple[str, ...] = ()
    attributes: GateAttributes = GateAttributes()


class Anything(BackendSettings):
    """Stands in for a type that is not installed."""

    model_config = ConfigDict(extra="allow")


class GateBackend:
    """Knows nobody. Remembers who was opened and closed, in order."""

    closed: ClassVar[list[str]] = []

    def __init__(self, options: GateSettings, context: Context) -> None:
        self.name = context.name
        self.options = options

    def check_health(self) -> None: ...

    def close(self) -> None:
        self.closed.append(self.name)

    def authenticate(self, username: str, password: str) -> Outcome:
        return Denied(Reason.UNKNOWN_SUBJECT)


class WayBackend(GateBackend):
    """A redirect backend."""

    authenticate = None  # type: ignore[assignment]

    def begin(self, callback_url: str, *, fresh: bool = False) -> Redirect:
        return Redirect(callback_url, {})

    def complete(self, params: Mapping[str, str], pending: Mapping[str, str]) -> Outcome:
        return Denied(Reason.BAD_CALLBACK)

    def logout_url(self, held: object, return_to: str) -> None: ...


class Idle:
    """A backend that can sign nobody in."""

    def __init__(self, options: GateSettings, context: Context) -> None:
        self.name = context.name

    def check_health(self) -> None: ...

    def close(self) -> None:
        GateBackend.closed.append(self.name)


class Unclosable(GateBackend):
    def close(self) -> None:
        raise OSError("the line is dead")


def open_gate(settings: GateSettings, context: "Context") -> "Gate":
    """A factory whose result only a type checker could import."""
    return GateBackend(settings, context)


def open_anything(settings: Anything, context: Context) -> GateBackend:
    return GateBackend(GateSettings(type=settings.type), context)


def open_thing(settings: GateSettings, context: Context) -> object:
    return object()


def open_misnamed(settings: GateSettings, context: Context) -> GateBackend:
    backend = GateBackend(settings, context)
    backend.name = "other"
    return backend


def open_broken(settings: GateSettings, context: Context) -> GateBackend:
    raise RuntimeError(f"cannot log in with {settings.password.get_secret_value()}")


def open_untyped(settings, context):  # type: ignore[no-untyped-def]
    return GateBackend(settings, context)


def open_mistyped(settings: dict[str, str], context: Context) -> object:
    return settings, context


def open_unresolved(settings: "Gate", context: Context) -> object:
    return settings, context


def open_nothing() -> None: ...


not_callable = 3
