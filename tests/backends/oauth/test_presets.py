"""Each preset against the metadata and claims that the provider's documentation gives."""

from pathlib import Path
from typing import Any

import pytest

import emolytics
from emolytics.errors import BackendMisbehaved
from emolytics.identity import Identity
from emolytics_oauth.claims import Statement, identity_from, lacks
from emolytics_oauth.http_client import HttpClient
from emolytics_oauth.presets import PRESETS
from emolytics_oauth.provider import Provider
from emolytics_oauth.settings import OauthSettings
from tests.backends.oauth.relying_party import open_with, read_settings

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"

Shape = dict[str, Any]

#: preset: what the operator adds; metadata; claims of the ID token; of UserInfo; the identity that results.
SHAPES: dict[str, tuple[Shape, Shape, Shape, Shape, Shape]] = {
    "google": (
        {},
        {
            "issuer": "https://accounts.google.com",
            "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
            "token_endpoint": "https://oauth2.googleapis.com/token",
            "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
        },
        {
            "sub": "110169484474386276334",
            "hd": "example.com",
            "email": "jsmith@example.com",
            "email_verified": True,
            "name": "Jane Smith",
        },
        {},
        {"subject": "110169484474386276334", "username": "jsmith@example.com", "email_verified": True},
    ),
    "microsoft": (
        {"tenant": TENANT},
        {
            "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "authorization_endpoint": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize",
            "token_endpoint": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token",
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "jwks_uri": f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
            "end_session_endpoint": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/logout",
        },
        {
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "oid": "00000000-0000-0000-66f3-3332eca7ea81",
            "tid": TENANT,
            "name": "Abe Lincoln",
            "preferred_username": "AbeLi@contoso.com",
            "groups": ["0f6a9a3e-7a0c-4c9c-9e5a-2a6f5d0d6e11"],
        },
        {"sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "email": "abe@contoso.com"},
        {
            "subject": "00000000-0000-0000-66f3-3332eca7ea81",
            "username": "AbeLi@contoso.com",
            "email": "abe@contoso.com",
            "email_verified": False,
            "groups": ("0f6a9a3e-7a0c-4c9c-9e5a-2a6f5d0d6e11",),
        },
    ),
    "gitlab": (
        {},
        {
            "issuer": "https://gitlab.com",
            "authorization_endpoint": "https://gitlab.com/oauth/authorize",
            "token_endpoint": "https://gitlab.com/oauth/token",
            "userinfo_endpoint": "https://gitlab.com/oauth/userinfo",
            "jwks_uri": "https://gitlab.com/oauth/discovery/keys",
        },
        {
            "sub": "4711",
            "name": "Sidney Jones",
            "nickname": "sidneyj",
            "preferred_username": "sidneyj",
            "email": "sidney@example.com",
            "email_verified": True,
            "groups_direct": ["acme/platform"],
        },
        {"sub": "4711", "groups": ["acme", "acme/platform"]},
        {"subject": "4711", "username": "sidneyj", "groups": ("acme", "acme/platform")},
    ),
    "keycloak": (
        {"issuer": "https://sso.example.com/realms/staff"},
        {
            "issuer": "https://sso.example.com/realms/staff",
            "authorization_endpoint": "https://sso.example.com/realms/staff/protocol/openid-connect/auth",
            "token_endpoint": "https://sso.example.com/realms/staff/protocol/openid-connect/token",
            "userinfo_endpoint": "https://sso.example.com/realms/staff/protocol/openid-connect/userinfo",
            "jwks_uri": "https://sso.example.com/realms/staff/protocol/openid-connect/certs",
            "end_session_endpoint": "https://sso.example.com/realms/staff/protocol/openid-connect/logout",
        },
        {
            "sub": "3fbb6a6e-1ed4-4ab6-8b5a-0fd8d2c6e6a5",
            "preferred_username": "alice",
            "name": "Alice Liddel",
            "email": "alice@keycloak.example",
            "email_verified": False,
            "groups": ["/staff/admins"],
        },
        {},
        {"username": "alice", "email_verified": False, "groups": ("/staff/admins",)},
    ),
    "okta": (
        {"issuer": "https://example.okta.com/oauth2/default"},
        {
            "issuer": "https://example.okta.com/oauth2/default",
            "authorization_endpoint": "https://example.okta.com/oauth2/default/v1/authorize",
            "token_endpoint": "https://example.okta.com/oauth2/default/v1/token",
            "userinfo_endpoint": "https://example.okta.com/oauth2/default/v1/userinfo",
            "jwks_uri": "https://example.okta.com/oauth2/default/v1/keys",
            "end_session_endpoint": "https://example.okta.com/oauth2/default/v1/logout",
        },
        {"sub": "00uid4BxXw6I6TV4m0g3", "name": "Jane Doe", "preferred_username": "jane@example.com"},
        {
            "sub": "00uid4BxXw6I6TV4m0g3",
            "email": "jane@example.com",
            "email_verified": True,
            "groups": ["Everyone", "Admins"],
        },
        {"username": "jane@example.com", "email": "jane@example.com", "groups": ("Everyone", "Admins")},
    ),
    "auth0": (
        {"issuer": "https://example.eu.auth0.com/", "claims": {"groups": "https://example.com/groups"}},
        {
            "issuer": "https://example.eu.auth0.com/",
            "authorization_endpoint": "https://example.eu.auth0.com/authorize",
            "token_endpoint": "https://example.eu.auth0.com/oauth/token",
            "userinfo_endpoint": "https://example.eu.auth0.com/userinfo",
            "jwks_uri": "https://example.eu.auth0.com/.well-known/jwks.json",
            "end_session_endpoint": "https://example.eu.auth0.com/oidc/logout",
        },
        {
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "nickname": "jane",
            "name": "jane@example.com",
            "email": "jane@example.com",
            "email_verified": True,
            "https://example.com/groups": ["admins"],
        },
        {},
        {"subject": "auth0|5f7c8ec7c33c6c004bbafe82", "username": "jane", "groups": ("admins",)},
    ),
    "authentik": (
        {"issuer": "https://auth.example.com/application/o/emolytics/"},
        {
            "issuer": "https://auth.example.com/application/o/emolytics/",
            "authorization_endpoint": "https://auth.example.com/application/o/authorize/",
            "token_endpoint": "https://auth.example.com/application/o/token/",
            "userinfo_endpoint": "https://auth.example.com/application/o/userinfo/",
            "jwks_uri": "https://auth.example.com/application/o/emolytics/jwks/",
            "end_session_endpoint": "https://auth.example.com/application/o/emolytics/end-session/",
        },
        {
            "sub": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "preferred_username": "jane",
            "nickname": "jane",
            "name": "Jane Doe",
            "email": "jane@example.com",
            "email_verified": False,
            "groups": ["authentik Admins"],
        },
        {},
        {"username": "jane", "groups": ("authentik Admins",)},
    ),
}


def settings_of(preset: str, **more: Any) -> OauthSettings:
    return read_settings(
        preset=preset, client_id="id", client_secret="secret", **{**SHAPES[preset][0], **more}
    )


def identity_of(settings: OauthSettings, id_token: Shape, userinfo: Shape) -> Identity:
    statement = Statement(id_token, userinfo)
    return identity_from(statement, settings.issuer, statement.read(settings.claims.subject), settings.claims)


@pytest.mark.parametrize("preset", SHAPES)
def test_the_metadata_are_accepted_as_they_are(preset: str) -> None:
    settings = settings_of(preset)
    http = HttpClient(settings)

    endpoints = Provider(settings, http)._read(SHAPES[preset][1], None)

    assert endpoints.issuer == SHAPES[preset][1]["issuer"]
    assert endpoints.token == SHAPES[preset][1]["token_endpoint"]
    assert endpoints.userinfo == SHAPES[preset][1]["userinfo_endpoint"]
    http.close()


@pytest.mark.parametrize("preset", SHAPES)
def test_the_claims_make_the_identity(preset: str) -> None:
    settings = settings_of(preset)
    _, _, id_token, userinfo, expected = SHAPES[preset]

    identity = identity_of(settings, id_token, userinfo)

    assert {name: getattr(identity, name) for name in expected} == expected
    assert identity.display_name == id_token["name"]
    assert lacks(id_token, settings.claims) or not userinfo, "UserInfo is asked where it is needed"


@pytest.mark.parametrize("preset", [*SHAPES, "github", ""])
def test_the_button_shows_the_picture_of_the_preset(preset: str) -> None:
    client = {"client_id": "id", "client_secret": "secret"}
    if preset in SHAPES:
        backend = open_with(settings_of(preset))
    elif preset:
        backend = open_with(read_settings(preset=preset, **client))
    else:
        backend = open_with(read_settings(issuer="https://id.example.com", **client))

    assert backend.icon == f"{preset or 'openid'}.svg"
    assert (Path(emolytics.__file__).parent / "static/icons" / backend.icon).is_file()
    backend.close()


@pytest.mark.parametrize("preset", SHAPES)
def test_all_but_google_can_be_made_to_ask_again(preset: str) -> None:
    backend = open_with(settings_of(preset))

    assert backend.can_ask_again is (preset != "google")
    backend.close()


def test_every_preset_has_a_name_for_its_button_and_a_shape_here() -> None:
    assert all(table["label"] for table in PRESETS.values())
    assert set(PRESETS) == {*SHAPES, "github"}, "github has tests of its own"


@pytest.mark.parametrize("preset", ["keycloak", "okta", "auth0", "authentik"])
def test_presets_of_many_installations_want_the_issuer(preset: str) -> None:
    with pytest.raises(ValueError, match=f"preset {preset} needs issuer"):
        read_settings(preset=preset, client_id="id", client_secret="secret")


@pytest.mark.parametrize(
    "tenant", ["", "common", "organizations", "contoso.com", f"{TENANT}/..", TENANT[:-1]]
)
def test_microsoft_wants_one_tenant(tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        read_settings(preset="microsoft", tenant=tenant, client_id="id", client_secret="secret")


def test_microsoft_another_tenant_is_another_issuer() -> None:
    settings = settings_of("microsoft")
    http = HttpClient(settings)
    other = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"

    with pytest.raises(BackendMisbehaved, match="another issuer"):
        Provider(settings, http)._read({**SHAPES["microsoft"][1], "issuer": other}, None)
    http.close()


@pytest.mark.parametrize(
    ("xms_edov", "verified"), [(True, True), (False, False), ("1", False), (None, False)]
)
def test_microsoft_addresses_are_verified_only_by_xms_edov(xms_edov: object, verified: bool) -> None:
    """nOAuth, CVE-2024-21632: an administrator of any tenant can type any address."""
    claims = {
        **SHAPES["microsoft"][2],
        "email": "ceo@example.com",
        "email_verified": True,
        "xms_edov": xms_edov,
    }

    assert identity_of(settings_of("microsoft"), claims, {}).email_verified is verified


def test_own_keys_go_before_the_presets() -> None:
    settings = settings_of(
        "google",
        label="Work",
        claims={"username": "sub"},
        allowed_hosts=["keys.example.com"],
        scopes=["email"],
    )

    assert settings.label == "Work"
    assert (settings.claims.username, settings.claims.domain) == ("sub", "hd")
    assert "https://keys.example.com" in settings.origins
    assert "https://oauth2.googleapis.com" in settings.origins
    assert settings.scope == "openid email"
