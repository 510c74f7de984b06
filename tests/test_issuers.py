"""Two backends of one issuer: either the same subject is the same person, or the portal does not start."""

from typing import Any

import pytest

from emolytics.core import Core
from emolytics.errors import SettingsError
from emolytics.settings import load_settings
from tests.portal import settings_for

OIDC = {"type": "oauth", "issuer": "https://id.example.com", "client_id": "emolytics"}
CLUB = {
    "type": "oauth",
    "authorize_url": "https://services.example.com/club/authorize",
    "token_url": "https://services.example.com/club/token",
    "userinfo_url": "https://services.example.com/club/me?fields=id,login",
    "client_id": "emolytics",
    "claims": {"subject": "id", "username": "login", "groups": ""},
}
LIBRARY = {
    key: value.replace("club", "library") if isinstance(value, str) else value for key, value in CLUB.items()
}
GITHUB = {"type": "oauth", "preset": "github", "client_id": "a", "client_secret": "b"}
CORP = {"type": "ldap", "servers": ["ldaps://dc.example.com"], "user_base": "ou=people,dc=example,dc=com"}


def opened(one: dict[str, Any], two: dict[str, Any]) -> Core:
    settings = load_settings(
        settings_for("sqlite://", {"one": one, "two": two}, public_url="https://login.example.com")
    )
    return Core(settings, settings.secret_key.load())


@pytest.mark.parametrize(
    ("one", "two", "sources"),
    [
        (OIDC, OIDC | {"claims": {"subject": "oid"}}, ("the claim oid", "the claim sub")),
        (GITHUB, GITHUB | {"claims": {"subject": "login"}}, ("the claim login", "the claim id")),
        (CLUB, CLUB | {"userinfo_url": f"{CLUB['userinfo_url']}&tenant=2"}, ("tenant=2", "the claim id of")),
        (CORP, CORP | {"attributes": {"subject": "uid"}}, ("the attribute uid", "the attribute entryuuid")),
        (OIDC, {"type": "local", "issuer": OIDC["issuer"]}, ("our own number", "the claim sub")),
        (
            {"type": "proxy", "trusted": ["127.0.0.1"], "user_header": "X-User"},
            {"type": "local", "issuer": "proxy:one"},
            ("our own number", "the name in a header"),
        ),
    ],
    ids=["claim", "claim of a preset", "service behind one address", "attribute", "type", "proxy"],
)
def test_ASVS_6_8_1_an_issuer_whose_subjects_mean_two_things_is_refused_at_start(
    one: dict[str, Any], two: dict[str, Any], sources: tuple[str, str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        opened(one, two)

    (problem,) = refused.value.problems
    assert problem.path == "backends.two"
    for told in ("backends.one", *sources):
        assert told in problem.message


@pytest.mark.parametrize(
    "one",
    [OIDC, GITHUB, CLUB, CORP, {"type": "local"}],
    ids=["openid", "preset", "plain", "directory", "local"],
)
def test_one_issuer_twice_shares_its_accounts_and_says_so(
    one: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    again = one | ({"client_id": "another"} if "client_id" in one else {})

    opened(one, again).close()

    assert "backends.one and backends.two have one issuer" in caplog.text


def test_two_services_on_one_origin_are_two_issuers(caplog: pytest.LogCaptureFixture) -> None:
    core = opened(CLUB, LIBRARY)

    issuers = [getattr(backend, "issuer", "") for backend in core.backends.values()]
    core.close()

    assert issuers == ["https://services.example.com/club/me", "https://services.example.com/library/me"]
    assert "have one issuer" not in caplog.text


def test_a_backend_without_an_issuer_of_its_own_is_nobodys_twin() -> None:
    opened({"type": "local"}, {"type": "token"}).close()
