"""What the backend tells the core of where browsers are sent; the core lets forms lead there alone."""

from typing import Any

import pytest

from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import CALLBACK, open_with, read_settings
from tests.upstreams.lying_provider import LyingProvider

PLAIN = {
    "authorize_url": "https://club.example.com/authorize?tenant=7",
    "token_url": "https://tokens.example.com/token",
    "userinfo_url": "https://api.example.com/me",
    "client_id": "emolytics",
}


def destinations(**table: Any) -> set[str]:
    backend = open_with(read_settings(**table))
    told = set(backend.destinations())
    backend.close()
    return told


def test_nothing_is_asked_of_the_provider_for_it(backend: OauthBackend, provider: LyingProvider) -> None:
    provider.received.clear()

    assert backend.destinations() == {"http:"}, "the issuer's scheme, until the metadata are known"
    assert provider.received == []


def test_once_the_metadata_are_known_it_is_the_origins_of_the_pages(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    provider.metadata_lies["end_session_endpoint"] = "https://bye.example.com/end?x=1"
    backend = open_backend()

    backend.begin(CALLBACK)

    assert backend.destinations() == {provider.url, "https://bye.example.com"}


def test_a_provider_without_a_place_to_sign_out_has_one_page_less() -> None:
    assert destinations(**PLAIN) == {"https://club.example.com"}


def test_an_unknown_https_issuer_stands_for_https_alone() -> None:
    assert destinations(issuer="https://id.example.com", client_id="emolytics") == {"https:"}


@pytest.mark.parametrize(
    ("further", "told"),
    [
        (
            {"onward_hosts": ["adfs.example.com", "b.example:8443"]},
            {"https://adfs.example.com", "https://b.example:8443"},
        ),
        ({"onward_hosts": ["*"]}, {"https:"}),
        ({"onward_hosts": ["a.example"], "insecure": True}, {"https://a.example", "http://a.example"}),
    ],
    ids=["hosts", "any", "insecure"],
)
def test_the_operator_names_where_the_provider_sends_people_on_to(
    further: dict[str, Any], told: set[str]
) -> None:
    assert destinations(**PLAIN, **further) == {"https://club.example.com"} | told


@pytest.mark.parametrize("host", ["https://a.example", "a.example/path", "*.example", "", "a;b", "a b"])
def test_an_onward_host_is_a_host_name(host: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        read_settings(**PLAIN, onward_hosts=[host])
