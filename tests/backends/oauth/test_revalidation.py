"""What stays after a sign-in, and whether somebody may stay. The conformance suite shows the rest."""

import time
from dataclasses import replace
from typing import Any

import pytest

from emolytics.backend import BoundsRevalidation
from emolytics.errors import BackendUnavailable
from emolytics.identity import Reason
from emolytics_oauth.backend import OauthBackend
from tests.backends.oauth.conftest import OpenBackend
from tests.backends.oauth.relying_party import held, identity, open_with, read_settings, refused, sign_in
from tests.upstreams.loopback_http import Reply, json_reply
from tests.upstreams.lying_provider import ABSENT, LyingProvider


def test_what_is_retained_is_what_is_needed(provider: LyingProvider, backend: OauthBackend) -> None:
    kept = held(sign_in(backend, provider)).retained

    assert sorted(kept) == ["access_token", "expires_at", "id_token"]
    assert abs(int(kept["expires_at"]) - time.time() - 3600) < 60
    assert all(isinstance(value, str) for value in kept.values())


def test_nothing_retained_is_shown(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True
    outcome = held(sign_in(backend, provider))

    shown = repr(outcome) + repr(backend) + repr(vars(backend))
    assert "canary" not in shown
    assert not any(value in shown for value in outcome.retained.values())


def test_without_any_token_that_serves_the_session_stays_as_it_is(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    backend = open_backend(userinfo="never")
    before = held(sign_in(backend, provider))
    provider.received.clear()

    assert backend.revalidate(before) is before
    assert provider.received == []


def test_an_access_token_that_is_over_is_not_tried(provider: LyingProvider, backend: OauthBackend) -> None:
    before = held(sign_in(backend, provider))
    over = replace(before, retained={**before.retained, "expires_at": str(int(time.time()) - 1)})
    provider.received.clear()

    assert backend.revalidate(over) is over
    assert provider.received == []


def test_an_access_token_that_is_refused_ends_the_session(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    before = held(sign_in(backend, provider))
    provider.access.clear()

    refused(backend.revalidate(before), Reason.SIGN_IN_AGAIN)


def test_userinfo_is_the_newer_answer_later(provider: LyingProvider, backend: OauthBackend) -> None:
    before = held(sign_in(backend, provider))
    provider.people["ada"] |= {"groups": [], "email": "new@example.com", "email_verified": False}

    now = identity(backend.revalidate(before))

    assert (now.groups, now.email, now.email_verified) == ((), "new@example.com", False)


def test_a_refreshed_id_token_is_the_newer_answer(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True
    before = held(sign_in(backend, provider))
    provider.people["ada"] |= {"groups": ["guests"]}
    provider.received.clear()

    after = held(backend.revalidate(before))

    assert after.identity.groups == ("guests",)
    assert after.retained["id_token"] != before.retained["id_token"]
    assert provider.paths() == ["/token"]


def test_a_refresh_without_an_id_token_asks_userinfo(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True
    before = held(sign_in(backend, provider))
    provider.token_lies = {"id_token": ABSENT}
    provider.people["ada"] |= {"groups": ["guests"]}

    after = held(backend.revalidate(before))

    assert after.identity.groups == ("guests",)
    assert after.retained["id_token"] == before.retained["id_token"]
    assert held(backend.revalidate(after)).identity.groups == ("guests",)


def test_a_refresh_that_tells_nothing_new_keeps_the_identity(
    provider: LyingProvider, open_backend: OpenBackend
) -> None:
    backend = open_backend(userinfo="never")
    provider.refresh_tokens = True
    before = held(sign_in(backend, provider))
    provider.token_lies = {"id_token": ABSENT}

    after = held(backend.revalidate(before))

    assert after.identity == before.identity
    assert after.retained["refresh_token"] != before.retained["refresh_token"]


def test_a_refresh_token_that_is_not_rotated_is_kept(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True
    before = held(sign_in(backend, provider))
    provider.token_lies = {"refresh_token": ABSENT}

    assert held(backend.revalidate(before)).retained["refresh_token"] == before.retained["refresh_token"]


def test_a_refresh_token_used_twice_ends_the_family(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True
    first = held(sign_in(backend, provider))
    second = held(backend.revalidate(first))

    refused(backend.revalidate(first), Reason.SIGN_IN_AGAIN, "invalid_grant")
    refused(backend.revalidate(second), Reason.SIGN_IN_AGAIN, "invalid_grant")


@pytest.mark.parametrize("path", ["/userinfo", "/jwks"])
def test_a_rotated_token_is_not_lost_to_an_outage_that_follows(
    provider: LyingProvider, open_backend: OpenBackend, path: str
) -> None:
    backend = open_backend(userinfo="always")
    provider.refresh_tokens = True
    before = held(sign_in(backend, provider))
    provider.answers[path] = Reply(503)
    if path == "/jwks":
        provider.header_lies = {"kid": "new"}

    during = held(backend.revalidate(before))

    assert during.identity == before.identity
    assert during.retained["refresh_token"] != before.retained["refresh_token"]
    assert during.retained["id_token"] == before.retained["id_token"], (
        "a token nobody could verify is not kept"
    )
    provider.answers.clear()
    provider.header_lies = {}
    held(backend.revalidate(during))


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_provider_in_trouble_sends_nobody_away(
    provider: LyingProvider, backend: OauthBackend, status: int
) -> None:
    provider.refresh_tokens = True
    before = held(sign_in(backend, provider))
    provider.answers["/token"] = Reply(status)

    with pytest.raises(BackendUnavailable):
        backend.revalidate(before)


def test_a_client_that_is_refused_sends_nobody_away(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True
    before = held(sign_in(backend, provider))
    provider.answers["/token"] = json_reply({"error": "invalid_client"}, 401)

    with pytest.raises(BackendUnavailable):
        backend.revalidate(before)


def test_who_left_the_required_group_may_not_stay(provider: LyingProvider, open_backend: OpenBackend) -> None:
    backend = open_backend(required_groups=["staff"])
    before = held(sign_in(backend, provider))
    provider.people["ada"] |= {"groups": ["guests"]}

    denied = refused(backend.revalidate(before), Reason.NOT_ALLOWED)

    assert not denied.credential_proven


def test_signing_out_there_needs_a_place_to_go(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.metadata_lies = {"end_session_endpoint": ABSENT}

    assert backend.logout_url(held(sign_in(backend, provider)), "https://login.example.com/login") is None


def test_signing_out_there_without_a_token_to_name_the_session(
    provider: LyingProvider, backend: OauthBackend
) -> None:
    outcome = held(sign_in(backend, provider))

    for retained in ({}, {"id_token": "x" * 10_000}):
        url = backend.logout_url(replace(outcome, retained=retained), "https://login.example.com/login")
        assert url
        assert "id_token_hint" not in url
        assert "client_id=emolytics" in url
        assert len(url) < 2000


def test_each_sign_out_has_a_state_of_its_own(provider: LyingProvider, backend: OauthBackend) -> None:
    outcome = held(sign_in(backend, provider))

    urls = {backend.logout_url(outcome, "https://login.example.com/login") for _ in range(10)}

    assert len(urls) == 10


@pytest.mark.parametrize(
    ("table", "requests"), [({}, 5), ({"preset": "github"}, 35)], ids=["OpenID", "GitHub"]
)
def test_the_core_is_told_how_long_it_may_take(table: dict[str, Any], requests: int) -> None:
    """A refresh token must not be redeemed again while the first answer may still come."""
    usual = {"client_id": "emolytics", "client_secret": "s", "timeout": "10s"}
    backend = open_with(read_settings(**usual, **(table or {"issuer": "https://id.example.com"})))

    assert isinstance(backend, BoundsRevalidation)
    assert backend.longest_revalidation >= requests * 2 * 10
    backend.close()


def test_who_can_refresh_keeps_no_access_token(provider: LyingProvider, backend: OauthBackend) -> None:
    provider.refresh_tokens = True

    before = held(sign_in(backend, provider))
    after = held(backend.revalidate(before))

    for outcome in (before, after):
        assert sorted(outcome.retained) == ["id_token", "refresh_token"]
    assert before.retained["refresh_token"] != after.retained["refresh_token"]
