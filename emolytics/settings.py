"""settings.toml as frozen objects with a type for every key, or every problem in it at once."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from emolytics.errors import Problem, SettingsError
from emolytics.registry import BackendTypeError, ConfiguredBackend, backend_type, installed_types
from emolytics.secret_keys import KeyList
from emolytics.setting_types import Duration, Section, format_duration
from emolytics.settings_lines import KeyPath
from emolytics.settings_problems import elsewhere, problems_of, unknown
from emolytics.settings_source import Source, quoted, read_source
from emolytics.settings_urls import CookieDomain, DatabaseUrl, Origin, PublicUrl, StoreAddress

Model = TypeVar("Model", bound=Section)

BACKEND_NAME = r"[a-z][a-z0-9_-]{0,31}"
ROUTE_WORDS = frozenset(
    {"account", "backchannel-logout", "callback", "healthz", "login", "logout", "me", "metrics", "readyz"}
    | {"static", "verify"}
)
_TABLES = frozenset({"emolytics", "backends"})
ROLE = r"[\w.:@/+-]{1,64}"
_YEAR = timedelta(days=366)


def _lasting(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= _YEAR:
        raise ValueError('must be between "1s" and "366d"')
    return value


def _printable(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must be one line of visible text")
    return value


def _given(value: Any) -> Any:
    """A default as the file would spell it: it passes through the same checks."""
    return value


def _role(value: str) -> str:
    if not re.fullmatch(ROLE, value):
        raise ValueError("a role is 1 to 64 letters, digits and _ . : @ / + -")
    return value


def _rule(value: str, info: ValidationInfo) -> str:
    backend, _, group = value.partition(":")
    if not group or not value.isprintable():
        raise ValueError('must be "BACKEND:GROUP", such as "local:admins"')
    known = (info.context or {}).get("backends", (backend,))
    if backend not in known:
        raise ValueError(f"{quoted(backend)} {unknown(backend, known, what='backend')}")
    return value


Lasting = Annotated[Duration, AfterValidator(_lasting)]
RoleName = Annotated[str, AfterValidator(_role), WithJsonSchema({"type": "string", "pattern": f"^{ROLE}$"})]
RoleRule = Annotated[
    str, AfterValidator(_rule), WithJsonSchema({"type": "string", "pattern": f"^{BACKEND_NAME}:.+$"})
]


class SessionSettings(Section):
    """`[emolytics.session]`: how long somebody stays signed in."""

    lifetime: Lasting = Field(timedelta(hours=12), description="From sign-in to the end, whatever happens.")
    idle: Lasting = Field(
        default_factory=lambda known: min(timedelta(hours=2), known.get("lifetime", _YEAR)),
        description="The longest pause between two requests.",
        json_schema_extra={"default": "2h"},
    )
    remember: Lasting = Field(timedelta(days=30), description='How long "Keep me signed in" lasts.')
    revalidate: Lasting = Field(
        timedelta(minutes=5), description="How soon somebody disabled at the source is signed out."
    )
    grace: Lasting = Field(
        timedelta(hours=1), description="How long a backend may fail to answer before its sessions end."
    )
    fresh: Lasting = Field(
        timedelta(minutes=15),
        description="How long a proof of who somebody is serves for a change of how they sign in.",
    )
    cookie_domain: CookieDomain = Field(
        "", description="The domain whose hosts share a sign-in; none: the portal's host has it for itself."
    )

    @field_validator("idle")
    @classmethod
    def _ends_within_lifetime(cls, idle: timedelta, info: ValidationInfo) -> timedelta:
        lifetime = info.data.get("lifetime", idle)
        if idle > lifetime:
            raise ValueError(f'must not be longer than lifetime, which is "{format_duration(lifetime)}"')
        return idle


class LimitSettings(Section):
    """`[emolytics.limits]`: how many wrong passwords are borne."""

    storage: StoreAddress = Field(
        _given("database"), description='"database", or the address of a Redis server.'
    )
    failures: Annotated[StrictInt, Field(ge=1, le=1000)] = Field(
        10, description="Password checks per account in the window, wherever they come from."
    )
    pair_failures: Annotated[StrictInt, Field(ge=1, le=1000)] = Field(
        default_factory=lambda known: known.get("failures", 10),
        description="Password checks per account from one address block; fewer leave the owner some elsewhere.",
        json_schema_extra={"default": 10},
    )
    address_failures: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        100, description="Password checks per address block (IPv4 /32, IPv6 /64), over all accounts."
    )
    redirects: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        1000,
        description="Sign-ins at providers per address block that are begun and not finished, or refused.",
    )
    window: Lasting = Field(timedelta(minutes=15), description="The time over which checks are counted.")

    @field_validator("pair_failures")
    @classmethod
    def _no_more_than_all(cls, pair: int, info: ValidationInfo) -> int:
        if pair > info.data.get("failures", pair):
            raise ValueError(f"must not be more than failures, which is {info.data['failures']}")
        return pair


class HashingSettings(Section):
    """`[emolytics.hashing]`: how local passwords are stored (ASVS 11.4.2)."""

    scheme: Literal["bcrypt"] = Field("bcrypt", description="The password hashing function.")
    cost: Annotated[StrictInt, Field(ge=4, le=16)] = Field(
        12, description="Each step doubles the work of a guess."
    )
    concurrency: Annotated[StrictInt, Field(ge=0, le=256)] = Field(
        0, description="Hashes computed at once; 0: as many as there are processors, less one."
    )
    places: Annotated[StrictInt, Field(ge=0, le=1024)] = Field(
        0,
        description="Sign-ins that may be hashed or wait for it; one more gets 503. 0: three of four threads of `run`.",
    )


class PasswordSettings(Section):
    """`[emolytics.passwords]`: what a new local password must be (NIST SP 800-63B section 3.1.1.2)."""

    minimum_length: Annotated[StrictInt, Field(ge=8, le=64)] = Field(12, description="In characters.")
    context_words: tuple[Annotated[str, StringConstraints(min_length=3, max_length=64)], ...] = Field(
        (),
        description="Names of product, host and organisation that no password may be made of (ASVS 6.2.11).",
    )


class PortalSettings(Section):
    """`[emolytics]`: the core."""

    title: Annotated[str, StringConstraints(max_length=80), AfterValidator(_printable)] = Field(
        "Emolytics", description="What the pages call this portal."
    )
    database: DatabaseUrl = Field(
        _given("sqlite:///instance/emolytics.db"), description="Any synchronous SQLAlchemy URL."
    )
    secret_key: KeyList = Field(
        _given({"file": "instance/secret_key"}), description="Signs and encrypts. In a list, all verify."
    )
    public_url: PublicUrl = Field(
        "", description="The address that people see; redirect URIs are built from it."
    )
    trusted_proxies: Annotated[StrictInt, Field(ge=0, le=16)] = Field(
        0, description="How many proxies in front set X-Forwarded-*."
    )
    allowed_redirects: tuple[Origin, ...] = Field((), description="Further origins that `next` may name.")
    default_roles: tuple[RoleName, ...] = Field((), description="Roles that every user has.")
    session: SessionSettings = SessionSettings()
    limits: LimitSettings = LimitSettings()
    hashing: HashingSettings = HashingSettings()
    passwords: PasswordSettings = PasswordSettings()
    roles: Mapping[RoleName, tuple[RoleRule, ...]] = Field(
        default_factory=dict, description='Each role with the groups that grant it, as "BACKEND:GROUP".'
    )


class Settings(PortalSettings):
    """All of settings.toml, checked. `file` is None when a mapping was given."""

    backends: tuple[ConfiguredBackend, ...]
    folder: Path
    file: Path | None


def load_settings(source: str | PathLike[str] | Mapping[str, Any]) -> Settings:
    """Read and check a settings file, or a mapping of the same shape with the current folder as its place.

    Raises `SettingsError` with every problem: unknown keys, wrong values, types that are not there.
    """
    return _Loader(read_source(source)).settings()


class _Loader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._problems: list[Problem] = []
        self._context: dict[str, Any] = {"folder": source.folder}

    def settings(self) -> Settings:
        for key in sorted(map(str, self._source.data.keys() - _TABLES)):
            hint = elsewhere(key, PortalSettings, ("emolytics",))
            self._refuse((key,), hint or unknown(key, _TABLES, what="table"))
        tables, table = self._table("backends"), self._table("emolytics")
        self._context |= {"backends": tables, "public_url": table.get("public_url", "")}
        portal = self._checked(PortalSettings, table, ("emolytics",))
        backends = tuple(self._backends(tables))
        if not portal or self._problems:
            raise SettingsError(sorted(self._problems, key=lambda problem: problem.line or 0))
        return Settings.model_construct(
            **dict(portal), backends=backends, folder=self._source.folder, file=self._source.file
        )

    def _backends(self, tables: Mapping[str, Any]) -> Iterator[ConfiguredBackend]:
        enabled = 0
        for name, value in tables.items():
            path = ("backends", name)
            table = self._as_table(value, path)
            if table.get("enabled") is False:
                continue
            enabled += 1
            self._check_name(name, path)
            configured = self._backend(name, table, path)
            if configured:
                yield configured
        if not enabled:
            self._refuse(
                ("backends",), 'none is on: add a table such as [backends.local] with type = "local"'
            )

    def _backend(self, name: str, table: Mapping[str, Any], path: KeyPath) -> ConfiguredBackend | None:
        kind = table.get("type")
        if not isinstance(kind, str):
            self._refuse(
                (*path, "type"), f"must name a type of backend; installed: {', '.join(installed_types())}"
            )
            return None
        if not isinstance(table.get("enabled", True), bool):
            self._refuse((*path, "enabled"), "must be true or false")
        try:
            found = backend_type(kind)
        except BackendTypeError as error:
            self._refuse((*path, "type"), str(error))
            return None
        options = self._checked(found.settings_model, table, path)
        return ConfiguredBackend(name, kind, options, found.factory) if options else None

    def _check_name(self, name: str, path: KeyPath) -> None:
        if not re.fullmatch(BACKEND_NAME, name):
            self._refuse(path, "a backend's name begins with a-z and has at most 32 of a-z, 0-9, - and _")
        elif name in ROUTE_WORDS:
            self._refuse(path, f"a backend cannot be called {quoted(name)}: that is a page's name")

    def _table(self, name: str) -> Mapping[str, Any]:
        return self._as_table(self._source.data.get(name, {}), (name,))

    def _as_table(self, value: Any, path: KeyPath) -> Mapping[str, Any]:
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return value
        self._refuse(path, "must be a table")
        return {}

    def _checked(self, model: type[Model], table: Mapping[str, Any], path: KeyPath) -> Model | None:
        try:
            return model.model_validate(table, context=self._context)
        except ValidationError as error:
            self._problems.extend(problems_of(error, model, table, path, self._source))
            return None

    def _refuse(self, path: KeyPath, message: str) -> None:
        self._problems.append(self._source.problem(path, message))
