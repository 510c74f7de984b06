"""Where the policy lets forms lead: to us and to the providers, whatever their metadata say."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from emolytics import create_app
from emolytics.backend import Context
from emolytics.setting_types import BackendSettings
from tests import stand_ins
from tests.portal import Portal, settings_for
from tests.reference.redirect_backend import ProviderBackend
from tests.test_headers import policy_of

PUBLIC = "https://login.example.com"


class TellingBackend(ProviderBackend):
    """Tells where its provider's pages are."""

    pages: Collection[str] = ()

    def destinations(self) -> Collection[str]:
        return self.pages


def open_telling(settings: BackendSettings, context: Context) -> TellingBackend:
    provider = stand_ins.providers[context.name]
    return TellingBackend(context.name, provider, provider.secrets[0])


def targets(portal: Portal) -> list[str]:
    return policy_of(portal.client().get("/login"))["form-action"].split(" ")


def portal_with(tmp_path: Path, kind: str, public_url: str = PUBLIC, **changes: Any) -> Portal:
    settings = settings_for(f"sqlite:///{tmp_path}/emolytics.db", public_url=public_url, **changes)
    settings["backends"]["sso"] = {"type": kind}
    return Portal(create_app(settings))


@pytest.fixture
def telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Portal:
    monkeypatch.setattr(TellingBackend, "pages", ["https://id.example.com"])
    return portal_with(
        tmp_path, "tests.test_form_action:open_telling", allowed_redirects=["https://app.example.com"]
    )


def test_forms_lead_to_us_to_our_applications_and_to_the_provider_alone(telling: Portal) -> None:
    assert targets(telling) == [
        "'self'",
        "https://app.example.com",
        "https://id.example.com",
        "https://login.example.com",
    ]


def test_what_a_provider_tells_later_counts_at_once(telling: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        TellingBackend, "pages", ["https://accounts.example.com:8443", "http://127.0.0.1:9000"]
    )

    assert targets(telling)[2:4] == ["https://accounts.example.com:8443", "https://app.example.com"]
    assert "http://127.0.0.1:9000" in targets(telling)
    assert "https://id.example.com" not in targets(telling)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("https://id.example.com;script-src", "https:"),
        ("https://id.example.com,default-src", "https:"),
        ("https://*", "https:"),
        ("https://a b", "https:"),
        ("'unsafe-inline'", "https:"),
        ("http://[::1]:8080", "http:"),
        ("https:", "https:"),
        ("http:", "http:"),
    ],
)
def test_what_the_policy_cannot_name_is_allowed_by_its_scheme_and_says_nothing_else(
    telling: Portal, monkeypatch: pytest.MonkeyPatch, told: str, said: str
) -> None:
    monkeypatch.setattr(TellingBackend, "pages", [told])

    policy = policy_of(telling.client().get("/login"))

    assert set(policy["form-action"].split(" ")[1:]) == {said, PUBLIC, "https://app.example.com"}
    assert policy["script-src"] == "'self'"


@pytest.mark.parametrize(
    ("public_url", "anywhere"),
    [
        (PUBLIC, {"https:"}),
        ("http://127.0.0.1:8000", {"https:", "http://127.0.0.1:*", "http://localhost:*"}),
    ],
)
def test_a_backend_that_does_not_tell_may_send_people_anywhere(
    tmp_path: Path, public_url: str, anywhere: set[str]
) -> None:
    portal = portal_with(tmp_path, "tests.stand_ins:open_provider", public_url)

    assert set(targets(portal)[1:]) == {public_url} | anywhere
