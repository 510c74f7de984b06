"""The table `[backends.NAME]` with `type = "oauth"`."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from emolytics.setting_types import BackendSettings, Duration, LocalPath, Secret, Section
from emolytics_oauth.origins import host_entry, onward_entry, origin_of, require_safe
from emolytics_oauth.presets import PRESETS

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
    "HS256",
]
AuthMethod = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
Text = Annotated[str, Field(min_length=1)]

# What the flow itself sends: an operator who could set these could switch its protection off.
_OURS = frozenset(
    [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "max_age",
        "acr_values",
        "request",
        "request_uri",
        "claims",
    ]
)


class ClaimNames(Section):
    """Which claim holds what. A dotted path reaches into nested objects; empty: the provider has none."""

    subject: Text = "sub"
    username: str = "preferred_username"
    email: str = "email"
    email_verified: str = "email_verified"
    display_name: str = "name"
    groups: str = "groups"
    group: Text = "name"
    domain: str = ""


def _domain(value: str) -> str:
    try:
        return value.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(f"{value!r} is not a domain name") from None


class OauthSettings(BackendSettings):
    """An OpenID provider by `issuer`, or an OAuth 2.0 server by its three URLs, or a `preset` for either."""

    insecure: bool = False
    preset: str = ""
    tenant: str = ""
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    userinfo_url: str = ""
    allowed_hosts: tuple[Annotated[str, AfterValidator(host_entry)], ...] = ()
    onward_hosts: tuple[Annotated[str, AfterValidator(onward_entry)], ...] = ()
    ca_file: LocalPath | None = None
    timeout: Duration = timedelta(seconds=5)

    client_id: Text
    client_secret: Secret | None = None
    private_key: Secret | None = None
    private_key_id: str = ""
    token_endpoint_auth_method: AuthMethod | None = None

    scopes: tuple[Text, ...] = ()
    response_mode: Literal["query", "form_post"] = "query"
    authorize_params: Mapping[str, str] = Field(default_factory=dict)
    acr_values: tuple[Text, ...] = ()
    max_age: Duration | None = None

    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA", "PS256")
    userinfo: Literal["auto", "always", "never"] = "auto"
    claims: ClaimNames = ClaimNames()
    required_groups: tuple[Text, ...] = ()
    allowed_domains: tuple[Annotated[str, AfterValidator(_domain)], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _lay_over_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("preset", "") not in PRESETS:
            return given
        table = PRESETS[given["preset"]]
        merged = {**table, **given}
        if isinstance(given.get("claims", {}), Mapping):
            merged["claims"] = {**table.get("claims", {}), **given.get("claims", {})}
        if isinstance(given.get("allowed_hosts", []), list | tuple):
            merged["allowed_hosts"] = [*table.get("allowed_hosts", []), *given.get("allowed_hosts", [])]
        if isinstance(merged.get("issuer"), str):
            merged["issuer"] = merged["issuer"].replace("{tenant}", str(given.get("tenant", "")).lower())
        return merged

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        if value and value not in PRESETS:
            raise ValueError(f"is not known; known are {', '.join(sorted(PRESETS))}")
        return value

    @field_validator("tenant")
    @classmethod
    def _one_tenant(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("preset") != "microsoft":
            raise ValueError('belongs to preset = "microsoft"')
        if not value and info.data.get("preset") == "microsoft":
            raise ValueError("is missing: the directory (tenant) ID, as Microsoft Entra shows it")
        if value and not _is_guid(value):
            raise ValueError(
                "must be the directory (tenant) ID; a tenant's name or `common` has no issuer of its own"
            )
        return value.lower()

    @field_validator("issuer", "authorize_url", "token_url", "userinfo_url")
    @classmethod
    def _safe_url(cls, value: str, info: ValidationInfo) -> str:
        if value:
            require_safe(value, insecure=bool(info.data.get("insecure")))
            if info.field_name == "issuer" and "?" in value:
                raise ValueError("an issuer has no query")
        return value

    @field_validator("ca_file")
    @classmethod
    def _there(cls, value: Path | None) -> Path | None:
        if value and not value.is_file():
            raise ValueError(f"the file {value} does not exist")
        return value

    @field_validator("timeout")
    @classmethod
    def _some_time(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= value <= timedelta(minutes=1):
            raise ValueError("must be between 1s and 60s")
        return value

    @field_validator("private_key")
    @classmethod
    def _usable_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            from emolytics_oauth.signing_key import (
                signing_key,
            )  # cryptography is slow to import, and seldom needed

            signing_key(value.get_secret_value())
        return value

    @field_validator("authorize_params")
    @classmethod
    def _not_ours(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if taken := sorted(_OURS & value.keys()):
            raise ValueError(f"{', '.join(taken)} cannot be set: the sign-in depends on it")
        return value

    @field_validator("algorithms")
    @classmethod
    def _never_mixed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("names no algorithm")
        if "HS256" in value and len(value) > 1:  # ASVS 9.1.2
            raise ValueError("HS256 is allowed only alone: a public key must never pass for a shared secret")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for wrong in (self._wrong_endpoints(), self._wrong_client(), self._wrong_rules()):
            if wrong:
                raise ValueError(wrong)
        return self

    def _wrong_endpoints(self) -> str:
        urls = (self.authorize_url, self.token_url, self.userinfo_url)
        if self.issuer and any(urls):
            return (
                "issuer goes without authorize_url, token_url and userinfo_url: they come from its metadata"
            )
        if not self.issuer and not all(urls):
            known = f"preset {self.preset} needs issuer" if self.preset else "give a preset, or issuer"
            return f"{known}, or all of authorize_url, token_url and userinfo_url"
        return ""

    def _wrong_client(self) -> str:
        needs = {"private_key_jwt": "private_key", "none": ""}.get(self.auth_method, "client_secret")
        if needs and getattr(self, needs) is None:
            return f"{needs} is missing for token_endpoint_auth_method {self.auth_method}"
        if "HS256" in self.algorithms and (
            not self.client_secret or len(self.client_secret.get_secret_value()) < 32
        ):
            return "HS256 needs a client_secret of at least 32 characters"  # RFC 7518 section 3.2
        return ""

    def _wrong_rules(self) -> str:
        if not self.issuer and (self.acr_values or self.max_age is not None):
            return (
                "acr_values and max_age need an issuer: plain OAuth 2.0 does not say how somebody signed in"
            )
        if self.required_groups and not self.claims.groups:
            return "required_groups needs claims.groups: which claim holds the groups"
        if self.allowed_domains and not (self.claims.domain or self.claims.email):
            return "allowed_domains needs claims.email or claims.domain"
        return ""

    @property
    def auth_method(self) -> AuthMethod:
        """How the client proves itself at the token endpoint."""
        if self.token_endpoint_auth_method:
            return self.token_endpoint_auth_method
        if self.private_key:
            return "private_key_jwt"
        return "client_secret_basic" if self.client_secret else "none"

    @cached_property
    def scope(self) -> str:
        """What is asked for; with OpenID Connect always `openid` (C002)."""
        scopes = self.scopes or (("openid", "profile", "email") if self.issuer else ())
        if self.issuer and "openid" not in scopes:
            scopes = ("openid", *scopes)
        return " ".join(scopes)

    @cached_property
    def onward_origins(self) -> frozenset[str]:
        """Where the provider may send browsers on to, as `form-action` wants it said."""
        schemes = ("https:", "http:") if self.insecure else ("https:",)
        return frozenset(
            scheme if host == "*" else f"{scheme}//{host}" for host in self.onward_hosts for scheme in schemes
        )

    @cached_property
    def origins(self) -> frozenset[str]:
        """The origins that may be asked: of the URLs given, and https on `allowed_hosts` (ASVS 13.2.4)."""
        urls = (
            self.issuer,
            self.token_url,
            self.userinfo_url,
            *(f"https://{host}" for host in self.allowed_hosts),
        )
        return frozenset(origin_of(url) for url in urls if url)


def _is_guid(text: str) -> bool:
    groups = text.split("-")
    digits = set("0123456789abcdefABCDEF")
    return [len(part) for part in groups] == [8, 4, 4, 4, 12] and set("".join(groups)) <= digits
